# SPDX-License-Identifier: Apache-2.0
"""The golden model: the referee of all others."""

from __future__ import annotations

import numpy as np
import onnx
from qonnx.core.modelwrapper import ModelWrapper

from ...hw.graph.executor import GoldenExecutor
from ...hw.graph.heads import heads_of
from ...quant.grid import IntArray
from ...quant.tasks.task import Outputs
from ..files import BuildFiles
from ..heads import outputs_of
from .backend import Pictures


class Golden:
    """The golden model: every other backend is compared with it."""

    name = "golden"

    def __init__(self, files: BuildFiles) -> None:
        self.hardware: onnx.ModelProto = onnx.load(files.dataflow, load_external_data=False)
        """The graph of the RTL, which other backends' coverage may follow from."""
        model = ModelWrapper(str(files.lowered))
        self.model: onnx.ModelProto = model.model
        self._executor = GoldenExecutor(model)
        self.heads = heads_of(self.model)
        self.order = self._executor.tensors
        self.bits = {name: int(model.get_tensor_datatype(name).bitwidth()) for name in self.order}

    def run(self, pictures: Pictures) -> dict[str, IntArray]:
        """All streamed tensors."""
        parts = [part for _, part in self._executor.chunks(pictures, "all")]
        return {name: np.concatenate([part[name] for part in parts]) for name in self.order}

    @property
    def shape(self) -> tuple[int, ...]:
        """Height, width and channels of a picture."""
        return self._executor.shapes[self._executor.input][1:]

    def tensors(self, pictures: Pictures) -> dict[str, IntArray]:
        """The tensors of the heads alone: in little memory."""
        parts = [part for _, part in self._executor.chunks(pictures)]
        return {h.tensor: np.concatenate([p[h.tensor] for p in parts]) for h in self.heads}

    def outputs(self, pictures: Pictures) -> Outputs:
        """What every head gives."""
        return outputs_of(self.heads, self.tensors(pictures))
