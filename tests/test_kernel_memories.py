# SPDX-License-Identifier: Apache-2.0
"""Memories of the kernels: what their words hold, what they cost, which constants fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from andpop.hw.kernels.banked import BankedRom
from andpop.hw.kernels.binary_mvu import cases as binary_cases
from andpop.hw.kernels.binary_mvu.op import IMPLEMENTATIONS
from andpop.hw.kernels.epilogue import cases as epilogue_cases
from andpop.hw.kernels.int_mvu import cases as int_cases
from andpop.hw.kernels.memory import bram18_blocks, lutram_luts
from andpop.hw.kernels.mvu import weight_words
from andpop.hw.kernels.pa_mvu import cases as pa_cases
from andpop.hw.kernels.signed_thresholding import cases as threshold_cases
from andpop.hw.kernels.signed_thresholding.golden import signed_thresholding
from andpop.hw.kernels.thresholds import search_entries, search_stages, search_tables
from andpop.hw.kernels.xnor_mvu import cases as xnor_cases
from andpop.quant.grid import IntArray, limits, type_format
from andpop.sim.cases import Case, Operand
from comparisons import Comparisons
from definitions import searched
from kernel_cases import altered, build_op, rtl_op
from qonnx.core.datatype import DataType

CODED = [c for c in threshold_cases.SMOKE + threshold_cases.FULL if c.attrs["encoding"] == "code"]
FREE = pa_cases.SMOKE[1]
LINEAR = pa_cases.SMOKE[2]
NO_BITS = r"^BinaryMvu_0: found weights -1\.\.-1, expected 0 \(for -1\) and 1 \(for \+1\)$"


# What the words hold.


@pytest.mark.parametrize(("mw", "mh", "simd", "pe"), [(6, 4, 3, 2), (6, 4, 1, 4), (5, 3, 5, 1)])
def test_weight_words_follow_the_steps_of_the_unit(mw: int, mh: int, simd: int, pe: int) -> None:
    rng = np.random.default_rng(3)
    w = rng.integers(-8, 7, (mw, mh), endpoint=True)
    x = rng.integers(0, 255, mw, endpoint=True)
    words = iter(weight_words(w, pe, simd, 4))
    sums = []
    for _ in range(mh // pe):
        lanes = [0] * pe
        for sf in range(mw // simd):
            word = next(words)
            for p in range(pe):
                for s in range(simd):
                    code = (word >> ((p * simd + s) * 4)) & 15
                    lanes[p] += int(x[sf * simd + s]) * (code - 16 * (code >> 3))
        sums += lanes
    assert sums == (x @ w).tolist()
    assert next(words, None) is None


def test_implementations_take_the_same_memory_of_weights(tmp_path: Path) -> None:
    images = {}
    for name in IMPLEMENTATIONS:
        built = build_op(altered(binary_cases.SMOKE[0], implementation=name))
        built.generate(tmp_path / name)
        images[name] = {f.name: f.read_text() for f in (tmp_path / name).glob("*.mem")}
    weights = "BinaryMvu_0_weights.mem"
    assert images["serial"].keys() == {weights}
    assert images["addsub"].keys() == {weights, "BinaryMvu_0_init.mem"}
    assert images["serial"][weights] == images["addsub"][weights]


def test_deep_constants_take_no_more_blocks_in_banks_and_hold_every_word() -> None:
    for depth, width, bank in ((6144, 8, 2048), (8192, 192, 2048), (5120, 18, 1024)):
        rom = BankedRom(depth, width)
        assert rom.bank == bank
        assert rom.brams == bram18_blocks(depth, width, read_only=True)
    rom = BankedRom(2100, 16)
    words = [(index * 40503) % 65536 for index in range(2100)]
    lines = [int(line, 16) for line in rom.image(words).split()]
    read = [
        sum((lines[a % rom.bank] >> (k * rom.banks + a // rom.bank) & 1) << k for k in range(16))
        for a in range(2100)
    ]
    assert read == words
    assert BankedRom(512, 36).bank == 0


def written_tables(case: Case) -> list[IntArray]:
    """The tables (C, entries) that the memory images of a case's search hold."""
    built = build_op(altered(case, implementation="search"))
    images = built.op.memories(built.model)
    pe, steps = case.attrs["PE"], case.attrs["numSteps"]
    assert len(images) == pe * (search_stages(steps) + 1)
    tables = []
    for stage in range(search_stages(steps) + 1):
        lanes = [images[f"SignedThresholding_0_table_{stage}_{p}.mem"].split() for p in range(pe)]
        words = np.array([[int(word, 16) for word in lane] for lane in lanes])
        folded = words.reshape(pe, -1, search_entries(steps, stage))
        tables.append(folded.transpose(1, 0, 2).reshape(-1, folded.shape[2]))
    return tables


@pytest.mark.parametrize("case", CODED, ids=lambda c: c.name)
def test_the_memories_of_a_search_hold_golden(case: Case, compared: Comparisons) -> None:
    low, high = limits(*type_format(case.attrs["inputDataType"]))
    thresholds, steps, base = case.make_initializers()
    # Every input of narrow types; of wide ones the neighbourhood of every threshold, and the ends.
    near = np.unique(thresholds + np.arange(-1, 2)[:, None, None])
    x = np.arange(low, high + 1) if high - low < 1 << 12 else np.r_[low, near, high]
    x = x.clip(low, high)
    found = searched(written_tables(case), np.tile(x - low, (len(thresholds), 1)))
    expected = signed_thresholding(
        np.tile(x[:, None], (1, len(thresholds))), thresholds, steps, base
    )
    target = DataType[case.output_types[0]]
    signs = np.where(found > target.max(), 1 << target.bitwidth(), 0)
    compared.arrays(expected.T, found - signs)


@pytest.mark.parametrize("steps", range(1, 40))
def test_tables_have_as_many_entries_as_their_index_takes_values(steps: int) -> None:
    thresholds = np.arange(1, steps + 1)[None, :]
    ones, none = np.ones_like(thresholds), np.zeros(1, dtype=np.int64)
    tables = search_tables(thresholds, ones, none, 0, steps)
    x = np.arange(steps + 1)[None, :]
    assert np.array_equal(searched(tables, x), x)
    index = x
    for stage in reversed(range(search_stages(steps) + 1)):
        assert tables[stage].shape == (1, search_entries(steps, stage)) == (1, index.max() + 1)
        index = index // 2


# What they cost.


def test_memory_costs_by_hand() -> None:
    assert lutram_luts(32, 6) == 4
    assert lutram_luts(64, 3) == 4
    assert lutram_luts(33, 4) == 8
    assert lutram_luts(128, 3) == 8 + 5
    assert bram18_blocks(512, 36) == 1
    assert bram18_blocks(513, 36) == 2
    assert bram18_blocks(4096, 4) == 1
    assert bram18_blocks(10000, 8) == 5


@pytest.mark.parametrize(
    ("style", "depth", "lanes", "block"),
    [
        ("auto", 64, 100, False),
        ("auto", 512, 1, False),
        ("auto", 640, 1, True),
        ("block", 3, 1, True),
        ("distributed", 9000, 4, False),
    ],
)
def test_fifo_memory_follows_style_and_size(
    style: str, depth: int, lanes: int, block: bool
) -> None:
    op = rtl_op(
        "StreamingFIFO", depth=depth, folded_shape=[1, 4, 1, lanes], normal_shape=[1, 4, lanes],
        dataType="INT8", ram_style=style,
    )  # fmt: skip
    assert op.rtl_parameters()["BlockRam"] == int(block)
    assert (op.bram_estimation("") > 0) is block


# Which constants fit.


@pytest.mark.parametrize(
    ("case", "message"),
    [
        pytest.param(binary_cases.SMOKE[0], NO_BITS, id="binary"),
        pytest.param(xnor_cases.SMOKE[1], "found weights -1..-1, expected 0..1", id="xnor"),
    ],
)
def test_weights_that_are_no_bits_are_refused(case: Case, message: str, tmp_path: Path) -> None:
    built = build_op(case)
    shape = case.make_initializers()[0].shape
    built.model.set_initializer("w", np.full(shape, -1, dtype=np.float32))
    with pytest.raises(ValueError, match=message):
        built.generate(tmp_path)


def test_accumulators_of_weights_that_are_no_bits_are_refused() -> None:
    built = build_op(binary_cases.SMOKE[0])
    built.model.set_initializer("w", np.full((72, 6), -1, dtype=np.float32))
    with pytest.raises(ValueError, match=NO_BITS):
        built.op.minimize_accumulator_width(built.model)


def test_weights_wider_than_declared_are_refused(tmp_path: Path) -> None:
    built = build_op(altered(int_cases.SMOKE[0], weightDataType="INT4"))
    with pytest.raises(ValueError, match="found weights -128..127, expected -8..7"):
        built.generate(tmp_path)


def test_a_slope_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    built = build_op(epilogue_cases.SMOKE[0])
    params = epilogue_cases.SMOKE[0].make_initializers()[0].astype(np.float32)
    params[3, 5] = 128
    built.model.set_initializer("params", params)
    with pytest.raises(ValueError, match="slope of channel 5 is 128, expected -128..127"):
        built.generate(tmp_path)


def test_levels_are_of_16_bits() -> None:
    built = build_op(altered(FREE, betaDataType="UINT16"))
    built.model.set_initializer("beta", np.array([0, 1, 2, 3, 4, 5, 6, 32768], dtype=np.float32))
    with pytest.raises(ValueError, match=r"^PaMvu_0: found beta 0..32768, expected 0..32767 "):
        built.op.read_constants(built.model)


@pytest.mark.parametrize(
    ("initializer", "values", "message"),
    [
        ("alpha", [-2, -1, 1, 1, 2], r"found alpha \[-2, -1, 1, 1, 2\], expected 0 at index 2"),
        ("alpha", [-2, -1], r"found alpha \[-2, -1\], expected 0 at index 2"),
        ("alpha", [-9, -1, 0, 1, 2], "found alpha -9..2, expected -4..3 .declared INT3,"),
        ("alpha", [-1, -1, 0, 1, 1, 1, 1], "alpha has the codes -2..4, expected -4..3 as"),
        ("beta", [1, 2], r"found beta \[1, 2\], expected 0 at index 0"),
        ("beta", [0, 1, 2, 3, 4, 9], "found beta 0..9, expected 0..7 .declared UINT3,"),
        ("beta", [0, 1, 2, 3, 4, 5, 6, 7, 7], "beta has the codes 0..8, expected 0..7 as declared"),
        ("w", 3, "found weight codes 3..3, expected -2..2, the codes alpha has levels for"),
    ],
)
def test_codebooks_that_do_not_fit_are_refused(
    initializer: str, values: Any, message: str, tmp_path: Path
) -> None:
    built = build_op(LINEAR)
    shape = LINEAR.make_initializers()[0].shape if initializer == "w" else None
    value = np.full(shape, values) if shape else np.array(values)
    built.model.set_initializer(initializer, value.astype(np.float32))
    with pytest.raises(ValueError, match=f"^PaMvu_0: {message}") as error:
        built.generate(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("initializers", "message"),
    [
        (([[0, 128]], [[1, 1]], [0]), "thresholds of channel 1 is 128, expected INT8"),
        (([[0, 1]], [[1, 0]], [0]), "steps of channel 1 is 0, expected BIPOLAR"),
        (
            ([[0, 1]], [[1, 1]], [2]),
            "channel 1 reaches code 4, expected 0..3; widen outputDataType",
        ),
        (([[0, 1]], [[-1, 1]], [0]), "channel 1 reaches code -1, expected 0..3"),
        (([[0, 1]], [[1, 1]], [9]), "base of channel 1 is 9, expected INT3"),
        (([[0, 1, 2]], [[1, 1, 1]], [0]), r"thresholds has shape \(2, 3\), expected .* \(2, 2\)"),
    ],
)
def test_signed_thresholding_refuses_constants_it_cannot_hold(
    initializers: tuple[list[list[int]], list[list[int]], list[int]], message: str
) -> None:
    values = [np.concatenate([np.zeros_like(np.array(v)), np.array(v)]) for v in initializers]
    values[1][0] = 1
    shape = (1, 2, 2, 2)
    types = ("INT8", "INT8", "BIPOLAR", "INT3")
    case = Case(
        "bad",
        "SignedThresholding",
        {
            "NumChannels": 2, "PE": 1, "numSteps": 2, "numInputVectors": [1, 2, 2],
            "inputDataType": "INT8", "weightDataType": "INT8", "baseDataType": "INT3",
            "outputDataType": "UINT2", "encoding": "code",
        },
        tuple(
            Operand(name, datatype, shape if i == 0 else values[i - 1].shape, 0, 1, i == 0)
            for i, (name, datatype) in enumerate(
                zip(("x", "thresholds", "steps", "base"), types, strict=True)
            )
        ),
        ("UINT2",),
        initializers=lambda _: values,
    )  # fmt: skip
    built = build_op(case)
    with pytest.raises(ValueError, match=f"SignedThresholding_0: {message}"):
        built.op.memories(built.model)
