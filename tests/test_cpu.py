# SPDX-License-Identifier: Apache-2.0
"""Steps of the CPU engine equal the goldens bit for bit on every instruction set."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from andpop.hw.cpu.engine import Engine
from andpop.hw.cpu.pack import pack
from andpop.hw.cpu.plan import ModelError
from andpop.hw.graph import executor
from andpop.hw.kernels import KERNELS
from andpop.hw.kernels.ops import find_golden
from andpop.quant import grid
from andpop.quant.grid import EpilogueFormat, epilogue
from andpop.sim.bench import SEEDS
from andpop.sim.cases import Case
from cpu_engine import (
    IntArray,
    assert_equal,
    assert_golden,
    constants_of,
    edited,
    engine_of,
    extreme_pictures,
    golden_tensors,
    random_pictures,
)
from cpu_engine import isa_fixture as isa_fixture
from dataflow_graphs import GraphBuilder
from kernel_cases import kernel_cases


def computed_kernels() -> set[str]:
    """Kernels whose nodes become steps; the CPU reads a graph without fused ones."""
    names = {kernel: f"andpop.hw.kernels.{kernel}" for kernel in KERNELS}
    fused = {
        kernel
        for kernel, name in names.items()
        if any(find_spec(f"{name}.{how}") is not None for how in ("fuse", "share"))
    }
    computed = {k for k, name in names.items() if find_spec(f"{name}.cpu") is not None}
    assert computed | fused == set(KERNELS), "a kernel runs on the CPU, or stands for some that do"
    return computed


def one_picture(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape with a batch axis: cases may start at the rows."""
    return shape if shape[0] == 1 else (1, *shape)


def case_graph(case: Case) -> tuple[onnx.ModelProto, list[str], list[str]]:
    """A kernel's case as a graph of one node; returns it with its input and output names."""
    g = GraphBuilder()
    initializers = iter(case.make_initializers())
    names = [
        g.input(one_picture(o.shape), o.datatype) if o.streamed else g.constant(next(initializers))
        for o in case.operands
    ]
    # Output shapes are the engine's own business: the comparison checks them.
    outputs = g.node(case.op_type, names, [((1,), t) for t in case.output_types], **case.attrs)
    return g.model(outputs), g.inputs, outputs


@pytest.mark.parametrize(
    ("kernel", "case"), [p for p in kernel_cases() if p.values[0] in computed_kernels()]
)
def test_every_kernel_case_equals_its_golden(kernel: str, case: Case, isa: str) -> None:
    model, names, outputs = case_graph(case)
    engine = engine_of(model, isa)
    frames = [case.random_frame(np.random.default_rng(s)) for s in SEEDS] + case.worst_frames()
    batch = [
        np.concatenate([v.reshape(one_picture(v.shape)) for v in values])
        for values in zip(*frames, strict=True)
    ]
    got = engine.intermediates(dict(zip(names, batch, strict=True)))
    golden = find_golden(case.op_type)
    assert golden is not None
    for index, frame in enumerate(frames):
        streamed, initializers = iter(frame), iter(case.make_initializers())
        inputs = [next(streamed if o.streamed else initializers) for o in case.operands]
        expected = dict(zip(outputs, golden(inputs, case.attrs), strict=True))
        shapes = {n: expected[n].shape for n in outputs}
        one = {n: got[n][index].reshape(shapes[n]) for n in outputs}
        assert assert_equal(expected, one) > 0


BLOCKS = [
    # channels, outputs, size, kernel, stride, padding [t, l, b, r], dilation
    (1, 1, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), (1, 1)),
    (3, 5, (7, 9), (3, 3), (1, 1), (1, 1, 1, 1), (1, 1)),
    (6, 6, (5, 5), (5, 5), (2, 2), (2, 2, 2, 2), (1, 1)),
    (12, 12, (13, 6), (3, 3), (2, 2), (1, 1, 1, 1), (1, 1)),
    (24, 24, (25, 25), (5, 5), (2, 2), (2, 2, 2, 2), (1, 1)),
    (24, 48, (8, 11), (1, 1), (1, 1), (0, 0, 0, 0), (1, 1)),
    (48, 24, (9, 9), (1, 1), (2, 2), (0, 0, 0, 0), (1, 1)),
    (48, 96, (7, 7), (3, 3), (1, 1), (1, 1, 1, 1), (1, 1)),
    (96, 33, (4, 3), (5, 5), (1, 1), (2, 2, 2, 2), (1, 1)),
    (64, 64, (6, 6), (3, 3), (1, 1), (0, 0, 0, 0), (1, 1)),
    (65, 17, (6, 7), (3, 2), (2, 1), (1, 0, 0, 1), (1, 1)),
    (8, 9, (9, 10), (3, 3), (1, 2), (2, 2, 2, 2), (2, 2)),
    (512, 7, (3, 3), (3, 3), (1, 1), (1, 1, 1, 1), (1, 1)),
]


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_binary_convolution_block_equals_golden(block: Any, isa: str) -> None:
    channels, outputs, size, kernel, stride, padding, dilation = block
    g = GraphBuilder(channels)
    # A UINT8 picture made into a full INT8 stream by the general requantiser.
    picture = g.input((1, *size, channels), "UINT8")
    stream = g.requant(g.epilogue(g.int_mvu(picture, channels, low=-7, high=7)), 0)
    main, shortcut = g.duplicate(stream)
    same = outputs == channels and stride == (1, 1) and sum(padding) == 2 * (kernel[0] - 1)
    windows = g.windows(g.pad(g.sign(main), padding), kernel, stride, dilation)
    y = g.epilogue(g.xnor(windows, outputs), shortcut if same else None)
    model = g.model([y] if same else [y, shortcut])
    pictures = np.concatenate([random_pictures(model, 5), extreme_pictures(model)])
    assert_golden(model, pictures, isa, gone=2)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("outputs", [1, 15, 24])
def test_first_convolution_equals_golden(channels: int, outputs: int, isa: str) -> None:
    g = GraphBuilder(outputs)
    x = g.windows(g.pad(g.input((1, 19, 22, channels), "UINT8"), [4] * 4), [9, 9], [2, 2])
    weights = g.rng.integers(-128, 127, (81 * channels, outputs), endpoint=True)
    weights[:, 0] = 127  # with a white picture the largest sum there is
    bias = g.rng.integers(-(1 << 20), 1 << 20, outputs)
    model = g.model([g.epilogue(g.int_mvu(x, outputs, weights, bias))])
    pictures = np.concatenate([random_pictures(model, 3), extreme_pictures(model)])
    assert_golden(model, pictures, isa, gone=2)


@pytest.mark.parametrize("stream", ["UINT8", "INT8", "UINT4", "INT4", "INT9", "INT17", "BINARY"])
@pytest.mark.parametrize("kernel", [1, 3])
def test_integer_products_equal_golden_at_the_extremes(stream: str, kernel: int, isa: str) -> None:
    g = GraphBuilder(kernel)
    x = g.input((1, 5, 6, 10), stream)
    y = g.windows(g.pad(x, [kernel // 2] * 4), [kernel] * 2, [1, 1])
    inputs = g.shapes[y][-1]
    weights = g.rng.integers(-128, 127, (inputs, 6), endpoint=True)
    weights[:, :3] = [-128, 127, 0]
    model = g.model([g.int_mvu(y, 6, weights)])
    bits = 1 if stream == "BINARY" else int(stream.removeprefix("U").removeprefix("INT"))
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if stream[0] == "I" else (0, 2**bits - 1)
    frames = np.random.default_rng(0).integers(low, high, (6, 5, 6, 10), endpoint=True)
    frames[0], frames[1] = low, high
    got = engine_of(model, isa).intermediates(frames)[model.graph.output[0].name]
    padded = np.pad(frames, ((0, 0), *[(kernel // 2,) * 2] * 2, (0, 0)))
    expected = np.zeros((6, 5, 6, 6), dtype=np.int64)
    for tap in range(kernel * kernel):
        ky, kx = divmod(tap, kernel)
        expected += padded[:, ky : ky + 5, kx : kx + 6] @ weights[tap * 10 : tap * 10 + 10]
    assert np.array_equal(got, expected)


def test_wide_weights_equal_golden(isa: str) -> None:
    g = GraphBuilder()
    y = g.windows(g.pad(g.input((1, 5, 6, 3), "UINT8"), [1] * 4), [3, 3], [2, 1])
    weights, bias = g.rng.integers(-2000, 2000, (27, 5)), g.rng.integers(-90000, 90000, 5)
    model = g.model([g.int_mvu(y, 5, weights, bias)])
    # Not fused: the window is a tensor of its own, and so is the padded picture.
    assert_golden(model, random_pictures(model, 3), isa, gone=0)


SHORT_BLOCKS = [7, 15, 23, 31, 39, 47, 63, 79, 95, 111, 127]
"""Outputs whose last block lacks one lane, behind every number of blocks a kernel takes at once."""


@pytest.mark.parametrize("outputs", SHORT_BLOCKS)
@pytest.mark.parametrize("stream", ["BINARY", "UINT8", "INT8"])
def test_products_one_output_short_of_their_blocks(stream: str, outputs: int, isa: str) -> None:
    g = GraphBuilder(outputs)
    # 35 pixels: every number of pixels a kernel takes at once, and a rest.
    x = g.input((1, 5, 7, 12), stream)
    weights = g.rng.integers(-128, 127, (12, outputs), endpoint=True)
    if stream == "BINARY":
        weights = np.where(weights < 0, 0, 1)
    y = g.xnor(x, outputs, weights) if stream == "BINARY" else g.int_mvu(x, outputs, weights)
    low, high = grid.limits(*grid.type_format(stream))
    frames = g.rng.integers(low, high, (3, 5, 7, 12), endpoint=True)
    frames[0], frames[1] = low, high
    binary = stream == "BINARY"
    expected = (2 * frames - 1) @ (2 * weights - 1) if binary else frames @ weights
    assert np.array_equal(engine_of(g.model([y]), isa).intermediates(frames)[y], expected)


@pytest.mark.parametrize("outputs", SHORT_BLOCKS)
def test_what_follows_a_product_one_output_short_of_its_blocks(outputs: int, isa: str) -> None:
    g = GraphBuilder(outputs)
    acc = g.duplicate(g.int_mvu(g.input((1, 5, 7, 6), "INT8"), outputs, low=-7, high=7), 4)
    stream, shortcut, signs, codes = g.duplicate(g.epilogue(acc[0]), 4)
    rows = np.sort(g.rng.integers(-900, 900, (outputs, 100)), axis=1)
    up, none = np.ones_like(rows), np.zeros(outputs, dtype=np.int64)
    model = g.model(
        [
            g.requant(acc[1], 4, "INT8", shortcut, 3),
            g.signed_thresholds(acc[2], rows[:, ::20], up[:, ::20], none, "UINT3"),
            g.signed_thresholds(acc[3], rows, up, none, "UINT7"),
            g.sign(signs),
            g.levels(codes, 5),
            g.max_pool(stream, [2, 2], [2, 2], [0, 0, 1, 1]),
        ]
    )
    engine = engine_of(model, isa)
    ops = {s.op for s in engine.plan.steps}
    assert {"requantise", "acc_levels", "search_levels", "sign", "levels", "epilogue"} <= ops
    frames = g.rng.integers(-128, 128, (3, 5, 7, 6))
    frames[0], frames[1] = -128, 127
    expected, got = golden_tensors(model, frames), engine.intermediates(frames)
    assert all(name in got for name in (o.name for o in model.graph.output))
    assert assert_equal(expected, got) > 0


def test_bit_tiles_of_a_large_map(isa: str) -> None:
    g = GraphBuilder()
    # Read where it lies: 64 channels, no window; more pixels than a tile, and a rest.
    x = g.input((1, 10, 29, 64), "BINARY")
    weights = g.rng.integers(0, 2, (64, 9))
    y = g.xnor(x, 9, weights)
    frames = g.rng.integers(0, 2, (2, 10, 29, 64))
    expected = (2 * frames - 1) @ (2 * weights - 1)
    assert np.array_equal(engine_of(g.model([y]), isa).intermediates(frames)[y], expected)


@pytest.mark.parametrize("channels", [1, 4, 8, 16, 32])
def test_levels_of_few_pixels_that_share_a_vector(channels: int, isa: str) -> None:
    g = GraphBuilder(channels)
    x = g.input((1, 1, 3, channels), "INT8")
    one, two = g.duplicate(x)
    acc = g.int_mvu(two, channels)
    rows = np.sort(g.rng.integers(-9000, 9000, (channels, 5)), axis=1)
    up, none = np.ones_like(rows), np.zeros(channels, dtype=np.int64)
    model = g.model([g.levels(one, 5), g.signed_thresholds(acc, rows, up, none, "UINT3")])
    frames = g.rng.integers(-128, 128, (6, 1, 3, channels))
    got = engine_of(model, isa).intermediates(frames)
    assert assert_equal(golden_tensors(model, frames), got) > 6 * 3 * channels


def test_vectors_that_run_over_their_tensor_leave_the_next_one_alone(isa: str) -> None:
    g = GraphBuilder()
    # 192 bytes each: a whole number of cache lines, so that nothing but slack lies between them.
    first, second = (g.input((1, 8, 8, 3), "INT8") for _ in range(2))
    moved = g.max_pool(first, [1, 1], [1, 1], [0] * 4)
    between = g.sign(second)  # the first input is gone before the codes take its memory
    model = g.model([g.levels(moved, 5), g.levels(second, 5), between])
    frames = {name: g.rng.integers(-128, 128, (2, 8, 8, 3)) for name in (first, second)}
    got = engine_of(model, isa).intermediates(frames)
    for name, node in zip((first, second), model.graph.node[2:], strict=True):
        constants = [constants_of(model)[n] for n in node.input[1:]]
        x, (thresholds, steps, base) = frames[name], constants
        expected = base + (steps * (x[..., None] >= thresholds)).sum(axis=-1)
        assert np.array_equal(got[node.output[0]], expected)


def only(engine: Engine, inputs: dict[str, IntArray], wanted: str) -> IntArray:
    """Run without asking for anything else, so that steps may run together."""
    encoded, count = engine._encode(inputs)
    index = next(i for i, t in enumerate(engine.plan.tensors) if wanted in t.names)
    return engine._decode(index, engine._run(encoded, count, [index], 1)[0])


def test_steps_that_run_together_keep_what_they_read(isa: str) -> None:
    g = GraphBuilder()
    a, b, c = (g.input((1, 20, 20, 16), t) for t in ("UINT8", "INT8", "INT8"))
    # The second input is gone when the product starts. Its memory, with the first's, would hold
    # the result, twice as wide as what the product still reads.
    outputs = [g.sign(b), g.epilogue(g.int_mvu(a, 32, low=-7, high=7)), g.sign(c)]
    engine = engine_of(g.model(outputs), isa)
    inputs = {name: g.rng.integers(0, 128, (2, 20, 20, 16)) for name in (a, b, c)}
    expected = engine.intermediates(inputs)
    assert np.array_equal(only(engine, inputs, outputs[1]), expected[outputs[1]])


def test_steps_that_run_together_take_the_shortcut_of_their_pixels(isa: str) -> None:
    g = GraphBuilder()
    x = g.input((1, 20, 20, 16), "INT8")
    main, shortcut = g.duplicate(x)
    y = g.epilogue(g.int_mvu(main, 16, low=-7, high=7), shortcut)
    engine = engine_of(g.model([y]), isa)
    inputs = {x: g.rng.integers(-128, 128, (2, 20, 20, 16))}
    assert np.array_equal(only(engine, inputs, y), engine.intermediates(inputs)[y])


def edge_product(stream: str, beyond: int) -> tuple[onnx.ModelProto, IntArray, IntArray]:
    """A product whose partial sums end ``beyond`` the ends of 32 bits, with weights and bias.

    The kernel starts at the bias, 128 * sum(weights) lower where codes are signed, and adds
    unsigned codes of 8 bits: those sums, not the final ones alone, must fit.
    """
    g = GraphBuilder()
    # Sums of weights for which a float32, as initializers are, holds the bias that ends there.
    weights = np.array([[127, -128, 1], [127, -128, -1], [3, -128, 0]])
    lower_by = 128 * weights.sum(axis=0) if stream.startswith("I") else 0
    reach = 255 * weights.sum(axis=0)
    bias = np.array([(1 << 31) - 1 - reach[0] + beyond, -(1 << 31) - reach[1] - beyond, 0])
    bias = bias + lower_by
    assert np.array_equal(bias.astype(np.float32), bias)
    model = g.model([g.int_mvu(g.input((1, 2, 3, 3), stream), 3, weights, bias)])
    return edited(model, outputDataType="INT32"), weights, bias


@pytest.mark.parametrize("stream", ["UINT8", "INT8", "UINT4"])
def test_partial_sums_at_the_ends_of_32_bits(stream: str, isa: str) -> None:
    model, weights, bias = edge_product(stream, 0)
    low, high = grid.limits(*grid.type_format(stream))
    frames = np.random.default_rng(0).integers(low, high, (4, 2, 3, 3), endpoint=True)
    frames[0], frames[1] = low, high
    got = engine_of(model, isa).intermediates(frames)[model.graph.output[0].name]
    assert np.array_equal(got, frames @ weights + bias)


@pytest.mark.parametrize("stream", ["UINT8", "INT8", "UINT4"])
def test_partial_sums_beyond_the_ends_of_32_bits_are_refused(stream: str, tmp_path: Path) -> None:
    model, _, _ = edge_product(stream, 128)
    message = "partial sums" if stream == "UINT4" else "worst-case sums"
    with pytest.raises(ModelError, match=f"its {message} do not fit 32 bits"):
        pack(model, None, tmp_path / "x.andpop")


@pytest.mark.parametrize("agree", [False, True])
@pytest.mark.parametrize(("inputs", "outputs"), [(2400, 24), (9 * 512, 16), (1, 1), (63, 8)])
def test_binary_products_where_all_bits_agree_or_differ(
    inputs: int, outputs: int, agree: bool, isa: str
) -> None:
    g = GraphBuilder()
    x = g.input((1, 3, 1, inputs), "BINARY")
    weights = g.rng.integers(0, 2, (inputs, outputs))
    weights[:, 0] = 1
    model = g.model([g.xnor(x, outputs, weights)])
    columns = [0, outputs - 1, outputs // 2]
    bits = weights[:, columns].T.reshape(1, 3, 1, inputs)
    got = engine_of(model, isa).intermediates(bits if agree else 1 - bits)
    acc = got[model.graph.output[0].name].reshape(3, outputs)
    assert all(acc[p, o] == (inputs if agree else -inputs) for p, o in enumerate(columns))
    signs = 2 * (bits if agree else 1 - bits).reshape(3, inputs) - 1
    assert np.array_equal(acc, signs @ (2 * weights - 1))


@pytest.mark.parametrize("channels", [1, 3, 8, 24, 33, 64, 65, 130])
def test_thresholds_at_and_beyond_the_ends_of_the_range(channels: int, isa: str) -> None:
    g = GraphBuilder(channels)
    x = g.input((1, 16, 16, channels), "INT8")
    thresholds = g.rng.choice([-300, -129, -128, -127, 0, 126, 127, 128, 300], (channels, 1))
    model = g.model([g.sign(x, thresholds)])
    values = np.arange(-128, 128).reshape(1, 16, 16, 1)
    frames = np.broadcast_to(values, (1, 16, 16, channels))
    got = engine_of(model, isa).intermediates(frames)[model.graph.output[0].name]
    assert np.array_equal(got, frames >= thresholds[:, 0])


def test_several_thresholds_equal_golden(isa: str) -> None:
    g = GraphBuilder()
    x = g.epilogue(g.int_mvu(g.input((1, 5, 6, 10), "UINT8"), 7, low=-7, high=7))
    one, two, three = g.duplicate(x, 3)
    levels = np.sort(g.rng.integers(-100, 100, (7, 15)), axis=1)
    model = g.model(
        [
            g.thresholds(one, levels, "UINT4", 0),
            g.thresholds(two, levels, "INT5", -8),
            g.thresholds(g.xnor(g.sign(three), 7), np.full((1, 1), 1), "BINARY", 0),
        ]
    )
    # One row of thresholds for all channels is FINN's; the golden wants one row per channel.
    broadcast = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    for proto in wide.graph.initializer:
        if broadcast[proto.name].shape == (1, 1):
            full = np.full((7, 1), 1, dtype=np.float32)
            proto.CopyFrom(onnx.numpy_helper.from_array(full, proto.name))
    pictures = random_pictures(model, 3)
    golden = executor.run(wide, pictures, "all")
    assert assert_equal(golden, engine_of(model, isa).intermediates(pictures)) > 0


def by_definition(
    codes: IntArray, weights: IntArray, alpha: IntArray, beta: IntArray, zero: int
) -> IntArray:
    """A PaMvu as it is defined: counts of AND over disjoint bases, weighted."""
    acc = np.zeros((*codes.shape[:-1], weights.shape[1]), dtype=np.int64)
    for i, a in enumerate(alpha):
        t = weights == i - zero
        for j, b in enumerate(beta):
            v = codes == j
            acc += a * b * np.stack([(v & t[:, o]).sum(axis=-1) for o in range(t.shape[1])], -1)
    return acc


PA_LAYERS = [
    # M, N, channels, outputs, size, kernel, stride, coefficients at their ends
    (4, 5, 16, 16, (7, 9), 3, 1, False),
    (4, 5, 64, 33, (6, 6), 3, 2, False),
    (8, 7, 32, 64, (5, 4), 1, 2, False),
    (14, 15, 24, 17, (5, 6), 3, 1, False),
    (2, 1, 3, 5, (8, 7), 5, 2, False),
    (3, 2, 65, 1, (4, 5), 1, 1, False),  # an odd M: two levels fell together
    (4, 200, 7, 9, (5, 5), 3, 1, False),  # codes of a whole byte
    (4, 5, 256, 6, (3, 4), 3, 1, True),  # 255 x 127 pairs saturate in 16 bits
    (8, 15, 512, 4, (2, 3), 1, 1, True),
]


@pytest.mark.parametrize("layer", PA_LAYERS, ids=str)
def test_pa_product_equals_its_definition(layer: Any, isa: str) -> None:
    m, n, channels, outputs, size, kernel, stride, ends = layer
    g = GraphBuilder(m + n)
    zero = m // 2
    alpha = np.sort(g.rng.choice(np.r_[-127:0, 1:128], m, replace=False))
    alpha = np.insert(alpha, zero, 0)
    beta = np.sort(np.r_[0, g.rng.integers(1, 255, n, endpoint=True)])
    x = g.input((1, *size, channels), f"UINT{n.bit_length()}")
    y = g.pad(x, [kernel // 2] * 4) if kernel > 1 else x
    y = g.windows(y, [kernel] * 2, [stride] * 2)
    weights = g.rng.integers(-zero, m - zero, (g.shapes[y][-1], outputs), endpoint=True)
    if ends:
        alpha[[0, -1]], beta[-1] = [-127, 127], 255
        weights[:, 0], weights[:, 1] = m - zero, -zero
    model = g.model([g.pa_mvu(y, outputs, weights, alpha, beta, zero)])
    frames = g.rng.integers(0, n, (4, *size, channels), endpoint=True)
    frames[0], frames[1] = 0, n
    got = engine_of(model, isa).intermediates(frames)[model.graph.output[0].name]
    padded = np.pad(frames, ((0, 0), *[(kernel // 2,) * 2] * 2, (0, 0)))
    taps = [
        padded[:, ky:, kx:][:, : size[0] : stride, : size[1] : stride]
        for ky in range(kernel)
        for kx in range(kernel)
    ]
    cut = [t[:, : got.shape[1], : got.shape[2]] for t in taps]
    expected = by_definition(np.concatenate(cut, axis=-1), weights, alpha, beta, zero)
    assert got.shape == expected.shape
    assert np.array_equal(got, expected)
    if ends:
        assert np.abs(expected).max() == 127 * 255 * channels * kernel**2


def test_pa_codes_that_are_their_own_levels_need_no_table(isa: str) -> None:
    g = GraphBuilder()
    x = g.input((1, 4, 4, 8), "UINT3")
    weights = g.rng.integers(-2, 3, (8, 6))
    model = g.model([g.pa_mvu(x, 6, weights, np.arange(-2, 3), np.arange(8))])
    engine = engine_of(model, isa)
    assert [s.op for s in engine.plan.steps] == ["int_convolution"]
    frames = g.rng.integers(0, 8, (3, 4, 4, 8))
    assert np.array_equal(engine.intermediates(frames)["t1"], frames @ weights)


def test_products_of_one_code_stream_share_its_levels(isa: str) -> None:
    g = GraphBuilder()
    one, two, three = g.duplicate(g.levels(g.input((1, 6, 6, 5), "INT8"), 5), 3)
    beta = np.array([0, 10, 20, 30, 40, 50])
    model = g.model(
        [
            g.pa_mvu(one, 4, beta=beta),
            g.pa_mvu(two, 3, beta=beta),
            g.pa_mvu(three, 2, beta=2 * beta),
        ]
    )
    engine = engine_of(model, isa)
    assert [s.op for s in engine.plan.steps].count("lookup") == 2
    frames = g.rng.integers(-128, 128, (3, 6, 6, 5))
    assert assert_equal(golden_tensors(model, frames), engine.intermediates(frames)) > 0


@pytest.mark.parametrize("channels", [1, 3, 8, 16, 32, 33, 64, 65, 130])
@pytest.mark.parametrize(
    ("steps", "datatype", "encoding"),
    [
        (5, "UINT3", "code"),
        (1, "BINARY", "code"),
        (15, "INT5", "code"),
        (255, "UINT8", "code"),
        (300, "UINT9", "code"),
        (7, "UINT7", "onehot"),
        (9, "UINT9", "thermometer"),
    ],
)
def test_signed_thresholds_of_every_input_equal_golden(
    channels: int, steps: int, datatype: str, encoding: str, isa: str
) -> None:
    g = GraphBuilder(channels)
    x = g.input((1, 16, 16, channels), "INT8")
    ends = np.array([-300, -128, -127, 127, 128, 300])
    thresholds = g.rng.integers(-128, 129, (channels, steps))
    thresholds[g.rng.integers(0, 8, thresholds.shape) == 0] = g.rng.choice(ends)
    directions = g.rng.choice([-1, 1], (channels, 1)) * np.ones((1, steps), dtype=np.int64)
    if steps == 15:  # rises and falls: codes stay within -15..15
        directions = g.rng.choice([-1, 1], (channels, steps))
        base = np.zeros(channels, dtype=np.int64)
    else:
        base = np.where(directions[:, 0] < 0, steps, 0)
    model = g.model([g.signed_thresholds(x, thresholds, directions, base, datatype, encoding)])
    frames = np.broadcast_to(np.arange(-128, 128).reshape(1, 16, 16, 1), (2, 16, 16, channels))
    expected = golden_tensors(model, frames)
    assert assert_equal(expected, engine_of(model, isa).intermediates(frames)) > 0


@pytest.mark.parametrize("stream", ["UINT8", "INT14", "UINT4", "INT31", "BINARY"])
def test_signed_thresholds_of_other_inputs_equal_golden(stream: str, isa: str) -> None:
    g = GraphBuilder()
    x = g.input((1, 4, 4, 7), stream)
    low, high = grid.limits(*grid.type_format(stream))
    thresholds = g.rng.integers(low - 1, high + 1, (7, 6), endpoint=True)
    directions = g.rng.choice([-1, 1], (7, 6))
    model = g.model([g.signed_thresholds(x, thresholds, directions, np.zeros(7, int), "INT4")])
    frames = g.rng.integers(low, high, (5, 4, 4, 7), endpoint=True)
    frames[0], frames[1] = low, high
    assert assert_equal(golden_tensors(model, frames), engine_of(model, isa).intermediates(frames))


@pytest.mark.parametrize(
    ("acc", "shortcut", "target", "shift", "shortcut_shift", "op"),
    [
        ("INT19", None, "INT8", 7, 0, "requantise"),
        ("INT19", "INT8", "INT8", 7, 7, "requantise"),
        ("INT25", "INT8", "INT8", 12, 12, "requantise"),
        ("INT9", "INT8", "INT8", 0, 0, "requantise"),
        ("INT18", "INT8", "INT8", 8, 3, "requantise"),
        ("INT30", "INT8", "INT8", 20, 22, "requantise"),  # as far as 32 bits go
        ("INT31", "INT8", "INT8", 20, 23, "shift"),
        ("INT31", "INT8", "INT8", 30, 22, "shift"),  # the sum fits, its rounding does not
        ("INT32", "INT8", "INT8", 30, 30, "shift"),
        ("INT18", "INT8", "UINT8", 7, 7, "shift"),
        ("INT18", "UINT8", "INT8", 7, 7, "shift"),
        ("INT18", "INT16", "INT16", 7, 7, "shift"),
        ("INT8", "INT8", "INT5", 40, 3, "shift"),
    ],
)
def test_rounding_with_a_shortcut_equals_the_rule(
    acc: str, shortcut: str | None, target: str, shift: int, shortcut_shift: int, op: str, isa: str
) -> None:
    g = GraphBuilder(shift)
    names = [g.input((1, 4, 5, 13), t) for t in (acc, shortcut) if t]
    y = g.requant(names[0], shift, target, names[1] if shortcut else None, shortcut_shift)
    engine = engine_of(g.model([y]), isa)
    assert op in [s.op for s in engine.plan.steps]
    inputs = {}
    for name in names:
        low, high = grid.limits(*grid.type_format(g.types[name]))
        reach = min(high, 130 << shift)  # most of the results within the output's range
        inputs[name] = g.rng.integers(max(low, -reach), reach, (6, 4, 5, 13), endpoint=True)
        inputs[name][0], inputs[name][1] = low, high
    total = inputs[names[0]]
    if shortcut:
        total = total + (inputs[names[1]] << shortcut_shift)
    expected = grid.requantise(total, shift, *grid.type_format(target))
    assert np.array_equal(engine.intermediates(inputs)[y], expected)


@pytest.mark.parametrize(
    ("types", "factors", "target"),
    [
        (("UINT4", "UINT4"), (1, 1), "UINT5"),
        (("INT8", "UINT2", "INT8"), (1, 4, 7), "INT12"),
        (("INT8", "INT8"), (65535, 3), "INT24"),
        (("INT17", "INT8"), (1, 200), "INT18"),
    ],
)
def test_sums_of_streams_equal_the_rule(
    types: tuple[str, ...], factors: tuple[int, ...], target: str, isa: str
) -> None:
    g = GraphBuilder()
    names = [g.input((1, 20, 20, 13), t) for t in types]
    y = g.add(names, factors, target)
    inputs = {}
    for name in names:
        low, high = grid.limits(*grid.type_format(g.types[name]))
        inputs[name] = g.rng.integers(low, high, (4, 20, 20, 13), endpoint=True)
        inputs[name][0], inputs[name][1] = low, high
    engine = engine_of(g.model([y]), isa)
    expected = sum(inputs[name] * factor for name, factor in zip(names, factors, strict=True))
    assert np.array_equal(engine.intermediates(inputs)[y], expected)
    assert np.array_equal(only(engine, inputs, y), expected)


def test_sums_that_run_behind_a_product_take_their_pixels(isa: str) -> None:
    g = GraphBuilder()
    x = g.input((1, 20, 20, 16), "INT8")
    first, second = (g.int_mvu(copy, 16, low=-7, high=7) for copy in g.duplicate(x))
    y = g.add([second, first], [1, 3], "INT18")
    engine = engine_of(g.model([y]), isa)
    inputs = {x: g.rng.integers(-128, 128, (2, 20, 20, 16))}
    assert np.array_equal(only(engine, inputs, y), engine.intermediates(inputs)[y])


@pytest.mark.parametrize("shortcut", [False, True])
@pytest.mark.parametrize(
    "attrs",
    [
        {},
        {"accShift": 3, "accBits": 9},
        {"shortcutShift": 0, "preShift": 0, "slopeShift": 0, "outShift": 0},
        {"preBits": 8, "outShift": 1},
        {"outputDataType": "INT5"},
        {"outputDataType": "INT12", "outShift": 0},
        {"shortcutShift": 33, "preShift": 28},  # needs 64 bits
    ],
    ids=str,
)
def test_epilogue_equals_the_rule(attrs: dict[str, Any], shortcut: bool, isa: str) -> None:
    channels = 37
    g = GraphBuilder()
    acc = g.input((1, 4, 5, channels), "INT13")
    x = g.input((1, 4, 5, channels), "INT8") if shortcut else None
    rows = [(-511, 511), (-(1 << 20), 1 << 20), (-8192, 8191), (-128, 127), (-8192, 8191)]
    params = np.stack([g.rng.integers(a, b, channels, endpoint=True) for a, b in rows])
    model = g.model([g.epilogue(acc, x, params, **attrs)])
    node = {a.name: onnx.helper.get_attribute_value(a) for a in model.graph.node[0].attribute}
    inputs = {acc: g.rng.integers(-4096, 4095, (6, 4, 5, channels), endpoint=True)}
    inputs[acc][0], inputs[acc][1] = -4096, 4095
    if x is not None:
        inputs[x] = g.rng.integers(-128, 127, (6, 4, 5, channels), endpoint=True)
        inputs[x][0], inputs[x][1] = -128, 127
    fmt = EpilogueFormat(
        node["accShift"], node["shortcutShift"], node["preShift"], node["slopeShift"],
        node["outShift"], node["accBits"], node["preBits"],
        int(node["outputDataType"].decode().removeprefix("INT")),
    )  # fmt: skip
    expected = epilogue(inputs[acc], params, fmt, inputs[x] if x is not None else None)
    got = engine_of(model, isa).intermediates(inputs)[model.graph.output[0].name]
    assert np.array_equal(got, expected)


@pytest.mark.parametrize("datatype", ["BINARY", "UINT4", "INT8", "INT13"])
@pytest.mark.parametrize("channels", [6, 8, 24])
def test_moving_channels_and_pooling_in_every_storage(
    datatype: str, channels: int, isa: str
) -> None:
    g = GraphBuilder()
    x = g.input((1, 5, 7, channels), datatype)
    left, right, rest = g.split(x, [channels // 3, channels // 3, channels - 2 * (channels // 3)])
    y = g.max_pool(g.shuffle(left, right), [3, 2], [2, 1], [1, 1, 0, 1])
    model = g.model([y, g.global_pool(rest)])
    low, high = {"BINARY": (0, 1), "UINT4": (0, 15), "INT8": (-128, 127), "INT13": (-4096, 4095)}[
        datatype
    ]
    frames = g.rng.integers(low, high, (4, 5, 7, channels), endpoint=True)
    frames[0], frames[1] = low, high
    got = engine_of(model, isa).intermediates(frames)
    assert assert_equal(golden_tensors(model, frames), got) > 0


def test_a_pool_of_one_pixel_feeds_an_8_bit_product(isa: str) -> None:
    g = GraphBuilder()
    x = g.input((1, 1, 1, 24), "INT8")
    pooled = g.global_pool(x)
    assert g.types[pooled] == "INT8"
    model = g.model([g.int_mvu(pooled, 6, bias=g.rng.integers(-900, 900, 6))])
    frames = g.rng.integers(-128, 127, (5, 1, 1, 24), endpoint=True)
    frames[0], frames[1] = -128, 127
    weights, bias = list(constants_of(model).values())
    got = engine_of(model, isa).intermediates(frames)[model.graph.output[0].name]
    assert np.array_equal(got, frames @ weights + bias)


def test_a_window_that_others_read_stays_a_tensor(isa: str) -> None:
    g = GraphBuilder()
    x = g.epilogue(g.int_mvu(g.input((1, 6, 6, 3), "UINT8"), 12, low=-7, high=7))
    padded, also = g.duplicate(g.pad(g.sign(x), [1] * 4))
    windows, again = g.duplicate(g.windows(padded, [3, 3], [1, 1]))
    model = g.model([g.xnor(windows, 5), again, also])
    assert_golden(model, random_pictures(model, 3), isa, gone=0)


def test_a_window_that_is_an_output_stays_a_tensor(isa: str) -> None:
    g = GraphBuilder()
    windows = g.windows(g.input((1, 6, 6, 3), "UINT8"), [3, 3], [1, 1])
    model = g.model([g.int_mvu(windows, 5), windows])
    assert_golden(model, random_pictures(model, 3), isa, gone=0)
