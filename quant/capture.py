# SPDX-License-Identifier: Apache-2.0
"""Observe a frozen network at its layer boundaries, under the names its QONNX export gives them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from .exact import exact_eval
from .integer import IntegerEpilogue
from .kbit_integer import IntegerKbitActivation, IntegerPixelClassifier
from .pa_integer import IntegerPaActivation, IntegerPaConv

Values = npt.NDArray[np.float32]

OUTPUTS = ("Quant", "BipolarQuant", "MaxPool", "Reshape_1", "Gemm")
"""Node types that end a module: the module's output is the output of its node of that type."""

OWN_OUTPUTS = {
    IntegerPaActivation: "ReduceSum",
    IntegerPaConv: "Conv",
    IntegerKbitActivation: "Add",
    IntegerPixelClassifier: "Conv",
}
"""The same for modules whose last node's type stands inside other modules too."""


def capture(
    net: nn.Module, pictures: npt.NDArray[np.uint8], wanted: Collection[str]
) -> dict[str, Values]:
    """Run a frozen network and return the wanted tensors.

    Args:
        net: frozen network in evaluation mode.
        pictures: (N, H, W, C) uint8.
        wanted: tensor names of the QONNX export (``<module>_<OpType>_out``); names that stand for
            no module's output, such as splits and borders, are passed over.

    Returns:
        Name -> (N, C, H, W) or (N, C) values: integer codes (level codes of
        PA and k-bit activations), +-1 for signs.
    """
    found: dict[str, Values] = {}
    handles = []

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
            found[name] = output.numpy()

        return hook

    def keep_accumulator(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
            found[name] = args[0].numpy()

        return hook

    for path, module in net.named_modules():
        scope = path.replace(".", "_")
        ends = OUTPUTS + tuple(op for kind, op in OWN_OUTPUTS.items() if isinstance(module, kind))
        for kind in ends:
            if f"{scope}_{kind}_out" in wanted:
                handles.append(module.register_forward_hook(keep(f"{scope}_{kind}_out")))
        if isinstance(module, IntegerEpilogue | IntegerKbitActivation):
            for op in ("Conv", "ConvTranspose"):
                name = f"{scope.rpartition('_')[0]}_{op}_out"
                if name in wanted:
                    handles.append(module.register_forward_pre_hook(keep_accumulator(name)))
    try:
        with exact_eval(), torch.inference_mode():
            net(torch.from_numpy(pictures.transpose(0, 3, 1, 2).astype(np.float32)))
    finally:
        for handle in handles:
            handle.remove()
    return found
