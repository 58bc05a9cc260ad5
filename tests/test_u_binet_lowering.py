# SPDX-License-Identifier: Apache-2.0
"""U-BiNet as a dataflow graph: the same integers as PyTorch and QONNX, at every boundary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from andpop.hw.graph.builder import boundaries
from andpop.hw.graph.executor import GoldenExecutor, run
from andpop.hw.graph.fifo_sizing import choose_depths
from andpop.hw.graph.folding import FoldingError, cycles, fold
from andpop.hw.graph.insert_streams import insert_streams
from andpop.hw.graph.loader import load
from andpop.hw.graph.lowering import LoweringError, lower
from andpop.hw.graph.signed_steps import within
from andpop.hw.graph.skips import skip_table, skips
from andpop.hw.graph.specialise import specialise
from andpop.hw.graph.verify import verify
from andpop.hw.kernels.signed_thresholding.golden import signed_thresholding
from andpop.hw.rtl.simulate import emit, simulate
from andpop.hw.rtl.sizing import Sizing, size_fifos
from andpop.models.build import build
from andpop.quant.capture import capture
from andpop.quant.exact import exact_eval
from andpop.quant.export_qonnx import export
from andpop.quant.samples.pairs import Notes, find_pairs, load_pairs
from andpop.sim.network import Pauses
from comparisons import Comparisons
from finn.core.onnx_exec import execute_onnx
from float_execution import onnx_runtime
from onnx import numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx_block import set_constant
from test_u_binet import floats, network, pictures
from torch import nn

Pictures = npt.NDArray[np.uint8]


@dataclass
class Lowered:
    """A frozen network, its QONNX file, and the dataflow graph."""

    net: nn.Module
    proto: onnx.ModelProto
    graph: ModelWrapper


def lowered(net: nn.Module, folder: Path, height: int, width: int) -> Lowered:
    path = folder / "u.onnx"
    export(net, height, width, 1, path)
    proto = load(path).model
    return Lowered(net, proto, lower(proto))


def kbit(
    folder: Path, k: int = 4, height: int = 16, width: int = 16, *, monotone: bool = False
) -> Lowered:
    net = network(k, monotone=monotone)
    net.freeze()
    balance(net, height, width)
    return lowered(net, folder, height, width)


def balance(net: nn.Module, height: int, width: int) -> None:
    """Shift the bias so that about half of the pixels of noise are of either class."""
    with exact_eval():
        logits = net.integer_logits(floats(pictures(8, height, width)[3:]))
    net.classifier.bias[1] += (logits[:, 0] - logits[:, 1]).median().round()


def pa(folder: Path, height: int, width: int) -> Lowered:
    torch.manual_seed(0)
    net = build("u-binet", {"base": 2, "depth": 3, "pa": {"m": 4, "n": 5}})
    with torch.no_grad():
        for _ in range(10):
            net(floats(pictures(4)))
    net.eval().freeze()
    balance(net, height, width)
    return lowered(net, folder, height, width)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Lowered:
    """k = 4, 16x16: no border to reflect."""
    return kbit(tmp_path_factory.mktemp("small"))


def compare(found: Lowered, x: Pictures, compared: Comparisons) -> tuple[int, int]:
    """Compare PyTorch, QONNX and golden; return (values compared with both, with QONNX alone)."""
    pairs = boundaries(found.graph)
    with exact_eval():
        torchs = capture(found.net, x, [b.reference for b in pairs])
        logits = found.net(floats(x)).numpy()
    executor = GoldenExecutor(found.graph)
    execute = onnx_runtime(found.proto, [*(b.reference for b in pairs), "logits"])
    both = alone = ones = 0
    for part, ours in executor.chunks(x, "all"):
        for i in range(part.start, part.stop):
            theirs = execute(floats(x[i : i + 1]).numpy())
            for pair in pairs:
                mine = ours[pair.tensor][i - part.start : i - part.start + 1]
                compared.arrays(mine, pair.codes(theirs[pair.reference]), pair.reference)
                if pair.reference in torchs:
                    values = pair.codes(torchs[pair.reference][i : i + 1])
                    compared.arrays(mine, values, pair.reference)
                    both += mine.size
                else:
                    alone += mine.size
            assert np.array_equal(theirs["logits"], logits[i : i + 1])
            mask = ours[executor.outputs[0]][i - part.start, ..., 0]
            compared.arrays(mask, logits[i].argmax(0), "mask")
            both += mask.size
            ones += int(mask.sum())
    assert ones > 100, "a mask of one class compares nothing"
    return both, alone


@pytest.mark.parametrize(
    ("k", "height", "width"),
    [
        (4, 16, 16),
        (4, 20, 27),
        pytest.param(1, 16, 24, marks=pytest.mark.full),
        pytest.param(2, 33, 17, marks=pytest.mark.full),
        pytest.param(8, 16, 16, marks=pytest.mark.full),
        pytest.param(8, 9, 23, marks=pytest.mark.full),
    ],
)
def test_every_boundary_equals_torch_and_qonnx(
    k: int, height: int, width: int, tmp_path: Path, compared: Comparisons
) -> None:
    found = kbit(tmp_path, k, height, width)
    both, alone = compare(found, pictures(6, height, width), compared)
    print(f"{both} values of three backends and {alone} of two, {compared.differing} differing")
    assert both > 100_000 and alone > 20_000
    assert len(boundaries(found.graph)) == 42 + 2 * (height % 8 > 0)


def test_pa_bases_lower_without_code_of_their_own(tmp_path: Path, compared: Comparisons) -> None:
    found = pa(tmp_path, 20, 24)
    kinds = Counter(n.op_type for n in found.graph.graph.node)
    assert (kinds["PaMvu"], kinds["PixelInterleave"], kinds["StreamingConcat"]) == (16, 3, 3)
    both, alone = compare(found, pictures(4, 20, 24), compared)
    assert both > 50_000 and alone > 10_000


@pytest.mark.data
@pytest.mark.full
def test_200_real_pictures(tmp_path: Path, andpop_data: Path, compared: Comparisons) -> None:
    samples = list(find_pairs(andpop_data / "magnetic-tile").samples)[::5][:200]
    x, _ = load_pairs(samples, 1, Notes(32, 32, "bilinear"))
    assert x.shape == (200, 32, 32, 1)
    found = kbit(tmp_path, 4, 32, 32)
    both, alone = compare(found, x, compared)
    print(f"{both} values of three backends and {alone} of two, {compared.differing} differing")
    assert both > 10_000_000


def test_graph_is_that_of_the_contract(small: Lowered) -> None:
    kinds = Counter(n.op_type for n in small.graph.graph.node)
    assert kinds == {
        "FMPadding": 14,
        "ConvolutionInputGenerator": 14,
        "IntMvu": 2,
        "BinaryMvu": 16,
        "SignedThresholding": 17,
        "DuplicateStreams": 3,
        "StreamMaxPool": 3,
        "PixelInterleave": 3,
        "StreamingConcat": 3,
        "LabelSelect": 1,
    }
    graph = small.graph
    assert list(graph.get_tensor_shape(graph.graph.output[0].name)) == [1, 16, 16, 1]
    codes = [n.output[0] for n in graph.graph.node if n.op_type == "SignedThresholding"]
    assert {graph.get_tensor_datatype(name).name for name in codes} == {"UINT4"}


def test_borders_are_reflected_and_cropped_back(tmp_path: Path) -> None:
    graph = kbit(tmp_path, 2, 21, 27).graph.graph
    kinds = Counter(n.op_type for n in graph.node)
    assert (kinds["StreamReflectPad"], kinds["StreamCrop"]) == (1, 1)
    pads = {
        n.op_type: {a.name: list(a.ints) for a in n.attribute}
        for n in graph.node
        if n.op_type in ("StreamReflectPad", "StreamCrop")
    }
    assert pads["StreamReflectPad"]["Padding"] == pads["StreamCrop"]["Crop"] == [1, 2, 2, 3]
    assert pads["StreamCrop"]["ImgDim"] == [24, 32]


@pytest.mark.parametrize(("monotone", "most"), [(True, {15}), (False, set(range(15, 21)))])
def test_only_thresholds_that_are_reached_remain(
    monotone: bool, most: set[int], tmp_path: Path
) -> None:
    found = kbit(tmp_path, 4, monotone=monotone)
    counts = {
        numpy_helper.to_array(t).shape[1]
        for t in found.graph.graph.initializer
        if t.name.endswith("_thresholds")
    }
    assert counts <= most and 15 in counts
    assert verify(found.proto, found.graph) > 100_000


def test_thresholds_within_a_range_are_the_same_function() -> None:
    rng = np.random.default_rng(3)
    compared = 0
    for _ in range(200):
        channels, n = rng.integers(1, 5), rng.integers(1, 12)
        low, high = -rng.integers(0, 40, channels), rng.integers(0, 40, channels)
        thresholds = rng.integers(-60, 60, (channels, n)) / rng.choice([1, 2])
        thresholds[rng.random(thresholds.shape) < 0.1] = np.inf
        steps = rng.choice([-1, 1], (channels, n))
        base = rng.integers(-9, 9, channels)
        found = within(low, high, -64, thresholds, steps, base)
        x = np.linspace(low, high, 81).round().astype(np.int64)
        expected = signed_thresholding(x, thresholds, steps, base)
        assert np.array_equal(signed_thresholding(x, *found), expected)
        assert np.all(np.diff(found[0], axis=1) >= 0) and found[0].shape[1] <= n
        assert set(np.unique(found[1])) <= {-1, 1}
        compared += x.size
    assert compared > 20_000


def test_specialised_graph_runs_in_finn_and_folds(small: Lowered, compared: Comparisons) -> None:
    model = specialise(small.graph)
    x = pictures(3, 16, 16)[-1:]
    golden = run(small.graph, x, "all")
    theirs = execute_onnx(model, {"picture": x.astype(np.float32)}, True)
    for name, value in golden.items():
        compared.arrays(value, theirs[name], name)
    assert compared.values > 50_000
    for target in (36_864, 9_000, 4_096):
        assert max(cycles(fold(model, target)).values()) <= target
        insert_streams(model)
    with pytest.raises(FoldingError, match="cannot reach 100 cycles"):
        fold(model, 100)


def node(proto: onnx.ModelProto, name: str) -> onnx.NodeProto:
    return next(n for n in proto.graph.node if n.name == name)


def nan_threshold(proto: onnx.ModelProto) -> None:
    change(proto, "middle_0_activation_GreaterOrEqual_in1", np.nan)


def step_of_two(proto: onnx.ModelProto) -> None:
    change(proto, "middle_0_activation_Mul_in1", 2)


def half_base(proto: onnx.ModelProto) -> None:
    change(proto, "middle_0_activation_Add_in1", 0.5)


def level_too_high(proto: onnx.ModelProto) -> None:
    change(proto, "middle_0_activation_Add_in1", 300)


def odd_thresholds(proto: onnx.ModelProto) -> None:
    set_constant(
        proto, "middle_0_activation_GreaterOrEqual_in1", np.zeros((1, 20, 1, 1), np.float32)
    )


def up_stride(proto: onnx.ModelProto) -> None:
    for attribute in node(proto, "up_0_ConvTranspose").attribute:
        if attribute.name == "strides":
            attribute.ints[:] = [1, 1]


def half_weight(proto: onnx.ModelProto) -> None:
    change(proto, "classifier_Conv_in1", 0.5)


def zero_crop(proto: onnx.ModelProto) -> None:
    set_constant(proto, node(proto, "net_Slice").input[4], np.int64([2]))


def pad_channels(proto: onnx.ModelProto) -> None:
    set_constant(proto, "net_Pad_in1", np.int64([0, 1, 2, 0, 0, 0, 2, 0]))


def wide_border(proto: onnx.ModelProto) -> None:
    set_constant(proto, "net_Pad_in1", np.int64([0, 0, 20, 0, 0, 0, 2, 0]))


def three_inputs(proto: onnx.ModelProto) -> None:
    concat = node(proto, "net_Concat")
    concat.input.append(concat.input[0])


def change(proto: onnx.ModelProto, name: str, value: float) -> None:
    """Set the first element of a constant."""
    constant = next(t for t in proto.graph.initializer if t.name == name)
    array = numpy_helper.to_array(constant).copy()
    array.flat[0] = value
    constant.CopyFrom(numpy_helper.from_array(array, name))


@pytest.fixture(scope="module")
def bordered(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    return kbit(tmp_path_factory.mktemp("bordered"), 4, 20, 24).proto


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (nan_threshold, r"middle_0_activation_ReduceSum .*threshold that is no number"),
        (step_of_two, r"middle_0_activation_ReduceSum .*a step other than -1 and \+1"),
        (half_base, r"middle_0_activation_ReduceSum .*base that are not integers"),
        (level_too_high, r"middle_0_activation_Add .*channel 0 has the levels .*expected 0\.\.15"),
        (odd_thresholds, r"GreaterOrEqual\): found thresholds of shape \(1, 20, 1, 1\), expected"),
        (up_stride, r"up_0_ConvTranspose .*gives .* pixels, expected .* as its strides, pads"),
        (half_weight, r"classifier_Conv .*found weights that are not integers"),
        (zero_crop, r"net_Slice .*by steps of \[2\], expected rows and columns"),
        (pad_channels, r"net_Pad .*expected constant pads of the two image axes"),
        (wide_border, r"net_Pad .*reflects \[20, 0, 2, 0\] .* 20x24, expected fewer than it has"),
        (three_inputs, r"net_Concat .*gives net_Concat_out the shape .* as its attributes"),
    ],
)
def test_what_cannot_be_lowered_is_one_line(
    damage: Callable[[onnx.ModelProto], None], message: str, bordered: onnx.ModelProto
) -> None:
    proto = onnx.ModelProto.FromString(bordered.SerializeToString())
    damage(proto)
    with pytest.raises(LoweringError, match=message) as caught:
        lower(proto)
    assert "\n" not in str(caught.value)


def brute_force(height: int, width: int, depth: int) -> list[int]:
    """The skips' bounds by following single pixels: borders never reach beyond the map."""

    def window(made: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        h, w = made.shape
        out = np.zeros_like(made)
        for i in range(h):
            for j in range(w):
                out[i, j] = made[: min(i + 2, h), : min(j + 2, w)].max()
        return np.maximum.accumulate(out.reshape(-1)).reshape(h, w)

    def around(made: npt.NDArray[np.int64], level: int) -> npt.NDArray[np.int64]:
        """From the skip of a level down and up again, to its concat."""
        made = np.maximum.accumulate(made[1::2, 1::2].reshape(-1)).reshape(
            made.shape[0] // 2, made.shape[1] // 2
        )
        made = window(window(made))
        if level + 1 < depth:
            made = window(window(np.maximum(made, around(made, level + 1))))
        up = made.repeat(2, axis=0).repeat(2, axis=1)
        return np.maximum.accumulate(up.reshape(-1)).reshape(up.shape)

    found = []
    for level in reversed(range(depth)):
        h, w = height >> level, width >> level
        made = np.arange(1, h * w + 1).reshape(h, w)
        need = around(made, level).reshape(-1)
        found.append(int((need - np.arange(1, h * w + 1)).max()))
    return found


@pytest.mark.parametrize(("height", "width"), [(16, 16), (24, 40), (96, 16)])
def test_the_skips_bound_follows_from_dependencies(height: int, width: int, tmp_path: Path) -> None:
    table = skips(kbit(tmp_path, 4, height, width).graph)
    assert [s.bound_pixels for s in table] == brute_force(height, width, 3)
    assert [s.map_pixels for s in table] == [height * width >> (2 * i) for i in (2, 1, 0)]
    assert [s.pixel_bits for s in table] == [4 * 16, 4 * 8, 4 * 4]
    if height == 96:
        assert table[-1].bound_pixels < 49 * width < table[-1].map_pixels


def test_skip_table_names_its_fifos(small: Lowered) -> None:
    model = fold(specialise(small.graph), 9_000)
    stitched = [n for n in insert_streams(model).graph.node if n.op_type == "StreamingFIFO_rtl"]
    names = [n.name for n in stitched]
    table = skip_table(model, choose_depths(names, [4] * len(names), [700] * len(names)))
    assert len(table) == 3
    for row in table:
        assert row["edge"] in names
        assert (row["depth"], row["bits"]) == (704, 2816)
        assert row["bound_bits"] == 4 * row["bound_words"] < row["map_bits"]


def sized(graph: ModelWrapper, target: int, folder: Path) -> tuple[ModelWrapper, Sizing]:
    """Fold, emit and size a network; its skips' FIFOs hold what they must."""
    model = fold(specialise(graph), target)
    emit(model, folder)
    sizing = size_fifos(folder, jobs=1)
    table = skip_table(model, sizing.fifos)
    print(table)
    assert len(table) == 3
    assert all(row["bits"] >= row["peak_bits"] >= row["bound_bits"] for row in table)
    assert all(row["bound_bits"] > 1000 for row in table)
    return model, sizing


@pytest.mark.full
@pytest.mark.sim
@pytest.mark.timeout(3600)
def test_no_deadlock_under_random_pauses(tmp_path: Path, compared: Comparisons) -> None:
    """Pixels to mask in Verilator, input and output paused at random: 20 seeds."""
    found = kbit(tmp_path, 4, 32, 32)
    model, sizing = sized(found.graph, 32 * 32 * 18, tmp_path / "rtl")
    assert sizing.interval <= 1.05 * sizing.stated
    x = pictures(5, 32, 32)
    expected = run(model, x)[model.graph.output[0].name]
    assert 100 < expected.sum() < expected.size - 100
    rng = np.random.default_rng(20)
    for seed in range(20):
        pauses = Pauses(seed, int(rng.integers(0, 95)), int(rng.integers(0, 95)))
        masks = simulate(tmp_path / "rtl", x, pauses=pauses).outputs
        compared.arrays(expected, masks, pauses)
    assert compared.values == 20 * 5 * 32 * 32


@pytest.mark.full
@pytest.mark.sim
@pytest.mark.timeout(3600)
def test_skips_hold_lines_where_lines_do(tmp_path: Path, compared: Comparisons) -> None:
    """On a tall picture no skip holds its whole map."""
    found = kbit(tmp_path, 4, 128, 16)
    model, sizing = sized(found.graph, 128 * 16 * 18, tmp_path / "rtl")
    assert all(row["peak_bits"] < row["map_bits"] for row in skip_table(model, sizing.fifos))
    x = pictures(4, 128, 16)
    expected = run(model, x)[model.graph.output[0].name]
    compared.arrays(expected, simulate(tmp_path / "rtl", x).outputs)
