# SPDX-License-Identifier: Apache-2.0
"""Observe a frozen network at its layer boundaries, under the names its QONNX export gives them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from .blocks.block import Boundary, IntegerBlock, tensor_name
from .exact import exact_eval

Values = npt.NDArray[np.float32]

MOVES = ("MaxPool", "Reshape_1")
"""Nodes that end a module which only moves integers: its output is that of its node so named. All
other tensors are stated by the integer blocks."""


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

    def keep(name: str, boundary: Boundary) -> RemovableHandle:
        def entering(module: nn.Module, args: tuple[Any, ...]) -> None:
            found[name] = args[0].numpy()

        def leaving(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
            found[name] = output.numpy()

        if boundary.entering:
            return boundary.module.register_forward_pre_hook(entering)
        return boundary.module.register_forward_hook(leaving)

    for path, module in net.named_modules():
        if isinstance(module, IntegerBlock):
            stated = module.boundaries()
        else:
            stated = {f"{node}_out": Boundary(module) for node in MOVES}
        for tensor, boundary in stated.items():
            if (name := tensor_name(path, tensor)) in wanted:
                handles.append(keep(name, boundary))
    try:
        with exact_eval(), torch.inference_mode():
            net(torch.from_numpy(pictures.transpose(0, 3, 1, 2).astype(np.float32)))
    finally:
        for handle in handles:
            handle.remove()
    return found
