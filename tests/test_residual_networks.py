# SPDX-License-Identifier: Apache-2.0
"""Residual networks of other tools: the sums of their blocks on every backend."""

from __future__ import annotations

from pathlib import Path

import pytest
from andpop.flows import api
from foreign_residuals import export_preactivated, export_resnet8, export_strided
from test_fully_connected import check, draw


@pytest.mark.sim
def test_resnet8_of_brevitas_blocks_is_exact_on_every_backend(tmp_path: Path) -> None:
    file = export_resnet8(tmp_path / "resnet8.onnx")
    api.build(file, tmp_path / "build", target_cycles=4608)
    check(tmp_path / "build", draw(tmp_path / "pictures", (16, 16, 3)), 4)


@pytest.mark.sim
def test_a_block_of_unlike_scales_is_exact_on_every_backend(tmp_path: Path) -> None:
    """Its 1x1 convolution of stride 2 and its body have quantisers of their own."""
    file = export_strided(tmp_path / "strided.onnx")
    api.build(file, tmp_path / "build", target_cycles=2304)
    check(tmp_path / "build", draw(tmp_path / "pictures", (8, 8, 3)), 4)


@pytest.mark.sim
def test_preactivated_blocks_are_exact_on_every_backend(tmp_path: Path) -> None:
    """A sum is read by a normalisation and by the next sum; one has three terms."""
    file = export_preactivated(tmp_path / "preactivated.onnx")
    api.build(file, tmp_path / "build", target_cycles=2304)
    check(tmp_path / "build", draw(tmp_path / "pictures", (8, 8, 3)), 4)
