# SPDX-License-Identifier: Apache-2.0
"""QONNX's own execution of the network."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from ...hw.graph.builder import boundaries
from ...hw.graph.float32 import settle
from ...hw.graph.heads import heads_of
from ...hw.graph.nodewise import Nodewise
from ...hw.graph.reference import Reference, classes
from ...quant.grid import IntArray
from ..coverage import Coverage, outputs
from ..errors import CheckFailed
from .backend import Backend, Opening, Pictures


class Qonnx(Backend):
    """QONNX's own execution of model.qonnx.onnx in float32, node by node, one picture at a time.

    Every node reads the exact tensors (`reference.Reference`), so its rounding is its own: where
    its result lies within float32's bound of the exact one (`float32.settle`), it is that one;
    anything else is a difference and stays what QONNX found.
    """

    name = "qonnx"

    @staticmethod
    def coverage(model: onnx.ModelProto, hardware: onnx.ModelProto | None = None) -> Coverage:
        """Every boundary that lowering noted, and every head."""
        seen = {b.tensor for b in boundaries(model)}
        reason = "the QONNX network has no tensor that is the same"
        return Coverage("qonnx", model, seen | outputs(model), reason)

    def __init__(self, opening: Opening) -> None:
        files = opening.files
        network = onnx.load(files.qonnx, load_external_data=False)
        lowered = onnx.load(files.lowered, load_external_data=False)
        self._boundaries = boundaries(lowered)
        self._picture = lowered.graph.input[0].name
        results = [value.name for value in network.graph.output]
        heads = list(zip(results, heads_of(lowered), strict=True))
        self._picked = {name: head.tensor for name, head in heads if head.logits}
        # Integers that the network reads inside too leave as a copy, which is no boundary.
        held = {b.reference: b.tensor for b in self._boundaries}
        self._left = {head.tensor: held[name] for name, head in heads if not head.logits}
        self._reference = Reference(network)
        self._opsets = network.opset_import
        self._execute = Nodewise(network)

    def run(self, pictures: Pictures) -> dict[str, IntArray]:
        """Every tensor of the QONNX graph that the dataflow graph has too, and every head.

        Raises:
            CheckFailed: a node's result is not the exact one, and no boundary would show it.
        """
        rows: dict[str, list[IntArray]] = {}
        for picture in pictures:
            for name, codes in self._run_one(picture[None]).items():
                rows.setdefault(name, []).append(codes)
        return {name: np.concatenate(row) for name, row in rows.items()}

    def _run_one(self, picture: Pictures) -> dict[str, IntArray]:
        pairs = {b.reference: b for b in self._boundaries if b.tensor != self._picture}
        codes: dict[str, IntArray] = {self._picture: picture.astype(np.int64)}
        for node, tensors in self._reference.walk(picture):
            inputs = {name: tensors[name].values for name in node.input if name}
            for name, found in self._execute(node, inputs).items():
                values, wrong = settle(node, tensors, name, found, self._opsets)
                shown = False
                if name in pairs and values.shape == tensors[name].codes.shape:
                    pair = pairs[name]
                    codes[pair.tensor] = pair.nearest(values)
                    shown = bool(np.any(codes[pair.tensor] != pair.codes(tensors[name].values)))
                if name in self._picked:
                    found_classes = classes(values)
                    axes = (*found_classes.shape, *(1,) * (4 - found_classes.ndim))
                    codes[self._picked[name]] = found_classes.reshape(axes)
                if wrong.any() and not shown:
                    raise CheckFailed(_off(node, tensors[name].values, found, wrong))
        codes.update({head: codes[tensor] for head, tensor in self._left.items()})
        return codes


def _off(
    node: onnx.NodeProto,
    exact: npt.NDArray[Any],
    found: npt.NDArray[Any],
    wrong: npt.NDArray[np.bool_],
) -> str:
    where = f"qonnx, {node.name} ({node.op_type})"
    if exact.shape != found.shape:
        return f"{where}: found shape {found.shape}, expected {exact.shape}"
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    return (
        f"{where}: {int(wrong.sum())} of {wrong.size} values differ by more than float32 rounds, "
        f"the first at {at}: found {found[at]:.9g}, expected {exact[at]:.9g}"
    )


BACKEND = Qonnx
