# SPDX-License-Identifier: Apache-2.0
"""Number the observable streams of a top: those on its wires and those inside its nodes."""

from __future__ import annotations

from collections.abc import Mapping

from finn.custom_op.fpgadataflow.hwcustomop import HWCustomOp
from onnx import GraphProto
from qonnx.custom_op.registry import getCustomOp

from ..graph.insert_streams import Endpoint, input_endpoint, output_endpoint
from ..kernels.ops import facts_of, op_of
from .top_info import TapInfo


class Taps:
    """The observable streams of a stitched graph, in topological order from the graph input."""

    def __init__(self, graph: GraphProto) -> None:
        self._readers = {name: node for node in graph.node for name in node.input}
        self._results = {value.name for value in graph.output}
        self.found: list[TapInfo] = []
        self.instances: list[tuple[str, TapInfo]] = []
        """Those that the top holds, each with its wire; the others are inside a node."""
        name = graph.input[0].name
        reader = self._readers[name]
        end = input_endpoint(getCustomOp(reader), list(reader.input).index(name))
        self._add("s_axis_0", name, end, "")

    def add_node(self, op: HWCustomOp, wires: Mapping[str, str]) -> int | None:
        """Number the streams inside a node, then those it writes.

        Args:
            op: the node.
            wires: of the top, by tensor.

        Returns:
            The number of the first inside, None if there is none.
        """
        node = op.onnx_node
        first = len(self.found)
        inside = op_of(node).taps()
        for tensor, stream in inside:
            self.found.append(
                TapInfo(
                    len(self.found), tensor, stream.shape, stream.datatype, stream.lanes,
                    stream.words, stream.width, node.name,
                )
            )  # fmt: skip
        for port, tensor in enumerate(node.output):
            self._add(wires[tensor], tensor, output_endpoint(op, port), node.name)
        return first if inside else None

    def number(self, tensor: str) -> int:
        """The number of the stream of a tensor."""
        return next(tap.id for tap in self.found if tap.tensor == tensor)

    def _add(self, wire: str, tensor: str, end: Endpoint, producer: str) -> None:
        info = TapInfo(
            len(self.found), self._final(tensor), end.shape, end.datatype, end.lanes, end.words,
            end.width, producer,
        )  # fmt: skip
        self.found.append(info)
        self.instances.append((wire, info))

    def _final(self, tensor: str) -> str:
        """The graph output that a tensor becomes behind what stands on its edge, or itself."""
        name, node = tensor, self._readers.get(tensor)
        while node is not None and facts_of(node.op_type).on_edge:
            name = node.output[0]
            node = self._readers.get(name)
        return name if name in self._results else tensor
