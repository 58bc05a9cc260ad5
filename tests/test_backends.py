# SPDX-License-Identifier: Apache-2.0
"""The qonnx backend is qonnx's own execution, tensor for tensor; which backends are compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from andpop.flows import api
from andpop.flows.backends.qonnx import Qonnx
from andpop.flows.commands import compare
from andpop.flows.errors import CheckFailed
from andpop.flows.files import BuildFiles
from andpop.hw.graph.clean import clean
from andpop.hw.graph.lowering import lower
from openings import opening
from PIL import Image
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx_block import block


def test_qonnx_backend_is_execute_onnx(tmp_path: Path) -> None:
    files = BuildFiles(tmp_path)
    network = clean(block())
    onnx.save(network, files.qonnx)
    lower(network).save(str(files.lowered))
    pictures = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 2), dtype=np.uint8)
    got = Qonnx(opening(files)).run(pictures)
    model = ModelWrapper(str(files.qonnx))
    name = model.graph.input[0].name
    compared = 0
    for i, picture in enumerate(pictures):
        feed = {name: picture.transpose(2, 0, 1)[None].astype(np.float32)}
        context = execute_onnx(model, feed, return_full_exec_context=True)
        for boundary in Qonnx(opening(files))._boundaries:
            want = boundary.codes(context[boundary.reference])
            assert np.array_equal(got[boundary.tensor][i : i + 1], want), boundary.tensor
            compared += want.size
    assert compared > 300


def test_by_default_a_build_is_compared_with_what_it_was_made_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx.save(block(channels=1), tmp_path / "block.onnx")
    folder = tmp_path / "build"
    api.build(tmp_path / "block.onnx", folder, until="pack")
    Image.new("L", (4, 4), 90).save(tmp_path / "a.png")
    asked: list[tuple[str, ...]] = []

    def stop(
        files: BuildFiles, cpu: Any, pixels: Any, names: Any, wanted: Any, progress: Any
    ) -> None:
        asked.append(tuple(wanted))
        raise CheckFailed("enough")

    monkeypatch.setattr(compare, "run", stop)
    monkeypatch.setattr(api, "check_trust", lambda *_: [])
    for _ in range(2):
        with pytest.raises(CheckFailed, match="enough"):
            api.compare(folder, tmp_path / "a.png")
        BuildFiles(folder).checkpoint.touch()
    assert asked == [(first, "golden", "cpu", "rtl") for first in ("qonnx", "torch")]
