# SPDX-License-Identifier: Apache-2.0
"""The qonnx backend is qonnx's own execution, tensor for tensor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from andpop.flows.backends import Qonnx
from andpop.flows.models import BuildFiles
from andpop.hw.graph.clean import clean
from andpop.hw.graph.lowering import lower
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx_block import block


def test_qonnx_backend_is_execute_onnx(tmp_path: Path) -> None:
    files = BuildFiles(tmp_path)
    network = clean(block())
    onnx.save(network, files.qonnx)
    lower(network).save(str(files.dataflow))
    pictures = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 2), dtype=np.uint8)
    got = Qonnx(files).run(pictures)
    model = ModelWrapper(str(files.qonnx))
    name = model.graph.input[0].name
    compared = 0
    for i, picture in enumerate(pictures):
        feed = {name: picture.transpose(2, 0, 1)[None].astype(np.float32)}
        context = execute_onnx(model, feed, return_full_exec_context=True)
        for boundary in Qonnx(files)._boundaries:
            want = boundary.codes(context[boundary.reference])
            assert np.array_equal(got[boundary.tensor][i : i + 1], want), boundary.tensor
            compared += want.size
    assert compared > 300
