# SPDX-License-Identifier: Apache-2.0
"""MobileNetV1, ProxylessNAS and ResNet18 of brevitas_examples: two blocks of the first two and the
whole first one on every backend, the others whole up to the CPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from andpop.flows import api
from foreign_mobile import (
    MOBILE,
    export_mobile,
    export_mobilenet_cut,
    export_proxyless_cut,
    export_resnet18_4w4a,
)
from test_fully_connected import check, draw

TRAINED = {"input_mean": "0.485,0.456,0.406", "input_std": "0.226"}
"""What brevitas_examples' configurations of the mobile networks say of a pixel."""


@pytest.mark.sim
@pytest.mark.parametrize("export", [export_mobilenet_cut, export_proxyless_cut])
@pytest.mark.parametrize("reads", [{}, TRAINED], ids=["plain", "trained"])
def test_two_blocks_are_exact_on_every_backend(
    export: Callable[[Path], Path], reads: dict[str, str], tmp_path: Path
) -> None:
    file = export(tmp_path / "net.onnx")
    api.build(file, tmp_path / "build", target_cycles=4608, **reads)
    check(tmp_path / "build", draw(tmp_path / "pictures", (16, 16, 3)), 4)


def check_cpu(file: Path, folder: Path, side: int, target_cycles: int) -> None:
    """Built up to what the CPU runs, for a board that is not judged; no bit of two pictures
    differs."""
    api.build(file, folder / "build", target_cycles=target_cycles, board="ulx3s-85f", until="pack")
    images = draw(folder / "pictures", (side, side, 3))
    result = api.compare(folder / "build", images, ("qonnx", "golden", "cpu"), count=2)
    print(f"{result['values_compared']} values, {result['values_differing']} differing")
    assert [row["pictures"] for row in result["backends"]] == [2, 2]
    assert result["values_differing"] == 0
    assert result["values_compared"] > 100_000


@pytest.mark.full
@pytest.mark.sim
@pytest.mark.timeout(3600)
def test_mobilenet_is_exact_on_every_backend(tmp_path: Path) -> None:
    """At a quarter of its width."""
    file = export_mobile(MOBILE[0], tmp_path / "net.onnx")
    api.build(file, tmp_path / "build", target_cycles=200_000, board="ulx3s-85f")
    check(tmp_path / "build", draw(tmp_path / "pictures", (64, 64, 3), 3), 3)


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", MOBILE[1:])
def test_whole_networks_are_exact_on_the_cpu(name: str, tmp_path: Path) -> None:
    check_cpu(export_mobile(name, tmp_path / "net.onnx"), tmp_path, 64, 200_000)


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_resnet18_is_exact_on_the_cpu(tmp_path: Path) -> None:
    check_cpu(export_resnet18_4w4a(tmp_path / "net.onnx"), tmp_path, 32, 600_000)
