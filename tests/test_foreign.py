# SPDX-License-Identifier: Apache-2.0
"""Somebody else's network through the same flow: brevitas_examples' CNV, random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from andpop.flows import api
from andpop.hw.rtl.top_info import TopInfo
from foreign_networks import export_cnv
from PIL import Image

pytestmark = [pytest.mark.full, pytest.mark.sim, pytest.mark.xdist_group("foreign")]


@pytest.fixture(scope="session", params=["cnv_1w1a", "cnv_1w2a", "cnv_2w2a"])
def cnv(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished build of a CNV (32x32x3, no padding) from its raw QONNX export."""
    folder = tmp_path_factory.mktemp("cnv")
    file = export_cnv(folder / "cnv.qonnx.onnx", request.param)
    api.build(file, folder / "build", target_cycles=40_000)
    return folder / "build"


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("colour")
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(2)]
    arrays += [np.zeros_like(arrays[0]), np.full_like(arrays[0], 255)]
    for i, array in enumerate(arrays):
        Image.fromarray(array).save(folder / f"{i}.png")
    return folder


def test_cnv_is_exact_on_every_backend(cnv: Path, pictures: Path) -> None:
    result = api.compare(cnv, pictures, ("qonnx", "golden", "cpu", "rtl"))
    print(f"{result['values_compared']} values compared, {result['values_differing']} differing")
    assert result["values_differing"] == 0
    for row in result["backends"]:
        assert row["pictures"] == 4
        assert row["values_compared"] > 100_000


def test_cnv_simulates_at_its_stated_pace(cnv: Path, pictures: Path) -> None:
    result = api.simulate(cnv, pictures)
    stated = TopInfo.load(cnv / "rtl").slowest.cycles
    print({k: v for k, v in result.items() if k != "layers"}, "stated", stated)
    assert result["images"] == 4
    assert result["values_differing"] == 0
    assert 0.94 * stated <= result["interval"] <= 1.03 * stated
