# SPDX-License-Identifier: Apache-2.0
"""What ops state of themselves is what Yosys maps: logic nearly, memories and DSPs exactly."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from andpop.flows import api
from andpop.hw.graph.folding import fold
from andpop.hw.graph.reach import fuse_for
from andpop.hw.graph.specialise import specialise
from andpop.hw.kernels import KERNELS
from andpop.hw.kernels.base import HW
from andpop.hw.kernels.costs import RESOURCES, Structure, Usage, cost, loop_counts, tables
from andpop.hw.kernels.memory import (
    ReadOnlyMemory,
    block_banks,
    bram18_blocks,
    held_luts,
    rom_luts,
    rom_parts,
    shared_blocks,
)
from andpop.hw.kernels.one_node import one_node
from andpop.hw.kernels.ops import op_of
from andpop.hw.kernels.thresholding.cases import SMOKE as THRESHOLDING
from andpop.hw.rtl.emit_top import set_depths
from andpop.hw.rtl.simulate import emit
from andpop.hw.synth.calibrate import Sample, fit
from andpop.hw.synth.measure import Point, measure
from andpop.hw.synth.network import NodeUsage, synthesise_network
from dataflow_graphs import bi_shufflenet
from foreign_networks import export_cnv
from qonnx.core.modelwrapper import ModelWrapper

SHARE = 0.1
"""Share of its LUTs or flip-flops by which a case may be off."""
TYPE_SHARE = 0.05
"""Share by which all nodes of a type in a network may be."""
NEAR = 8
"""LUTs or flip-flops off by which nobody minds: of one small node 5 % are one or two."""


CONTENTS = {"epilogue": {"lutram", "dsp"}, "signed_thresholding": {"lutram"}}
"""What parameters decide: which of them wait in shift registers of LUTs, as constants need none,
and which factors are powers of two."""


def off(stated: Usage, point: Point) -> list[str]:
    """What of an estimate is wrong, in words."""
    found = point.usage
    wrong = [
        f"{what} {getattr(stated, what)}, measured {getattr(found, what)}"
        for what in ("lut", "ff")
        if abs(getattr(stated, what) - getattr(found, what))
        > max(NEAR, SHARE * getattr(found, what))
    ]
    exact = {"lutram", "bram18", "dsp"} - CONTENTS.get(point.label.split()[0], set())
    return wrong + [
        f"{what} {getattr(stated, what)}, measured {getattr(found, what)}"
        for what in sorted(exact)
        if getattr(stated, what) != getattr(found, what)
    ]


@pytest.mark.parametrize("kernel", KERNELS)
def test_smoke_cases_take_what_their_ops_state(kernel: str) -> None:
    cases = import_module(f"andpop.hw.kernels.{kernel}.cases").SMOKE
    wrong = {
        point.label: off(point.op.stated(), point) for point in measure((kernel, c) for c in cases)
    }
    assert not {label: words for label, words in wrong.items() if words}


@pytest.mark.parametrize("kernel", KERNELS)
def test_tables_hold_a_number_for_counts_alone(kernel: str) -> None:
    found = tables(HW / "kernels" / kernel)
    assert found, f"{kernel} has no costs.json; run make calibrate"
    for table in found.values():
        assert set(table) == {"lut", "srl", "ff"}
        assert all(number > 0 for numbers in table.values() for number in numbers.values())


def test_costs_are_sums_over_counts(tmp_path: Path) -> None:
    (tmp_path / "costs.json").write_text(
        '{"": {"lut": {"one": 2.5, "bits": 0.5}, "srl": {"one": 3}, "ff": {"bits": 2}}}',
        encoding="ascii",
    )
    structure = Structure(
        {"one": 1, "bits": 8, "other": 3}, luts=4, ffs=3, lutram=12, bram18=1, dsp=2
    )
    assert cost(structure, tmp_path) == Usage(lut=25, lutram=15, ff=19, bram18=1, dsp=2)
    assert cost(Structure({"one": 1}, table="none"), tmp_path) == Usage()


def test_loops_of_one_step_count_nothing() -> None:
    assert loop_counts((1, 2, 9, 1)) == {"loops": 2, "counters": 5}


def test_a_fit_finds_what_made_the_points() -> None:
    samples = [
        Sample(str(n), 1.0, Structure({"one": 1, "bits": n}), {"lut": 7 + 3 * n}, {"lut": 50})
        for n in range(1, 12)
    ]
    found = fit(samples, "lut")
    assert found["one"] == pytest.approx(7, abs=0.1) and found["bits"] == pytest.approx(3, abs=0.02)


@pytest.mark.parametrize(
    ("depth", "width", "luts"),
    [(1, 40, 0), (64, 36, 36), (65, 36, 90), (240, 18, 90), (480, 18, 198), (2, 64, 32)],
)
def test_columns_of_64_words_are_a_lut(depth: int, width: int, luts: int) -> None:
    assert rom_luts(depth, width) == luts


def test_tables_of_one_value_in_many_words_take_less() -> None:
    random = [7, 0, 5, 2] * 32
    assert held_luts(random) == (9, 3) == (rom_luts(128, 3), 3)
    assert held_luts([7, 3, 7, 3] * 32) == (3, 1)  # two columns are constants
    assert held_luts([1] * 64 + [0] * 64) == (1, 1)  # what selects is all
    assert held_luts([0]) == (0, 0)


def test_thresholds_are_counted_as_they_are_folded() -> None:
    case = next(c for c in THRESHOLDING if c.name == "int14_n20_c12_pe2_int5")
    model, op = one_node(case)
    plain = op.stated()
    model.set_initializer(op.onnx_node.input[1], np.tile(np.arange(20.0), (12, 1)))
    op.count_constants(model)
    assert op.stated().lut < plain.lut - 50 and op.stated().ff < plain.ff - 50
    op.set_nodeattr("PE", 1)  # counted for two lanes
    other = op.stated()
    op.set_nodeattr("counted_constants", [])
    assert op.stated() == other


@pytest.mark.parametrize(
    ("depth", "width", "banks"),
    [
        (300, 20, [300]),  # the widest shape, which lies alone
        (600, 9, [1024]),  # as deep as a shape of a block
        (1120, 288, [2048]),
        (2600, 26, [2048, 1024]),
        (7680, 72, [2048] * 4),
        (20000, 3, [16384, 4096]),
    ],
)
def test_a_bank_is_one_block_deep(depth: int, width: int, banks: list[int]) -> None:
    assert block_banks(depth, width) == banks


def test_parts_that_both_ports_read_leave_nothing_to_select() -> None:
    assert rom_parts(7680, 32, shared=True) == [2] * 16
    assert shared_blocks(7680, 2) == 1


@pytest.mark.parametrize(
    ("depth", "width", "parts"),
    [
        (8192, 32, [2] * 16),  # one block more than banks of 2,048 words
        (8192, 16, [16]),  # nothing selects anyway
        (1088, 12, [6, 6]),
        (2304, 72, [72]),  # many blocks more
        (20000, 3, [3]),  # deeper than any block
    ],
)
def test_parts_side_by_side_leave_nothing_to_select(
    depth: int, width: int, parts: list[int]
) -> None:
    assert rom_parts(depth, width) == parts
    rom = ReadOnlyMemory(depth, width, "block", parted=True)
    assert rom.parts == parts and rom.brams == sum(
        bram18_blocks(depth, bits, read_only=True) for bits in parts
    )
    assert rom.luts == 0 or len(parts) == 1


@pytest.mark.parametrize(
    ("depth", "width", "block"),
    [(64, 180, False), (64, 200, False), (512, 36, True), (1, 9, False)],
)
def test_constants_lie_where_they_are_cheaper(depth: int, width: int, block: bool) -> None:
    memory = ReadOnlyMemory(depth, width)
    assert memory.block is block
    assert memory.brams == (bram18_blocks(depth, width) if block else 0)
    assert (memory.luts > 0) is (not block and depth > 1)


def by_op(rows: Sequence[NodeUsage]) -> dict[str, tuple[Usage, Usage]]:
    """Type of op -> what its nodes state, what Yosys maps; parts without an op left out."""
    sums: dict[str, tuple[Usage, Usage]] = {}
    for row in rows:
        if row.node is None:
            continue
        found = Usage(**{name: getattr(row.usage, name) for name in RESOURCES})
        before = sums.get(row.op, (Usage(), Usage()))
        sums[row.op] = (before[0] + Usage(**row.estimate), before[1] + found)
    return sums


def far_off(rows: Sequence[NodeUsage]) -> dict[str, tuple[Usage, Usage]]:
    """Types of op whose LUTs or flip-flops are further off than a share, or whose memories or DSPs
    are wrong."""
    return {
        op: (stated, found)
        for op, (stated, found) in by_op(rows).items()
        if any(
            abs(getattr(stated, what) - getattr(found, what))
            > max(NEAR, TYPE_SHARE * getattr(found, what))
            for what in ("lut", "ff")
        )
        or (stated.bram18, stated.dsp) != (found.bram18, found.dsp)
    }


def test_op_types_of_a_small_network_take_what_they_state(tmp_path: Path) -> None:
    lowered = specialise(ModelWrapper(bi_shufflenet((32, 32), 1, (4, 8, 16, 32, 12), (1, 1, 1))))
    model = fuse_for(lowered, 4096)
    emit(fold(model, 4096), tmp_path / "rtl")
    rows = synthesise_network(tmp_path / "rtl", node=None, primitives=True, progress=silent)
    assert not far_off(rows)


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "size", "cycles"),
    [
        ("bi-shufflenet-neu", "32x32x1", 8192),
        ("u-binet-k4-mt", "32x32x1", 8192),
        ("pa-resnet-small-m4n5-neu", "32x32x1", 8192),
        # as docs/03_reference/fit.md has them
        ("bi-shufflenet-neu", "128x128x1", None),
        ("bi-shufflenet-neu", "128x128x1", 65_536),
        ("u-binet-k4-mt", "112x112x1", None),
        ("pa-resnet-small-m4n5-neu", "64x64x1", None),
    ],
)
def test_op_types_of_a_published_network_take_what_they_state(
    name: str, size: str, cycles: int | None, tmp_path: Path
) -> None:
    folder, source = tmp_path / "build", api.ZOO / f"{name}.safetensors"
    api.build(source, folder, input=size, target_cycles=cycles, until="emit")
    cap_fifos(folder / "rtl")
    rows = synthesise_network(folder / "rtl", node=None, primitives=True, progress=silent)
    assert not far_off(rows)


@pytest.mark.full
@pytest.mark.parametrize("cycles", [33_000, 10_000])
def test_op_types_of_a_foreign_network_take_what_they_state(cycles: int, tmp_path: Path) -> None:
    folder = tmp_path / "build"
    api.build(export_cnv(tmp_path / "cnv.onnx"), folder, target_cycles=cycles, until="emit")
    cap_fifos(folder / "rtl")
    rows = synthesise_network(folder / "rtl", node=None, primitives=True, progress=silent)
    assert not far_off(rows)


def cap_fifos(rtl: Path) -> None:
    """Make FIFOs that were not sized as deep as those of a build may be, not as sizing needs."""
    depths = {}
    for node in ModelWrapper(str(rtl / "stitched.onnx")).graph.node:
        if node.op_type == "StreamingFIFO_rtl":
            depths[node.name] = min(int(op_of(node).get_nodeattr("depth")), 4096)
    set_depths(rtl, depths)


def silent(*_: object) -> None:
    """Report nothing."""
