# SPDX-License-Identifier: Apache-2.0
"""The frozen PyTorch network, observed at its layer boundaries."""

from __future__ import annotations

import onnx

from ...hw.graph.builder import boundaries
from ...hw.graph.heads import heads_of
from ...hw.kernels.ops import facts_of
from ...quant.grid import IntArray
from ..coverage import PICTURE, Coverage, outputs, producers
from ..errors import UsageError
from .backend import Backend, Opening, Pictures

OWN_OPS = "net_"
"""Begin of the names that the QONNX export gives to what the network itself does between its
modules (splits, concats, crops, its own pools): no module ends there."""


class Torch(Backend):
    """The frozen PyTorch network, observed at its layer boundaries."""

    name = "torch"

    @staticmethod
    def coverage(model: onnx.ModelProto, hardware: onnx.ModelProto | None = None) -> Coverage:
        """Boundaries that a module of the network ends at, and the class."""
        ops = producers(model)
        seen = {
            b.tensor
            for b in boundaries(model)
            if not _inside_module(ops[b.tensor]) and not b.reference.startswith(OWN_OPS)
        }
        return Coverage(
            "torch",
            model,
            seen | outputs(model),
            "no module of the PyTorch network ends there",
            {PICTURE: "it is what the network is given"},
        )

    def __init__(self, opening: Opening) -> None:
        files = opening.files
        if not files.checkpoint.is_file():
            raise UsageError(
                f"{files.folder}: was built from a QONNX file, so there is no torch backend; "
                "use --backends qonnx,golden,cpu,rtl"
            )
        from ...models.build import load_network

        self._net, _ = load_network(files.checkpoint)
        lowered = onnx.load(files.lowered, load_external_data=False)
        self._boundaries = boundaries(lowered)
        self._heads = heads_of(lowered)

    def run(self, pictures: Pictures) -> dict[str, IntArray]:
        """Signs, accumulators, epilogues, level codes, pools, logits, class indices or masks."""
        from ...quant.capture import capture

        values = capture(self._net, pictures, {b.reference for b in self._boundaries})
        codes = {
            b.tensor: b.codes(values[b.reference])
            for b in self._boundaries
            if b.reference in values
        }
        # The networks end in logits; what their users take of them is the largest (per pixel).
        for head in self._heads:
            if head.logits:
                codes[head.tensor] = codes[head.logits].argmax(axis=-1)[..., None]
        return codes


def _inside_module(op: str) -> bool:
    """Whether outputs stay inside a PyTorch module; the network's input does, too."""
    return op == PICTURE or facts_of(op).inside_module


BACKEND = Torch
