# SPDX-License-Identifier: Apache-2.0
"""Residual networks of other tools: the sums of their blocks on every backend."""

from __future__ import annotations

from pathlib import Path

import pytest
from andpop.flows import api
from foreign_residuals import export_resnet8
from test_fully_connected import check, draw


@pytest.mark.sim
def test_resnet8_of_brevitas_blocks_is_exact_on_every_backend(tmp_path: Path) -> None:
    file = export_resnet8(tmp_path / "resnet8.onnx")
    api.build(file, tmp_path / "build", target_cycles=4608)
    check(tmp_path / "build", draw(tmp_path / "pictures", (16, 16, 3)), 4)
