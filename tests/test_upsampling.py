# SPDX-License-Identifier: Apache-2.0
"""Networks that make maps larger: nearest repetition, transposed convolutions, pixel shuffles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from andpop.flows import api
from andpop.hw.graph.heads import write_kinds
from foreign_networks import export_autoencoder, export_super_resolution, export_u_net
from test_fully_connected import check, draw


def as_map(path: Path) -> None:
    """Ask for the output as a map of integers."""
    proto = onnx.load(path)
    write_kinds(proto, {proto.graph.output[0].name: "map"})
    onnx.save(proto, path)


@pytest.mark.sim
@pytest.mark.parametrize(
    ("export", "size", "is_map"),
    [
        (lambda path: export_super_resolution(path, shuffled=False), 8, True),
        (lambda path: export_super_resolution(path, shuffled=True), 8, True),
        (export_autoencoder, 16, True),
        (export_u_net, 12, False),
    ],
    ids=["nearest", "shuffle", "autoencoder", "u-net"],
)
def test_networks_with_larger_maps_are_exact_on_every_backend(
    export: Callable[[Path], Path], size: int, is_map: bool, tmp_path: Path
) -> None:
    file = export(tmp_path / "net.onnx")
    if is_map:
        as_map(file)
    api.build(file, tmp_path / "build", target_cycles=4096)
    check(tmp_path / "build", draw(tmp_path / "pictures", (size, size)), 4)
