# SPDX-License-Identifier: Apache-2.0
"""QONNX's own execution of a network, node by node.

``execute_onnx`` searches the whole graph for every tensor of every node: minutes for some hundred
nodes. Each node is handed a graph of its own tensors alone instead.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_node


class Nodewise:
    """A network (shapes inferred, one input) that qonnx executes."""

    def __init__(self, proto: onnx.ModelProto) -> None:
        self._model = ModelWrapper(proto)
        graph = self._model.graph
        self.input: str = graph.input[0].name
        self._opsets = self._model.get_opset_imports()
        declared = {v.name: v for v in (*graph.value_info, *graph.output, *graph.input)}
        self._steps = []
        for node in graph.node:
            inner = [n for a in node.attribute for sub in a.g.node for n in sub.input]
            names = dict.fromkeys((*node.input, *inner, *node.output))
            infos = [declared[name] for name in names if name in declared]
            own = onnx.helper.make_graph([], node.name, [], [], value_info=infos)
            self._steps.append((node, own))

    def __call__(self, picture: npt.NDArray[np.float32]) -> dict[str, Any]:
        """Run one picture (1, C, H, W); returns every tensor by name."""
        context: dict[str, Any] = self._model.make_empty_exec_context()
        context[self.input] = picture
        for node, graph in self._steps:
            execute_node(node, context, graph, self._opsets[node.domain])
        return context
