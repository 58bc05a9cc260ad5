# SPDX-License-Identifier: Apache-2.0
"""A network's execution in float32, one node at a time, as qonnx does it.

Its own ops are qonnx's, all others ONNX Runtime's. ``execute_onnx`` searches the whole graph for
every tensor of every node: minutes for some hundred nodes. Here each node is a model of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_node

from .schema import QONNX_DOMAIN

Array = npt.NDArray[Any]


class Nodewise:
    """A network (shapes inferred) whose nodes can be executed."""

    def __init__(self, proto: onnx.ModelProto) -> None:
        graph = proto.graph
        self._opsets: dict[str, int] = ModelWrapper(proto).get_opset_imports()
        self._declared = {v.name: v for v in (*graph.value_info, *graph.output, *graph.input)} | {
            t.name: helper.make_tensor_value_info(t.name, t.data_type, t.dims)
            for t in graph.initializer
        }
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}

    def __call__(self, node: onnx.NodeProto, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Execute a node of the network on its inputs, floats rounded to float32.

        Returns:
            Its outputs by name.
        """
        # 0-d results of NumPy are scalars, which ONNX Runtime does not take.
        feeds: dict[str, Any] = {
            name: np.asarray(inputs[name], np.float32 if inputs[name].dtype.kind == "f" else None)
            for name in node.input
            if name
        }
        names = [name for name in node.output if name]
        if node.domain == QONNX_DOMAIN:
            infos = [self._declared[name] for name in (*feeds, *names)]
            own = helper.make_graph([], node.name, [], [], value_info=infos)
            newer = node.op_type == "Trunc" and len(node.input) == 6
            execute_node(node, feeds, own, 2 if newer else self._opsets[node.domain])
            return {name: np.asarray(feeds[name]) for name in names}
        if node.name not in self._sessions:
            self._sessions[node.name] = self._session(node, list(feeds), names)
        return dict(zip(names, self._sessions[node.name].run(names, feeds), strict=True))

    def _session(
        self, node: onnx.NodeProto, inputs: list[str], outputs: list[str]
    ) -> onnxruntime.InferenceSession:
        graph = helper.make_graph(
            [node],
            node.name,
            [self._declared[name] for name in inputs],
            [self._declared[name] for name in outputs],
        )
        opset = helper.make_opsetid("", self._opsets[""])
        model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
        # Every session would keep threads of its own, a thousand of them for a whole network.
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
