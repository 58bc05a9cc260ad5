# SPDX-License-Identifier: Apache-2.0
"""Residual networks of other tools: the sums of their blocks on every backend."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from andpop.flows import api
from andpop.hw.graph.clean import clean
from andpop.hw.graph.loader import load
from andpop.hw.graph.lowering import lower
from andpop.hw.graph.skips import skips
from andpop.hw.graph.specialise import specialise
from foreign_residuals import export_preactivated, export_resnet8, export_resnet18, export_strided
from test_fully_connected import check, draw


@pytest.mark.sim
def test_resnet8_of_brevitas_blocks_is_exact_on_every_backend(tmp_path: Path) -> None:
    file = export_resnet8(tmp_path / "resnet8.onnx")
    api.build(file, tmp_path / "build", target_cycles=4608)
    check(tmp_path / "build", draw(tmp_path / "pictures", (16, 16, 3)), 4)
    # Two 3x3 windows hold back two rows and two pixels of 16, and one that comes.
    (skip,) = json.loads((tmp_path / "build" / "report.json").read_text())["skips"]
    assert skip["consumer"] == "_3_AddStreams"
    assert skip["bound_bits"] == 35 * 8 * 4 <= skip["peak_bits"] < skip["map_bits"]


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


def test_the_bound_of_a_sum_follows_from_its_windows(tmp_path: Path) -> None:
    """Two windows of 3x3 hold back two rows of 16 and two pixels, and the one that comes."""
    network = clean(load(export_resnet8(tmp_path / "resnet8.onnx")).model)
    (skip,) = skips(specialise(lower(network)))
    assert (skip.consumer, skip.bound_pixels, skip.map_pixels) == ("_3_AddStreams", 35, 256)


@pytest.mark.full
@pytest.mark.sim
@pytest.mark.timeout(7200)
def test_resnet18_of_brevitas_blocks_is_exact_on_every_backend(tmp_path: Path) -> None:
    """Eight blocks, 4w4a, pictures of 64x64."""
    file = export_resnet18(tmp_path / "resnet18.onnx")
    api.build(file, tmp_path / "build", target_cycles=147456, board="zcu104")
    check(tmp_path / "build", draw(tmp_path / "pictures", (64, 64, 3), 3), 3)
