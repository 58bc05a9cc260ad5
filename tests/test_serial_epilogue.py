# SPDX-License-Identifier: Apache-2.0
"""The epilogue on one DSP block: both bodies and the netlist, exact at the ends of every range."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from andpop.hw.kernels.serial_epilogue import WORD_BITS, WORDS, SerialEpilogue, bias_bits
from andpop.hw.synth import yosys
from andpop.quant.grid import EpilogueFormat, IntArray, epilogue, limits
from andpop.sim import verilator
from andpop.sim.model import Model
from comparisons import Comparisons

HW = Path(__file__).parent.parent / "hw"
SOURCES = [
    HW / "rtl" / "dsp_mac.sv", HW / "rtl" / "saturate.sv",
    HW / "kernels" / "epilogue" / "epilogue_serial.sv",
]  # fmt: skip
TOP = "epilogue_serial"
STREAM = EpilogueFormat(0, 10, 6)
"""The shifts of a published layer: shortcuts, 8 bits."""
CORES = {
    "layer": SerialEpilogue(STREAM, 9, True, 22),
    "eight_bit": SerialEpilogue(replace(STREAM, acc_shift=7, pre_shift=8), 23, False, 26),
    "eight_bit_shortcut": SerialEpilogue(
        replace(STREAM, acc_shift=8, acc_bits=12, pre_shift=4), 24, True, 24
    ),
    "wide_alone": SerialEpilogue(EpilogueFormat(0, 0, 0, 0, 0, pre_bits=18), 25, False, 26),
    "wide": SerialEpilogue(EpilogueFormat(0, 16, 12, 7, 3, pre_bits=18, out_bits=16), 16, True, 26),
    "few_bits": SerialEpilogue(
        EpilogueFormat(0, 1, 0, 2, 1, pre_bits=5, out_bits=2), 3, True, 13, mul_bits=4, slope_bits=3
    ),
}


def params_of(core: SerialEpilogue, channels: int) -> IntArray:
    """Parameters at the ends of their ranges, then such that outputs seldom saturate."""
    rng = np.random.default_rng(channels)
    fmt = core.fmt
    half = (1 << fmt.pre_shift) >> 1
    low, high = limits(core.bias_bits)
    ranges = [
        limits(core.mul_bits), (low - half, high - half), limits(fmt.pre_bits),
        limits(core.slope_bits), limits(fmt.pre_bits),
    ]  # fmt: skip
    columns = [
        [r[side] for r, side in zip(ranges, sides, strict=True)]
        for sides in np.ndindex(2, 2, 2, 2, 2)
    ]
    factor = limits(fmt.acc_bits if fmt.acc_shift else core.acc_bits)[1]
    reach = min(ranges[2][1], 2 << fmt.out_bits << fmt.out_shift)
    gain = max(1, min(ranges[0][1], (reach << fmt.pre_shift) // factor))
    bias = min(high - half, reach << fmt.pre_shift)
    tame = [(-gain, gain), (-bias // 4, bias // 4), (-reach // 4, reach // 4), ranges[3]]
    spans = np.array([*tame, (-reach // 4, reach // 4)])
    while len(columns) < channels:
        columns.append(rng.integers(spans[:, 0], spans[:, 1], endpoint=True).tolist())
    return np.array(columns[:channels]).T


def operands(bits: int, shape: tuple[int, int], rng: np.random.Generator) -> IntArray:
    """The two ends, -1 and 0, then any."""
    low, high = limits(bits)
    values = rng.integers(low, high, shape, dtype=np.int64, endpoint=True)
    values[:4] = np.array([low, high, -1, 0])[:, None]
    return values


@dataclass
class Memory:
    """A parameter memory of so many registers, which all move on together."""

    words: list[int]
    registers: list[int]
    address: int = 0

    def move(self) -> None:
        self.registers = [self.words[self.address], *self.registers[:-1]]
        self.address = (self.address + 1) % len(self.words)


@dataclass
class Source:
    """Words of a stream, offered with pauses, held until they are taken."""

    name: str
    words: Iterator[int]
    rng: random.Random
    pauses: float
    offered: int | None = None
    taken: list[int] = field(default_factory=list)

    def offer(self, model: Model) -> None:
        if self.offered is None and self.rng.random() >= self.pauses:
            self.offered = next(self.words, None)
        model.set(f"{self.name}_valid_i", self.offered is not None)
        model.set(f"{self.name}_data_i", 0 if self.offered is None else self.offered)

    def take(self, model: Model, cycle: int) -> None:
        if self.offered is not None and model.get(f"{self.name}_ready_o"):
            self.offered = None
            self.taken.append(cycle)


def run(
    model: Model, core: SerialEpilogue, latency: int, pauses: tuple[float, float, float],
    compared: Comparisons, frames: int = 6, channels: int = 40,
) -> list[int]:  # fmt: skip
    """Compare a run from reset with the rule; returns the cycles that took an accumulator.

    Args:
        pauses: how often accumulator, shortcut and reader wait.
    """
    rng, chance = np.random.default_rng(3), random.Random(str(pauses))
    fmt, shape = core.fmt, (frames, channels)
    params = params_of(core, channels)
    acc, shortcut = operands(core.acc_bits, shape, rng), operands(fmt.out_bits, shape, rng)
    shortcut[:4] = np.roll(shortcut[:4], 1, axis=0)
    expected = epilogue(acc, params, fmt, shortcut if core.has_shortcut else None).reshape(-1)

    def words(values: IntArray, bits: int) -> Iterator[int]:
        return iter((values.reshape(-1) & ((1 << bits) - 1)).tolist())

    sources = [
        Source("acc", words(acc, core.acc_bits), chance, pauses[0]),
        Source("shortcut", words(shortcut, fmt.out_bits), chance, pauses[1]),
    ]
    memory = Memory(core.words(params), [chance.getrandbits(WORD_BITS)] * latency)
    model.set("rst_ni", 0)
    model.step()
    model.set("rst_ni", 1)
    found: list[int] = []
    held: int | None = None
    for cycle in range(100 * expected.size):
        for source in sources:
            source.offer(model)
        ready = chance.random() >= pauses[2]
        model.set("out_ready_i", ready)
        model.set("param_data_i", memory.registers[-1])
        model.eval()
        word = model.get("out_data_o") if model.get("out_valid_o") else None
        assert held is None or word == held, "an output changed while it waited"
        held = word
        if word is not None and ready:
            found.append(word)
            held = None
        moves = model.get("param_next_o")
        for source in sources:
            source.take(model, cycle)
        model.step()
        if moves:
            memory.move()
        if len(found) == expected.size:
            break
    compared.arrays(expected & ((1 << fmt.out_bits) - 1), np.array(found), str(core))
    return sources[0].taken


PAUSES = [(0.0, 0.0, 0.0), (0.2, 0.2, 0.2), (0.95, 0.0, 0.0), (0.0, 0.9, 0.0), (0.0, 0.0, 0.9)]


def check(library: Path, core: SerialEpilogue, latency: int, compared: Comparisons) -> None:
    """Compare a model under every kind of pause; without any, each word takes what is stated."""
    with Model(library) as model:
        for pauses in PAUSES:
            taken = run(model, core, latency, pauses, compared)
            steps = set(np.diff(taken).tolist())
            assert min(steps) == core.cycles
            assert any(pauses) or steps == {core.cycles}


def parameters(core: SerialEpilogue, latency: int, primitives: int) -> dict[str, int | str]:
    """Parameters of the core under test."""
    return {**core.rtl_parameters(), "ParamLatency": latency, "Primitives": primitives}


def cores(quick: str) -> list[Any]:
    """The names of all cores, those but one for the long tests."""
    marks = {name: () if name == quick else (pytest.mark.full,) for name in CORES}
    return [pytest.param(name, marks=mark) for name, mark in marks.items()]


@pytest.mark.sim
@pytest.mark.parametrize("name", cores("few_bits"))
def test_rtl_equals_the_rule(name: str, compared: Comparisons) -> None:
    core, latency = CORES[name], 2
    library = verilator.build(SOURCES, TOP, parameters=parameters(core, latency, 0), jobs=1)
    check(library, core, latency, compared)


@pytest.mark.sim
@pytest.mark.parametrize("name", cores("layer"))
def test_netlist_equals_the_rule(name: str, compared: Comparisons) -> None:
    core = CORES[name]
    result = yosys.synthesise(TOP, SOURCES, parameters=parameters(core, 1, 1))
    assert result.dsp == 1
    library = verilator.build([result.netlist, yosys.cells_sim()], TOP, jobs=1)
    check(library, core, 1, compared)


@pytest.mark.sim
def test_bodies_of_the_dsp_block_are_equal(tmp_path: Path, compared: Comparisons) -> None:
    """Every cycle, whatever the sequencer does, once every register was loaded."""
    widths = {"d": 25, "a": 25, "b": 18, "c": 48}
    switches = [*(f"{r}_enable" for r in (*widths, "p")), "a_clear", "p_keeps"]
    switches += ["p_adds_c", "p_adds_p"]
    inputs = [f"input logic {s}_i" for s in switches]
    inputs += [f"input logic signed [{bits - 1}:0] {name}_i" for name, bits in widths.items()]
    bodies = [
        f"dsp_mac #(.Primitives({cell})) u_{cell} (.*, .p_o(p_o[{cell}]));" for cell in (0, 1)
    ]
    top = tmp_path / "bodies.sv"
    top.write_text(
        f"module bodies (input logic clk_i, {', '.join(inputs)},\n"
        "  output logic signed [1:0][47:0] p_o);\n  " + "\n  ".join(bodies) + "\nendmodule\n"
    )
    library = verilator.build([SOURCES[0], top, yosys.cells_sim()], "bodies", jobs=1)
    rng = random.Random(5)
    with Model(library) as model:
        for cycle in range(4000):
            for name, bits in widths.items():
                ends = [1 << (bits - 1), (1 << (bits - 1)) - 1, 0, (1 << bits) - 1]
                model.set(f"{name}_i", rng.choice([*ends, rng.getrandbits(bits)]))
            for name in switches:
                model.set(f"{name}_i", rng.random() < 0.5)
            if cycle < 8:
                for name in (*widths, "p"):
                    model.set(f"{name}_enable_i", 1)
                model.set("a_clear_i", 0)
                model.set("p_keeps_i", 0)
                model.set("p_adds_c_i", 1)
            model.step()
            if cycle >= 8:
                p = model.get("p_o")
                words = [p >> (48 * i) & ((1 << 48) - 1) for i in range(2)]
                compared.words(words[:1], words[1:], 1)


@pytest.mark.sim
def test_all_cores_are_silent_under_lint(tmp_path: Path) -> None:
    silent = ("UNUSEDSIGNAL", "UNUSEDPARAM", "UNDRIVEN")
    box = "".join(f"/* verilator lint_off {kind} */\n" for kind in silent)
    (dsp,) = re.findall(r"^module DSP48E1 .*?^endmodule$", yosys.black_boxes(), re.M | re.S)
    # The core leaves all outputs but the sum open.
    box += re.sub(r"^ *output .*\b(?!P\b)\w+,?\n", "", dsp, flags=re.M) + "\n"
    box += "".join(f"/* verilator lint_on {kind} */\n" for kind in silent)
    (tmp_path / "DSP48E1.v").write_text(box)
    variants = [
        (core, cell, latency) for core in CORES.values() for cell, latency in ((0, 1), (1, 2))
    ]
    body = []
    for i, (core, cell, latency) in enumerate(variants):
        values = parameters(core, latency, cell).items()
        bits = core.fmt.out_bits
        body.append(
            f"  {TOP} #({', '.join(f'.{name}({value})' for name, value in values)}) u_{i} (\n"
            f"    .*, .acc_data_i(data_i[{core.acc_bits - 1}:0]), .acc_ready_o(acc_ready_o[{i}]),\n"
            f"    .shortcut_data_i(data_i[{bits - 1}:0]), .param_data_i(data_i[17:0]),\n"
            f"    .shortcut_ready_o(shortcut_ready_o[{i}]), .param_next_o(param_next_o[{i}]),\n"
            f"    .out_valid_o(out_valid_o[{i}]), .out_data_o(data_o[{i}][{bits - 1}:0])\n"
            "  );\n"
        )
        if bits < 16:
            body.append(f"  assign data_o[{i}][15:{bits}] = '0;\n")
    high = len(variants) - 1
    (tmp_path / "cores.sv").write_text(
        "module cores (\n  input logic clk_i, rst_ni, acc_valid_i, shortcut_valid_i, out_ready_i,\n"
        f"  input logic [24:0] data_i, output logic [{high}:0][15:0] data_o,\n"
        f"  output logic [{high}:0] acc_ready_o, shortcut_ready_o, param_next_o, out_valid_o\n);\n"
        f"{''.join(body)}endmodule\n"
    )
    sources = [*SOURCES, tmp_path / "DSP48E1.v", tmp_path / "cores.sv"]
    assert verilator.lint(sources, "cores", cwd=tmp_path) == ""


# What fits, and the words.


@pytest.mark.parametrize("core", CORES.values(), ids=CORES)
def test_what_is_tested_fits(core: SerialEpilogue) -> None:
    assert core.refusals() == []


LAYER = CORES["layer"]


@pytest.mark.parametrize(
    ("core", "message"),
    [
        (replace(LAYER, acc_bits=26), "accumulators of 26 bits (at most 25)"),
        (replace(LAYER, bias_bits=27), "b of 27 bits (at most 26)"),
        (replace(LAYER, bias_bits=25, mul_bits=12), "b of 25 bits (at most 24)"),
        (
            replace(LAYER, fmt=replace(STREAM, shortcut_shift=17)),
            "a shortcut's factor of 19 bits (at most 18)",
        ),
        (
            replace(LAYER, fmt=replace(STREAM, slope_shift=17)),
            "a positive slope of 19 bits (at most 18), eta of 32 bits (at most 26)",
        ),
        (
            replace(LAYER, fmt=replace(STREAM, pre_bits=19)),
            "pre-activations of 19 bits (at most 18)",
        ),
        (replace(LAYER, fmt=replace(STREAM, out_bits=26)), "shortcuts of 26 bits (at most 25)"),
    ],
)
def test_says_what_does_not_fit(core: SerialEpilogue, message: str) -> None:
    assert ", ".join(core.refusals()) == message


def test_without_shortcut_its_shift_does_not_matter() -> None:
    fmt = replace(STREAM, shortcut_shift=40)
    assert replace(LAYER, fmt=fmt, has_shortcut=False).refusals() == []


def test_words_of_a_channel() -> None:
    params = np.array([[-2, 5], [1 << 20, -1], [-3, 7], [-1, 64], [100, -100]])
    words = LAYER.words(params, offset=np.array([3, 0]))
    assert len(words) == 2 * WORDS
    b, e = (1 << 20) + 3 + 32, (100 + 8) << 6
    mask = (1 << WORD_BITS) - 1
    assert words[:WORDS] == [
        b & mask, (-2 << 8 | b >> 18) & mask, -3 & mask, e & mask, (-1 << 8 | e >> 18) & mask
    ]  # fmt: skip
    assert words[WORDS] == -1 + 32
    assert words[2 * WORDS - 1] == 64 << 8 | 255


@pytest.mark.parametrize(
    ("row", "value", "message"),
    [
        (0, 512, r"m of channel 1 is 512, expected -512\.\.511; snap it"),
        (1, (1 << 21) - 32, r"b of channel 1 is 2097152, expected -2097152\.\.2097151"),
        (2, -8193, r"zeta of channel 1 is -8193, expected -8192\.\.8191"),
        (3, 128, r"slope of channel 1 is 128, expected -128\.\.127"),
        (4, 8192, r"eta of channel 1 is 8192, expected -8192\.\.8191"),
    ],
)
def test_names_a_parameter_that_does_not_fit(row: int, value: int, message: str) -> None:
    params: Any = np.zeros((5, 2), dtype=np.int64)
    params[row, 1] = value
    with pytest.raises(ValueError, match=message):
        LAYER.words(params)


def test_bits_of_b_hold_its_half() -> None:
    assert bias_bits(127, 0) == 8
    assert bias_bits(127, 1) == 9
