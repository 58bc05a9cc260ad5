# SPDX-License-Identifier: Apache-2.0
"""Every microkernel of the lists equals a plain loop, and steps in a chain what they are apart."""

from __future__ import annotations

import numpy as np
import pytest
from andpop.hw.cpu import _engine
from andpop.hw.cpu.engine import instruction_sets
from microkernels import KERNELS, PROBLEMS, Kernel, packed, window

CHANNELS = [1, 3, 8, 24, 31, 32, 64, 65]
OPS = sorted({k.op for k in KERNELS})


def test_every_operation_has_problems_and_plain_loops() -> None:
    assert set(OPS) == set(PROBLEMS)
    for op in OPS:
        assert [k.isa for k in KERNELS if k.op == op][0] == "scalar"
    assert len({k.name for k in KERNELS}) == len(KERNELS)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)
def test_microkernel_equals_a_plain_loop(kernel: Kernel, channels: int) -> None:
    for side in (1, 5, 13):
        if kernel.op in ("bit_gemm", "max_pool") and side < 3:
            continue  # its windows do not fit
        for problem in PROBLEMS[kernel.op](np.random.default_rng(channels), side, channels):
            got = problem.run([kernel.name])
            assert np.array_equal(got, problem.expected), (side, problem.attributes)
            assert np.array_equal(got, problem.run([])), (side, problem.attributes)


@pytest.mark.parametrize("isa", instruction_sets())
def test_the_best_microkernel_up_to_the_instruction_set_runs(isa: str) -> None:
    """Results are equal on all of them, so only that something runs is seen here."""
    for op in OPS:
        problem = PROBLEMS[op](np.random.default_rng(0), 5, 8)[0]
        assert np.array_equal(problem.run([], isa), problem.expected)


def test_microkernels_and_instruction_sets_that_are_not_there_are_refused() -> None:
    problem = PROBLEMS["lookup"](np.random.default_rng(0), 3, 3)[0]
    with pytest.raises(ValueError, match="found microkernel lookup_z80, expected one of bit_gemm"):
        problem.network(["lookup_z80"])
    with pytest.raises(ValueError, match="found instruction set z80, expected one of scalar"):
        problem.network([], "z80")


def test_constants_of_another_size_are_refused() -> None:
    problem = PROBLEMS["levels"](np.random.default_rng(0), 3, 3)[0]
    problem.constants["bounds"] = problem.constants["bounds"][:, :2].copy()
    with pytest.raises(ValueError, match="constant bounds has 2 values of 1 bytes, expected 3"):
        problem.network([])


def test_constants_that_are_not_those_of_the_operation_are_refused() -> None:
    problem = PROBLEMS["levels"](np.random.default_rng(0), 3, 3)[0]
    base = problem.constants.pop("base")
    with pytest.raises(ValueError, match="step levels: constant base is missing"):
        problem.network([])
    problem.constants["bias"] = base
    with pytest.raises(ValueError, match="step levels: constant base is missing"):
        problem.network([])
    problem.constants["base"] = base
    with pytest.raises(ValueError, match="step levels: constant bias is unknown"):
        problem.network([])


Step = tuple[str, list[int], list[int], dict[str, int], dict[str, np.ndarray]]


def chain(rng: np.random.Generator) -> tuple[list[tuple[str, int, int]], list[Step]]:
    """Return tensors and steps: product, codes, table, codes of its bytes, bits of them."""
    side, channels = 24, 12
    pixels = side * side
    storages = ["u8", "i32", "u8", "i8", "i8", "bits"]
    tensors = [(s, pixels, channels) for s in storages]
    weights = rng.integers(-9, 9, (channels, 9 * channels)).astype(np.int8)
    bias = rng.integers(-99, 99, channels).astype(np.int32)
    bounds = rng.integers(-9000, 9000, (15, channels)).astype(np.int32)
    ones, zeros = np.ones((15, channels), np.int32), np.zeros(channels, np.int32)
    steps: list[Step] = [
        ("int_convolution", [0], [1], window(side, 3, 1), {"weights": weights, "bias": bias}),
        (
            "acc_levels", [1], [2], {"steps": 15},
            {"bounds": bounds, "steps": ones, "base": zeros},
        ),
        (
            "lookup", [2], [3], {"levels": 16},
            {"table": rng.integers(0, 256, 256).astype(np.uint8)},
        ),
        (
            "levels", [3], [4], {"steps": 2},
            {"bounds": rng.integers(-99, 99, (2, channels)).astype(np.int8),
             "steps": np.ones((2, channels), np.uint8),
             "base": np.full(channels, 255, np.uint8)},
        ),
        (
            "sign", [4], [5], {},
            {"bound": np.zeros(channels, np.int8), "always": np.zeros(2, np.uint8)},
        ),
    ]  # fmt: skip
    return tensors, steps


@pytest.mark.parametrize("isa", instruction_sets())
def test_steps_of_a_chain_write_what_they_write_apart(isa: str) -> None:
    rng = np.random.default_rng(0)
    tensors, steps = chain(rng)
    network = _engine.Network(tensors, steps, [0], isa)
    assert network.chained == [4, 3, 2, 1, 0]
    pictures = rng.integers(0, 256, (3, 24 * 24 * 12)).astype(np.uint8)
    apart = network.run([pictures], 3, list(range(6)), 1)
    assert all(len(np.unique(a)) > 2 for a in apart)
    # A tensor that is asked for ends one chain, and the next begins behind it.
    for wanted in ([5], [1, 5], [2, 5], [3, 5], [1, 3], [2, 4], [4]):
        for index, got in zip(wanted, network.run([pictures], 3, wanted, 1), strict=True):
            assert np.array_equal(got, apart[index]), (wanted, index)


def test_a_chain_ends_where_somebody_else_reads_or_no_pixel_step_follows() -> None:
    tensors, steps = chain(np.random.default_rng(0))
    tensors += [("u8", 24 * 24, 24), ("u8", 24 * 24, 24)]
    steps += [("concat", [2, 2], [6], {}, {}), ("concat", [0, 0], [7], {}, {})]
    assert _engine.Network(tensors, steps, [0], "scalar").chained == [1, 0, 2, 1, 0, 0, 0]


def test_a_shortcut_in_a_chain_is_read_at_its_pixels() -> None:
    rng = np.random.default_rng(1)
    side, channels = 20, 8
    tensors = [(s, side * side, channels) for s in ("u8", "i8", "i32", "i8", "u8", "bits")]
    weights = rng.integers(-9, 9, (channels, channels)).astype(np.int8)
    levels = {
        "bounds": np.zeros((1, channels), np.int8),
        "steps": np.full((1, channels), 7, np.uint8),
        "base": np.zeros(channels, np.uint8),
    }
    product: dict[str, np.ndarray] = {"weights": weights, "bias": np.zeros(channels, np.int32)}
    steps: list[Step] = [
        ("int_convolution", [0], [2], window(side, 1), product),
        ("requantise", [2, 1], [3], {"shift": 5, "shortcut_shift": 3}, {}),
        ("levels", [3], [4], {"steps": 1}, levels),
    ]
    tensors.pop()
    network = _engine.Network(tensors, steps, [0, 1], "scalar")
    assert network.chained == [2, 1, 0]
    x, y = (rng.integers(-128, 128, (side * side, channels)) for _ in range(2))
    inputs = [packed("u8", x % 256), packed("i8", y)]
    (got,) = network.run(inputs, 1, [4], 1)
    sums = (x % 256) @ weights.astype(np.int64).T + y * 8
    expected = 7 * (((sums + 16) >> 5).clip(-128, 127) > 0)
    assert np.array_equal(got, packed("u8", expected))
