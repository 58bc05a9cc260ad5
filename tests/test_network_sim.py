# SPDX-License-Identifier: Apache-2.0
"""Whole networks in Verilator: exact at every edge, sized, stuck when starved, faults located."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from andpop.flows.backends import coverage
from andpop.flows.compare import Tally
from andpop.hw.graph import insert_streams
from andpop.hw.graph.clean import clean
from andpop.hw.graph.executor import run
from andpop.hw.graph.fifo_sizing import SizingError, load_depths, round_depth, save_depths
from andpop.hw.graph.folding import fold
from andpop.hw.graph.lowering import lower
from andpop.hw.graph.specialise import specialise
from andpop.hw.graph.verify import verify
from andpop.hw.rtl import sizing
from andpop.hw.rtl.runs import NetworkStuck
from andpop.hw.rtl.simulate import SimResult, emit, locate, simulate, waveform
from andpop.hw.rtl.sizing import Sizing, size_fifos
from andpop.hw.rtl.top_info import EmitError, TopInfo
from andpop.quant.grid import IntArray
from andpop.sim.bench import run_cocotb
from andpop.sim.network import pack_words, unpack_words
from dataflow_graphs import GraphBuilder, bi_shufflenet
from foreign_graphs import Net, first
from qonnx.core.modelwrapper import ModelWrapper

PICTURES = 4


def small_network() -> ModelWrapper:
    """Every kind of edge in few nodes: fork and join, split and concat, pools, 1 and 8 bits."""
    g = GraphBuilder(3)
    picture = g.input((1, 10, 10, 1), "UINT8")
    x = g.windows(g.pad(picture, [1] * 4), [3, 3], [1, 1])
    x = g.epilogue(g.int_mvu(x, 4))
    x = g.max_pool(x, [3, 3], [2, 2], [1, 1, 1, 1])
    x = g.identity_block(x, 3)
    left, right = g.split(x, [2, 2])
    x = g.shuffle(left, g.identity_block(right, 1))
    x = g.requant(g.global_pool(x), 5)
    x = g.int_mvu(x, 5, bias=g.rng.integers(-1000, 1000, 5))
    return fold(specialise(ModelWrapper(g.model([g.label(x)]))), 1000)


@dataclass(frozen=True)
class Network:
    """An emitted, sized network with its pictures and goldens."""

    folder: Path
    model: ModelWrapper
    sizing: Sizing
    pictures: npt.NDArray[np.uint8]
    golden: dict[str, IntArray]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    folder = tmp_path_factory.mktemp("network") / "rtl"
    model = small_network()
    emit(model, folder)
    sizing = size_fifos(folder)
    pictures = np.random.default_rng(5).integers(0, 256, (PICTURES, 10, 10, 1), dtype=np.uint8)
    return Network(folder, model, sizing, pictures, dict(run(model, pictures, keep="all")))


@pytest.fixture
def moved(network: Network, tmp_path: Path) -> Network:
    """A copy of the network's folder elsewhere, to be damaged."""
    folder = shutil.copytree(network.folder, tmp_path / "moved")
    return Network(folder, network.model, network.sizing, network.pictures, network.golden)


def compare(network: Network, result: SimResult) -> Tally:
    """The captured edges against the golden's, exactly."""
    bits = {n: int(network.model.get_tensor_datatype(n).bitwidth()) for n in network.golden}
    tally = Tally(coverage("rtl", network.model.model), bits)
    tally.add(network.golden, result.tensors, [str(i) for i in range(len(network.pictures))])
    return tally


def node_of(network: Network, op: str) -> str:
    """Name of the first node of an op type."""
    return next(n.name for n in TopInfo.load(network.folder).nodes if n.op_type == f"{op}_rtl")


@pytest.mark.sim
def test_every_edge_equals_the_golden(network: Network) -> None:
    result = simulate(network.folder, network.pictures, capture=True)
    tally = compare(network, result)
    info = TopInfo.load(network.folder)
    assert list(tally.compared) == [t.tensor for t in info.taps]
    for name, count in tally.compared.items():
        assert count == network.golden[name].size > 0
    assert tally.values_compared < sum(tally.compared.values())
    assert tally.values_differing == 0
    assert tally.first is None
    assert np.array_equal(
        result.outputs[info.taps[-1].tensor], network.golden[info.taps[-1].tensor]
    )
    assert len(np.unique(result.tensors[info.taps[-2].tensor])) > 5


@pytest.mark.sim
def test_captures_are_whole_where_last_rows_are_not_needed(tmp_path: Path) -> None:
    """The result is out before the last row and column, which no pool reaches, came through."""
    g = GraphBuilder(4)
    x = g.epilogue(g.int_mvu(g.input((1, 9, 21, 1), "UINT8"), 2))
    x = g.int_mvu(g.max_pool(x, [2, 2], [2, 2], [0] * 4), 3)
    model = fold(specialise(ModelWrapper(g.model([x]))), 1000)
    emit(model, tmp_path / "rtl")
    sizing = size_fifos(tmp_path / "rtl")
    pictures = np.random.default_rng(6).integers(0, 256, (2, 9, 21, 1), dtype=np.uint8)
    result = simulate(tmp_path / "rtl", pictures, capture=True)
    golden = dict(run(model, pictures, keep="all"))
    tally = compare(Network(tmp_path / "rtl", model, sizing, pictures, golden), result)
    assert tally.values_differing == 0
    (output,) = result.outputs.values()
    assert len(output) == result.images == 2


@pytest.mark.sim
def test_progress_of_sizing_never_goes_back(
    moved: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One frame is too few, so that the first run is repeated with more: the total grows."""
    monkeypatch.setattr(sizing, "SIZING_FRAMES", 1)
    told: list[tuple[int, int]] = []
    size_fifos(moved.folder, progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1]
    totals = sorted({total for _, total in told})
    assert totals[0] == 2 < totals[1]


@pytest.mark.sim
def test_interval_is_the_slowest_nodes_and_depths_are_the_peaks(network: Network) -> None:
    sizing = network.sizing
    assert abs(sizing.interval - sizing.stated) <= 0.03 * sizing.stated
    result = simulate(network.folder, network.pictures)
    assert result.interval == sizing.interval
    assert result.tensors == {}
    for fifo in load_depths(network.folder / "fifo.json"):
        assert fifo.depth == round_depth(fifo.peak, fifo.width)
        assert (
            f" {fifo.name} = {fifo.depth};" in (network.folder / "fifo_depths_pkg.sv").read_text()
        )


@pytest.mark.sim
def test_every_edge_gets_a_fifo_where_the_structure_asks_for_too_few(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(insert_streams, "elastic_edges", lambda model, interval: set())
    model, folder = small_network(), tmp_path / "rtl"
    assert emit(model, folder).fifos == ()
    sizing = size_fifos(folder)
    assert sizing.everywhere
    assert len(sizing.fifos) == 1 + sum(len(n.output) for n in model.graph.node)
    assert sizing.interval <= 1.03 * sizing.stated


@pytest.mark.sim
def test_starved_shortcut_is_reported_as_deadlock(moved: Network) -> None:
    shortcut = f"{node_of(moved, 'DuplicateStreams')}_fifo1"
    path = moved.folder / "fifo.json"
    table = json.loads(path.read_text())
    assert table[shortcut]["depth"] > 2
    table[shortcut]["depth"] = 2
    path.write_text(json.dumps(table))
    with pytest.raises(NetworkStuck, match=shortcut):
        simulate(moved.folder, moved.pictures)


def flip_weight(folder: Path, node: str) -> None:
    """Flip the lowest weight bit of the first word."""
    path = folder / node / f"{node}_weights.mem"
    lines = path.read_text().split()
    lines[0] = f"{int(lines[0], 16) ^ 1:0{len(lines[0])}x}"
    path.write_text("\n".join(lines) + "\n")


def wrong_threshold(folder: Path, node: str) -> None:
    """Put the first threshold of lane 0 out of reach."""
    path = folder / node / f"{node}_thresholds.mem"
    lines = path.read_text().split()
    lines[0] = "7f" if lines[0] != "7f" else "80"
    path.write_text("\n".join(lines) + "\n")


def swap_channels(folder: Path, node: str) -> None:
    """Exchange the parameters of the first two channels."""
    path = folder / node / f"{node}_params.mem"
    lines = path.read_text().split()
    lines[:2] = reversed(lines[:2])
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.sim
@pytest.mark.parametrize(
    ("op", "plant"),
    [("XnorMvu", flip_weight), ("Thresholding", wrong_threshold), ("Epilogue", swap_channels)],
)
def test_planted_fault_is_reported_at_its_layer(
    moved: Network, op: str, plant: Callable[[Path, str], None]
) -> None:
    node = node_of(moved, op)
    plant(moved.folder, node)
    result = simulate(moved.folder, moved.pictures, capture=True)
    first = compare(moved, result).first
    assert first is not None
    index = (first.picture_index, *first.index)
    assert locate(moved.folder, result, first.layer, index)[0] == node
    assert first.got == result.tensors[first.layer][index] != first.expected
    assert first.expected == moved.golden[first.layer][index]
    assert int(first.got_bits, 2) != int(first.expected_bits, 2)


@pytest.mark.sim
def test_waveform_shows_the_cycles_before_a_divergence(moved: Network, tmp_path: Path) -> None:
    node = node_of(moved, "XnorMvu")
    flip_weight(moved.folder, node)
    result = simulate(moved.folder, moved.pictures, capture=True)
    first = compare(moved, result).first
    assert first is not None
    index = (first.picture_index, *first.index)
    found, cycle = locate(moved.folder, result, first.layer, index)
    path = tmp_path / "last.vcd"
    waveform(moved.folder, moved.pictures, cycle, path)
    text = path.read_text()
    assert f"{found}_out0_valid" in text
    times = [int(line[1:]) for line in text.splitlines() if line.startswith("#")]
    assert times[0] <= cycle * 10 <= times[-1]


@pytest.mark.sim
def test_missing_memory_is_refused(moved: Network) -> None:
    path = moved.folder / TopInfo.load(moved.folder).memories[0]
    path.unlink()
    with pytest.raises(EmitError, match=path.name):
        simulate(moved.folder, moved.pictures)


@pytest.mark.sim
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((1, 9, 10, 1), "uint8"), ((1, 10, 10, 1), "float64"), ((0, 10, 10, 1), "uint8")],
)
def test_pictures_that_do_not_fit_are_refused(
    network: Network, shape: tuple[int, ...], dtype: str
) -> None:
    with pytest.raises(ValueError, match="pictures: found"):
        simulate(network.folder, np.zeros(shape, dtype))


def test_emitted_bytes_do_not_depend_on_the_folder(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "deeper" / "b"]
    for folder in folders:
        emit(small_network(), folder)
    first, second = ({p.relative_to(f): p for p in f.rglob("*") if p.is_file()} for f in folders)
    assert first.keys() == second.keys()
    for name, path in first.items():
        assert path.read_bytes() == second[name].read_bytes(), name
        assert str(tmp_path).encode() not in path.read_bytes(), name


@pytest.mark.sim
def test_same_top_under_cocotb(network: Network, tmp_path: Path) -> None:
    info = TopInfo.load(network.folder)
    want = network.golden[info.taps[-1].tensor].reshape(-1)
    plan = tmp_path / "plan.json"
    words = {"inputs": network.pictures.ravel().tolist(), "outputs": [want.tolist()]}
    plan.write_text(json.dumps({**words, "patience": 100_000}))
    tests = run_cocotb(
        [network.folder / s for s in info.sources], info.top, ["andpop.sim.tb_network"],
        tmp_path, data=network.folder, environment={"ANDPOP_PLAN": str(plan)},
    )  # fmt: skip
    assert tests == 2


@pytest.mark.full
@pytest.mark.sim
def test_published_network_equals_the_golden(tmp_path: Path) -> None:
    """Bi-ShuffleNet at 64x64x1, four pictures, every edge."""
    model = fold(specialise(ModelWrapper(bi_shufflenet((64, 64)))), 20_000)
    emit(model, tmp_path / "rtl")
    sizing = size_fifos(tmp_path / "rtl")
    assert sizing.interval <= 1.03 * sizing.stated
    pictures = np.random.default_rng(1).integers(0, 256, (4, 64, 64, 1), dtype=np.uint8)
    result = simulate(tmp_path / "rtl", pictures, capture=True)
    golden = dict(run(model, pictures, keep="all"))
    tally = compare(Network(tmp_path / "rtl", model, sizing, pictures, golden), result)
    assert tally.values_compared > 1_000_000
    assert tally.first is None


@pytest.mark.parametrize(
    ("peak", "width", "depth"),
    [
        (0, 8, 2), (2, 8, 2), (3, 8, 32), (33, 8, 64), (65, 8, 128), (129, 63, 512),
        (128, 64, 128), (129, 64, 512), (513, 64, 1024), (1030, 16, 2048), (16385, 1, 32768),
    ],
)  # fmt: skip
def test_depths_are_those_of_memory_primitives(peak: int, width: int, depth: int) -> None:
    assert round_depth(peak, width) == depth >= peak


def test_depth_file_survives_and_damage_is_refused(tmp_path: Path, network: Network) -> None:
    path = tmp_path / "fifo.json"
    save_depths(network.sizing.fifos, path)
    assert load_depths(path) == list(network.sizing.fifos)
    path.write_text("[1, 2]")
    with pytest.raises(SizingError, match=r"fifo\.json"):
        load_depths(path)


@pytest.mark.parametrize(("bits", "lanes", "signed"), [(1, 9, False), (8, 3, True), (14, 5, True)])
def test_words_pack_and_unpack(bits: int, lanes: int, signed: bool) -> None:
    rng = np.random.default_rng(bits)
    low = -(1 << (bits - 1)) if signed else 0
    values = rng.integers(low, low + (1 << bits), (2, 4 * lanes))
    words = pack_words(values, bits, lanes)
    assert words.shape == (2, 4, -(-bits * lanes // 8))
    word = int.from_bytes(words[0, 1].tobytes(), "little")
    mask = (1 << bits) - 1
    assert [(word >> (bits * i)) & mask for i in range(lanes)] == [
        int(v) & mask for v in values[0, lanes : 2 * lanes]
    ]
    again = unpack_words(words.reshape(8, -1), bits, lanes, signed)
    assert np.array_equal(again.reshape(2, -1), values)


@pytest.mark.parametrize(("kernel", "stride"), [(2, [5, 5]), (2, [5, 1]), (1, [6, 2]), (3, [7, 7])])
def test_one_window_with_room_for_another_behind_it(
    kernel: int, stride: list[int], tmp_path: Path
) -> None:
    """FINN's sliding window loses count there; a stride beyond the map is no reason to refuse."""
    net = Net(height=8, width=8)
    weight = net.quant(net.constant(net.weights(3, 4, kernel, kernel)), narrow=1)
    x = net.op("Conv", [first(net), weight], kernel_shape=[kernel] * 2, strides=stride)
    x = net.op("ReduceSum", [x, net.constant([2, 3], np.int64)], keepdims=1)
    net.op("Flatten", [x], axis=1)
    graph = lower(clean(net.model([1, 3])))
    assert verify(clean(net.model([1, 3])), graph) > 0
    model = fold(specialise(graph), 400)
    emit(model, tmp_path / "rtl")
    size_fifos(tmp_path / "rtl")
    pictures = np.random.default_rng(5).integers(0, 256, (PICTURES, 8, 8, 1), dtype=np.uint8)
    golden = dict(run(model, pictures, keep="all"))
    found = simulate(tmp_path / "rtl", pictures, capture=True)
    assert set(found.tensors) == set(golden)
    for name, expected in golden.items():
        np.testing.assert_array_equal(found.tensors[name], expected)
