# SPDX-License-Identifier: Apache-2.0
"""Networks with PA bases and random weights: exact, and read again as a stranger's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from andpop.flows import api
from networks import draw_surfaces, random_checkpoint

SIDE = 32


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_surfaces(tmp_path_factory.mktemp("pictures"), SIDE)


@pytest.mark.parametrize("config", [{}, {"m": 2, "n": 3, "levels": "linear"}])
def test_random_networks_are_exact(config: dict[str, Any], pictures: Path, tmp_path: Path) -> None:
    """Gammas of both signs and zero; then the exported file again, as if it were a stranger's."""
    checkpoint = random_checkpoint(
        tmp_path / "random.safetensors", "pa-resnet-small", {"depth": 8, **config}, (SIDE, SIDE, 1)
    )
    api.build(checkpoint, tmp_path / "build", until="pack")
    result = api.compare(tmp_path / "build", pictures, ("torch", "qonnx", "cpu"))
    print(f"{result['values_compared']} values compared, {result['values_differing']} differing")
    assert result["values_differing"] == 0
    assert all(row["values_compared"] > 50_000 for row in result["backends"])
    api.build(tmp_path / "build" / "model.qonnx.onnx", tmp_path / "again", until="lower")


@pytest.mark.full
@pytest.mark.sim
@pytest.mark.timeout(3600)
def test_bi_shufflenet_with_pa_blocks(tmp_path: Path, pictures: Path) -> None:
    config = {"width": 0.25, "pa": {}}
    checkpoint = random_checkpoint(
        tmp_path / "pa.safetensors", "bi-shufflenet", config, (SIDE, SIDE, 1)
    )
    api.build(checkpoint, tmp_path / "build", target_cycles=16_000, board="ulx3s-85f")
    result = api.compare(tmp_path / "build", pictures, ("torch", "qonnx", "cpu", "rtl"), count=1)
    print(f"{result['values_compared']} values compared, {result['values_differing']} differing")
    assert result["values_differing"] == 0
    assert all(row["values_compared"] > 15_000 for row in result["backends"])
