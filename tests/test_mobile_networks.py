# SPDX-License-Identifier: Apache-2.0
"""MobileNetV1, ProxylessNAS and ResNet18 of brevitas_examples on every backend: two blocks of the
first two, and all three whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from andpop.flows import api
from andpop.hw.graph.clean import clean
from andpop.hw.graph.elasticity import expected_waiting
from andpop.hw.graph.folding import fold
from andpop.hw.graph.loader import load
from andpop.hw.graph.lowering import lower
from andpop.hw.graph.specialise import specialise
from andpop.hw.kernels.ops import op_of
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


def test_nothing_is_expected_to_wait_behind_windows_as_slow_as_their_reader(
    tmp_path: Path,
) -> None:
    """A pixel there is a window of all channels: a few would be dozens of block RAMs."""
    network = clean(load(export_proxyless_cut(tmp_path / "net.onnx")).model)
    graph = fold(specialise(lower(network)), 4608)
    words = expected_waiting(graph)
    cycles = {n.name: op_of(n).get_exp_cycles() for n in graph.graph.node}
    writers = {n.output[0]: n for n in graph.graph.node}
    slow = [
        words[reader.input[0]]
        for reader in graph.graph.node
        if reader.op_type == "GroupedMvu_rtl"
        and reader.input[0] in words
        and cycles[writers[reader.input[0]].name] >= cycles[reader.name]
    ]
    assert slow and not any(slow)
    borders = {n.input[0] for n in graph.graph.node if n.op_type == "FMPadding_rtl"}
    rows = []
    for name in borders & set(words):
        _, _, width, channels = graph.get_tensor_shape(name)
        rows.append(words[name] / (width * channels))
    assert min(rows) > 0 and max(rows) >= 1, "a row where the border has no time to spare"


def check_whole(file: Path, folder: Path, side: int, cycles: int, **reads: str) -> None:
    """Built for a board that is not judged; no bit of three pictures differs on any backend."""
    api.build(file, folder / "build", target_cycles=cycles, board="ulx3s-85f", **reads)
    result = check(folder / "build", draw(folder / "pictures", (side, side, 3), 3), 3)
    assert result["values_compared"] > 1_000_000


@pytest.mark.full
@pytest.mark.sim
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("reads", [{}, TRAINED], ids=["plain", "trained"])
@pytest.mark.parametrize("name", MOBILE)
def test_whole_networks_are_exact_on_every_backend(
    name: str, reads: dict[str, str], tmp_path: Path
) -> None:
    file = export_mobile(name, tmp_path / "net.onnx")
    check_whole(file, tmp_path, 64, 50_000, **reads)


@pytest.mark.full
@pytest.mark.sim
@pytest.mark.timeout(3600)
def test_resnet18_is_exact_on_every_backend(tmp_path: Path) -> None:
    check_whole(export_resnet18_4w4a(tmp_path / "net.onnx"), tmp_path, 32, 150_000)
