# SPDX-License-Identifier: Apache-2.0
"""The CPU engine on what masks are made of: 1-bit weights on codes, skips, a class per pixel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from andpop.hw.cpu.engine import Engine
from andpop.hw.cpu.ops.thresholds import MAX_COMPARED
from andpop.hw.cpu.pack import compile_graph, pack
from andpop.hw.cpu.plan import ModelError
from andpop.hw.graph import executor
from andpop.quant.grid import limits, signed_bits, type_format
from cpu_engine import IntArray, engine_of
from cpu_engine import isa_fixture as isa_fixture
from dataflow_graphs import GraphBuilder, bi_shufflenet, pa_resnet
from packed_files import resealed


class MaskBuilder(GraphBuilder):
    """Adds the nodes that networks for masks have besides the others."""

    def binary_mvu(self, x: str, outputs: int, weights: IntArray | None = None) -> str:
        """BinaryMvu, random weights unless given."""
        inputs = self.shapes[x][-1]
        if weights is None:
            weights = self.rng.integers(0, 2, (inputs, outputs))
        top = limits(*type_format(self.types[x]))[1]
        datatype = f"INT{signed_bits(inputs * top)}"
        return self.node(
            "BinaryMvu", [x, self.constant(weights)],
            [((*self.shapes[x][:-1], outputs), datatype)],
            MW=inputs, MH=outputs, SIMD=1, PE=1, numInputVectors=self.vectors(x),
            inputDataType=self.types[x], outputDataType=datatype, implementation="auto",
        )[0]  # fmt: skip

    def interleave(self, x: str) -> str:
        """PixelInterleave."""
        _, h, w, c = self.shapes[x]
        return self.node(
            "PixelInterleave", [x], [((1, 2 * h, 2 * w, c // 4), self.types[x])],
            NumChannels=c // 4, PE=1, ImgDim=[h, w], inputDataType=self.types[x],
        )[0]  # fmt: skip

    def upsample(self, x: str, scale: list[int], phases: int) -> str:
        """StreamUpsample."""
        _, h, w, c = self.shapes[x]
        c //= scale[0] * scale[1] if phases else 1
        return self.node(
            "StreamUpsample", [x], [((1, scale[0] * h, scale[1] * w, c), self.types[x])],
            NumChannels=c, PE=1, ImgDim=[h, w], Scale=scale, phases=phases,
            inputDataType=self.types[x],
        )[0]  # fmt: skip

    def concat(self, *xs: str) -> str:
        """StreamingConcat."""
        channels = [self.shapes[x][-1] for x in xs]
        return self.node(
            "StreamingConcat", xs, [((*self.shapes[xs[0]][:-1], sum(channels)), self.types[xs[0]])],
            ChannelsPerStream=channels, SIMD=1, inputDataTypes=[self.types[x] for x in xs],
            numInputVectors=self.vectors(xs[0]),
        )[0]  # fmt: skip

    def reflect(self, x: str, padding: Sequence[int]) -> str:
        """StreamReflectPad."""
        _, h, w, c = self.shapes[x]
        top, left, bottom, right = padding
        return self.node(
            "StreamReflectPad", [x],
            [((1, h + top + bottom, w + left + right, c), self.types[x])],
            NumChannels=c, SIMD=1, ImgDim=[h, w], Padding=list(padding),
            inputDataType=self.types[x],
        )[0]  # fmt: skip

    def crop(self, x: str, sides: Sequence[int]) -> str:
        """StreamCrop."""
        _, h, w, c = self.shapes[x]
        top, left, bottom, right = sides
        return self.node(
            "StreamCrop", [x], [((1, h - top - bottom, w - left - right, c), self.types[x])],
            NumChannels=c, SIMD=1, ImgDim=[h, w], Crop=list(sides), inputDataType=self.types[x],
        )[0]  # fmt: skip

    def pixel_labels(self, x: str) -> str:
        """LabelSelect of every pixel."""
        return self.node(
            "LabelSelect", [x], [((*self.shapes[x][:-1], 1), "UINT16")], Labels=self.shapes[x][-1],
            PE=1, K=1, inputDataType=self.types[x], outputDataType="UINT16",
            numInputVectors=self.vectors(x),
        )[0]  # fmt: skip

    def activation(self, acc: str, k: int, falling: bool = False) -> str:
        """SignedThresholding of a k-bit activation, spread over what sums usually reach."""
        channels, top = self.shapes[acc][-1], (1 << k) - 1
        count = top + (5 if falling else 0)
        reach = 1 << max(2, int(self.types[acc].removeprefix("INT")) - 5)
        thresholds = np.sort(self.rng.integers(-reach, reach, (channels, count)), axis=1)
        steps = np.ones((channels, count), dtype=np.int64)
        base = np.zeros(channels, dtype=np.int64)
        if falling:
            # Down to 0 first, then up to the top.
            steps[:, :5], base[:] = -1, 5
        steps[1::3] *= -1
        base[1::3] = top - base[1::3]
        return self.signed_thresholds(acc, thresholds, steps, base, f"UINT{k}")

    def kbit_block(self, x: str, outputs: int, k: int, falling: bool = False) -> str:
        """A 3x3 block of 1-bit weights."""
        y = self.windows(self.pad(x, [1] * 4), [3, 3], [1, 1])
        return self.activation(self.binary_mvu(y, outputs), k, falling)


def mask_of(
    g: MaskBuilder,
    size: Sequence[int],
    k: int = 4,
    base: int = 4,
    depth: int = 2,
    falling: bool = False,
    padding: Sequence[int] | None = None,
) -> str:
    """Add a U-BiNet with random integers; ``padding`` is reflected and cropped back."""
    x = g.input((1, *size, 1), "UINT8")
    if padding is not None:
        x = g.reflect(x, padding)
    x = g.int_mvu(g.windows(g.pad(x, [1] * 4), [3, 3], [1, 1]), base)
    x = g.activation(x, k, falling)
    skips = []
    for level in range(depth):
        width = base << level
        if level:
            x = g.kbit_block(x, width, k, falling)
        skip, x = g.duplicate(g.kbit_block(x, width, k, falling))
        skips.append(skip)
        x = g.max_pool(x, [2, 2], [2, 2], [0] * 4)
    x = g.kbit_block(g.kbit_block(x, base << depth, k, falling), base << depth, k, falling)
    for level in reversed(range(depth)):
        width = base << level
        x = g.activation(g.interleave(g.binary_mvu(x, 4 * width)), k)
        x = g.concat(skips[level], x)
        x = g.kbit_block(g.kbit_block(x, width, k, falling), width, k, falling)
    if padding is not None:
        x = g.crop(x, padding)
    # Signs in turn, so that both classes occur.
    weights = np.where(np.arange(base) % 2, -1, 1)[:, None] * g.rng.integers(90, 127, (base, 2))
    weights[:, 1] *= -1
    return g.pixel_labels(g.int_mvu(x, 2, weights, bias=np.array([9, -3])))


def u_binet(size: Sequence[int], **options: Any) -> onnx.ModelProto:
    """A U-BiNet with random integers as a graph."""
    g = MaskBuilder()
    return g.model([mask_of(g, size, **options)])


def last(model: onnx.ModelProto) -> str:
    """Name of a graph's first output."""
    return str(model.graph.output[0].name)


def pictures_of(model: onnx.ModelProto, count: int) -> npt.NDArray[np.uint8]:
    """Random pixels, all black, all white."""
    shape = [count, *(d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim[1:])]
    x = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    x[-2], x[-1] = 0, 255
    return x


PRODUCTS = [
    # k, channels, outputs, size, kernel, stride
    (1, 3, 5, (7, 9), 3, 1),
    (2, 4, 8, (6, 8), 3, 1),
    (4, 4, 16, (9, 9), 3, 1),
    (4, 8, 33, (5, 14), 3, 2),
    (4, 32, 64, (5, 14), 3, 1),
    (3, 20, 65, (4, 6), 1, 1),
    (4, 16, 48, (7, 7), 1, 2),
    (4, 7, 24, (6, 140), 3, 1),
    (8, 64, 96, (3, 15), 3, 1),
    (8, 512, 17, (2, 7), 3, 1),
    (4, 8, 24, (4, 150), 3, 1),  # read in place, rows longer than a tile
]


@pytest.mark.parametrize("layer", PRODUCTS, ids=str)
def test_one_bit_weights_on_codes_equal_their_definition(layer: Any, isa: str) -> None:
    k, channels, outputs, size, kernel, stride = layer
    g = MaskBuilder(k)
    y = g.input((1, *size, channels), f"UINT{k}")
    if kernel > 1:
        y = g.pad(y, [1] * 4)
    if kernel * stride > 1:
        y = g.windows(y, [kernel] * 2, [stride] * 2)
    weights = g.rng.integers(0, 2, (g.shapes[y][-1], outputs))
    weights[:, 0], weights[:, 1] = 1, 0
    model = g.model([g.binary_mvu(y, outputs, weights)])
    frames = g.rng.integers(0, 1 << k, (4, *size, channels))
    frames[0] = (1 << k) - 1
    got = engine_of(model, isa).intermediates(frames)[last(model)]
    border = kernel // 2
    padded = np.pad(frames, ((0, 0), (border, border), (border, border), (0, 0)))
    rows, columns = ((n - 1) // stride + 1 for n in size)
    expected = np.zeros((4, rows, columns, outputs), dtype=np.int64)
    for tap in range(kernel * kernel):
        ky, kx = divmod(tap, kernel)
        cut = padded[:, ky : ky + size[0] : stride, kx : kx + size[1] : stride]
        w = weights[tap * channels : (tap + 1) * channels]
        expected += cut @ w - cut @ (1 - w)
    assert got.shape == expected.shape
    assert np.array_equal(got, expected)
    middle = (0, rows // 2, columns // 2)
    reach = ((1 << k) - 1) * kernel * kernel * channels
    assert size[0] < 3 or list(expected[middle][:2]) == [reach, -reach]


@pytest.mark.parametrize("channels", [1, 3, 4, 8, 16, 24, 33, 64])
@pytest.mark.parametrize("count", [1, 3, 20, MAX_COMPARED, MAX_COMPARED + 1, 255, 327])
@pytest.mark.parametrize("stream", ["INT13", "INT31"])
def test_codes_of_accumulators_equal_the_rule(
    channels: int, count: int, stream: str, isa: str
) -> None:
    g = MaskBuilder(channels + count)
    acc = g.input((1, 6, 5, channels), stream)
    low, high = limits(*type_format(stream))
    thresholds = g.rng.integers(low, high, (channels, count), endpoint=True)
    at_ends = g.rng.integers(0, 8, thresholds.shape) == 0
    thresholds[at_ends] = g.rng.choice([low, low + 1, high, high + 1], at_ends.sum())
    # Constants of a graph are held by float32.
    thresholds = thresholds.astype(np.float32).astype(np.int64)
    if count > 2:
        thresholds[:, 2] = thresholds[:, 0]
    steps = np.ones((channels, count), dtype=np.int64)
    base = np.zeros(channels, dtype=np.int64)
    if count > 255:
        # As many down as codes of 8 bits need to stay within their range.
        order = np.sort(thresholds, axis=1)
        thresholds, base = order, np.full(channels, 72)
        steps[:, :72] = -1
    falling = np.arange(channels) % 3 == 1
    steps[falling] *= -1
    base[falling] = min(count, 255) - base[falling]
    model = g.model([g.signed_thresholds(acc, thresholds, steps, base, "UINT8")])
    engine = engine_of(model, isa)
    assert [s.op for s in engine.plan.steps] == [
        "acc_levels" if count <= MAX_COMPARED else "search_levels"
    ]
    frames = g.rng.integers(low, high, (4, 6, 5, channels), endpoint=True)
    near = g.rng.choice(thresholds.reshape(-1), (6, 5, channels)) - g.rng.integers(0, 2, (6, 5, 1))
    frames[0], frames[1], frames[2] = low, high, near.clip(low, high)
    got = engine.intermediates(frames)[last(model)]
    expected = base + (steps * (frames[..., None] >= thresholds)).sum(axis=-1)
    assert np.array_equal(got, expected)
    assert len(np.unique(expected)) >= 2


@pytest.mark.parametrize("datatype", ["BINARY", "UINT1", "UINT4", "UINT8", "INT8", "INT13"])
@pytest.mark.parametrize("channels", [1, 4, 12])
def test_pixels_that_move_equal_their_definition(datatype: str, channels: int, isa: str) -> None:
    g = MaskBuilder(channels)
    x = g.input((1, 5, 6, 4 * channels), datatype)
    one, two, three, four, five, six, seven, eight = g.duplicate(x, 8)
    left, right, rest = g.split(four, [channels, 2 * channels, channels])
    outputs = [
        g.interleave(one),
        g.reflect(two, [4, 1, 2, 5]),
        g.crop(three, [1, 0, 2, 5]),
        g.concat(rest, left, right),
        g.max_pool(five, [2, 2], [2, 2], [0] * 4),
        g.upsample(six, [3, 2], 0),
        g.upsample(seven, [2, 2], 1),
        g.upsample(eight, [1, 4], 2),
    ]
    low, high = (0, 1) if datatype == "BINARY" else limits(*type_format(datatype))
    frames = g.rng.integers(low, high, (3, 5, 6, 4 * channels), endpoint=True)
    got = engine_of(g.model(outputs), isa).intermediates(frames)
    y = np.empty((3, 10, 12, channels), dtype=np.int64)
    for group in range(4):
        y[:, group // 2 :: 2, group % 2 :: 2] = frames[..., group * channels :][..., :channels]
    expected = [
        y,
        np.pad(frames, ((0, 0), (4, 2), (1, 5), (0, 0)), mode="reflect"),
        frames[:, 1:3, 0:1],
        np.roll(frames, channels, axis=-1),
        frames[:, :4].reshape(3, 2, 2, 3, 2, -1).max(axis=(2, 4)),
        frames[:, np.arange(15) // 3][:, :, np.arange(12) // 2],
        np.stack(
            [frames[:, y // 2, x // 2, 2 * (y % 2) + x % 2 :: 4] for y, x in np.ndindex(10, 12)],
            axis=1,
        ).reshape(3, 10, 12, channels),
        frames.reshape(3, 5, 24, channels),
    ]
    for name, e in zip(outputs, expected, strict=True):
        assert np.array_equal(got[name], e), name


def test_labels_of_pixels_take_the_lowest_of_equals(isa: str) -> None:
    g = MaskBuilder()
    model = g.model([g.pixel_labels(g.input((1, 7, 9, 3), "INT5"))])
    frames = g.rng.integers(-2, 2, (5, 7, 9, 3))
    got = engine_of(model, isa).intermediates(frames)[last(model)]
    assert np.array_equal(got[..., 0], frames.argmax(axis=-1))


NETWORKS: list[dict[str, Any]] = [
    {"size": (16, 24)},
    {"size": (16, 16), "k": 1, "base": 3},
    {"size": (16, 16), "k": 2, "falling": False, "base": 5},
    {"size": (16, 24), "falling": True, "depth": 3},
    {"size": (13, 18), "padding": [1, 3, 2, 3], "depth": 3},
    {"size": (16, 16), "k": 8, "base": 16, "depth": 1},
    {"size": (16, 32), "base": 16, "depth": 3},
]


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_network_for_masks_equals_golden_in_every_tensor(network: dict[str, Any], isa: str) -> None:
    model = u_binet(**network)
    pictures = pictures_of(model, 4)
    golden = executor.run(model, pictures, "all")
    engine = engine_of(model, isa)
    got = engine.intermediates(pictures)
    # Windows and padding are read in place.
    moved = {"ConvolutionInputGenerator", "FMPadding"}
    gone = {n.output[0] for n in model.graph.node if n.op_type in moved}
    assert golden.keys() - got.keys() == gone
    compared = 0
    for name in golden.keys() & got.keys():
        assert np.array_equal(golden[name], got[name]), name
        compared += golden[name].size
    assert compared > 40_000
    codes = [n.output[0] for n in model.graph.node if n.op_type == "SignedThresholding"]
    alive = [len(np.unique(golden[name])) for name in codes]
    assert min(alive) >= min(2 ** network.get("k", 4), 8), "the network says nothing"
    masks = engine.masks(pictures, threads=2)
    assert np.array_equal(masks, golden[last(model)][..., 0])
    assert masks.shape == (4, *network["size"]) == (4, *(engine.mask_shape or ()))
    assert set(np.unique(masks)) == {0, 1}


@pytest.mark.parametrize(
    "make",
    [
        lambda: u_binet((12, 140), base=5),
        lambda: u_binet((16, 16), k=8, base=8, depth=1),
        lambda: pa_resnet(),
        lambda: bi_shufflenet((33, 47), 3, (6, 12, 24, 48, 40), (1, 1, 1)),
    ],
)
def test_steps_that_run_together_write_what_they_write_apart(
    make: Callable[[], onnx.ModelProto], isa: str
) -> None:
    model = make()
    engine, pictures = engine_of(model, isa), pictures_of(model, 3)
    apart = engine.intermediates(pictures)
    # Nobody asks for accumulators: they go from one step to the next in pieces.
    streams = [
        i for i, t in enumerate(engine.plan.tensors) if t.names and t.storage in ("u8", "i8")
    ]
    encoded, count = engine._encode({engine.plan.tensors[0].names[0]: pictures})
    compared = 0
    for index, raw in zip(streams, engine._run(encoded, count, streams, 1), strict=True):
        together = engine._decode(index, raw)
        assert np.array_equal(together, apart[engine.plan.tensors[index].names[0]])
        compared += together.size
    assert compared > 5000


def test_masks_of_any_number_of_pictures_and_threads() -> None:
    model = u_binet((16, 16))
    engine = engine_of(model)
    pictures = pictures_of(model, 9)
    expected = engine.intermediates(pictures)[last(model)][..., 0]
    for threads in (1, 2, 7):
        masks = engine.masks(pictures, threads)
        assert masks.dtype == np.int64
        assert np.array_equal(masks, expected)
    assert engine.masks(pictures[:0]).shape == (0, 16, 16)
    assert engine.labels == 2
    with pytest.raises(ModelError, match="expected a classifier of pictures; use masks"):
        engine.run(pictures)
    with pytest.raises(ModelError, match="found float64, expected uint8"):
        engine.masks(pictures / 255)


def test_a_classifier_has_no_masks() -> None:
    g = GraphBuilder()
    model = g.model([g.label(g.int_mvu(g.input((1, 1, 1, 3), "UINT8"), 4))])
    engine = engine_of(model)
    assert engine.mask_shape is None
    with pytest.raises(ModelError, match="found one class per picture, expected one per pixel"):
        engine.masks(np.zeros((1, 1, 1, 3), np.uint8))


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed network with every step that masks need."""
    folder = tmp_path_factory.mktemp("packed-masks")
    g = MaskBuilder()
    mask = mask_of(g, (13, 14), k=8, depth=1, padding=[1, 2, 2, 0])
    side = g.activation(g.upsample(g.input((1, 2, 1, 8), "INT9"), [1, 2], 1), 2)
    return pack(g.model([mask, side]), None, folder / "masks.andpop")


def change_step(op: str, /, **values: Any) -> Callable[[dict[str, Any]], None]:
    """A change of the first step of an op."""

    def change(document: dict[str, Any]) -> None:
        step = next(s for s in document["steps"] if s["op"] == op)
        for key, value in values.items():
            (step if key in step else step["attributes"])[key] = value

    return change


HOSTILE = [
    change_step("reflect", pad_top=13),
    change_step("reflect", pad_left=-1),
    change_step("reflect", kernel_x=2),
    change_step("reflect", height=14),
    change_step("crop", top=0),
    change_step("crop", left=15),
    change_step("crop", right=-1),
    change_step("crop", surprise=1),
    change_step("interleave", height=1),
    change_step("interleave", width=0),
    change_step("interleave", inputs=[0]),
    change_step("upsample", height=5),
    change_step("upsample", scale_y=0),
    change_step("upsample", scale_x=3),
    change_step("upsample", phases=3),
    change_step("upsample", phases=0),
    change_step("concat", inputs=[]),
    change_step("concat", inputs=[0, 0]),
    change_step("acc_levels", steps=0),
    change_step("acc_levels", steps=1 << 20),
    change_step("acc_levels", constants={}),
    change_step("search_levels", steps=0),
    change_step("search_levels", steps=9),
    change_step("search_levels", steps=1 << 40),
    change_step("argmax", inputs=[0]),
]


@pytest.mark.parametrize("change", HOSTILE, ids=range(len(HOSTILE)))
def test_plans_of_masks_that_contradict_themselves_are_refused(
    packed: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    Engine.load(packed)
    path = resealed(packed, tmp_path / "bad.andpop", lambda header, _: change(header["plan"]))
    with pytest.raises(ModelError) as error:
        Engine.load(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def broken(change: Callable[[MaskBuilder, str], str], stream: str) -> onnx.ModelProto:
    """A graph whose last node is wrong."""
    g = MaskBuilder()
    return g.model([change(g, g.input((1, 4, 4, 6), stream))])


def narrow(g: MaskBuilder, x: str) -> str:
    """A product that does not fit the type its node states."""
    y = g.binary_mvu(x, 2)
    attribute = next(a for a in g.nodes[-1].attribute if a.name == "outputDataType")
    attribute.s = b"INT4"
    return y


@pytest.mark.parametrize(
    ("change", "stream", "message"),
    [
        (lambda g, x: g.binary_mvu(x, 3), "INT8", "found INT8 input, expected codes of UINT1"),
        (lambda g, x: g.binary_mvu(x, 3), "UINT9", "found UINT9 input, expected codes of UINT1"),
        (
            lambda g, x: g.binary_mvu(x, 1, np.full((6, 1), -1)),
            "UINT4",
            "found weights other than 0 and 1, expected BINARY",
        ),
        (lambda g, x: g.binary_mvu(x, 1, np.ones((5, 1), int)), "UINT4", "found 6 inputs and"),
        (narrow, "UINT4", "outputDataType INT4 does not hold"),
        (lambda g, x: g.interleave(x), "UINT4", "found 6 channels, expected 4 x 1"),
        (lambda g, x: g.reflect(x, [4, 0, 0, 0]), "UINT4", "found pad_top 4, expected 0..3"),
        (lambda g, x: g.crop(x, [2, 0, 2, 0]), "UINT4", "expected"),
        (
            lambda g, x: g.concat(g.levels(x, 3), x),
            "INT8",
            r"found INT8 \[4, 4, 6\], expected UINT2 \[4, 4, 6\]",
        ),
    ],
)
def test_graphs_outside_the_contract_name_the_node(
    change: Callable[[MaskBuilder, str], str], stream: str, message: str
) -> None:
    with pytest.raises(ModelError, match=message) as error:
        compile_graph(broken(change, stream), "test", None)
    assert "\n" not in str(error.value)
