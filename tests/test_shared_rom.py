# SPDX-License-Identifier: Apache-2.0
"""Constants of two nodes in memories that both read: exact, stated, chosen where there is need."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from andpop.flows.backends import coverage
from andpop.flows.compare import Tally
from andpop.hw.boards import DEFAULT_BOARD, Board
from andpop.hw.graph.executor import run
from andpop.hw.graph.fit import DoesNotFit, Fit, Fitting, Shares
from andpop.hw.graph.folding import fold, folding_of
from andpop.hw.graph.folding_file import FoldingError
from andpop.hw.graph.fuse import fuse
from andpop.hw.graph.pair_roms import SHARED_ROM, pair_roms, part_again, shared_roms
from andpop.hw.graph.specialise import specialise
from andpop.hw.graph.usage import network_usage, total
from andpop.hw.kernels.ops import op_of
from andpop.hw.rtl.simulate import emit, simulate
from andpop.hw.rtl.sizing import size_fifos
from andpop.hw.rtl.top_info import TopInfo
from andpop.hw.synth.network import synthesise_network
from andpop.sim import verilator
from dataflow_graphs import GraphBuilder
from qonnx.core.modelwrapper import ModelWrapper

PICTURES = 3
TARGET = 4000


Network = tuple[ModelWrapper, ModelWrapper, Path]


def lowered_network(classes: bool = True) -> ModelWrapper:
    """Three 1-bit layers: 3x3, 1x1 and 3x3; a class, or its logits."""
    g = GraphBuilder(3)
    x = g.input((1, 6, 6, 1), "UINT8")
    x = g.epilogue(g.int_mvu(g.windows(g.pad(x, [1] * 4), [3, 3], [1, 1]), 6))
    for kernel in (3, 1, 3):
        x = g.identity_block(x, kernel)
    x = g.requant(g.global_pool(x), 5)
    x = g.int_mvu(x, 5, bias=g.rng.integers(-1000, 1000, 5))
    return specialise(ModelWrapper(g.model([g.label(x) if classes else x])))


def blocks_of(model: ModelWrapper) -> list[Any]:
    """The ops of the 1-bit layers."""
    return [op_of(node) for node in model.graph.node if node.op_type == "BinaryBlock_rtl"]


def paired(lowered: ModelWrapper) -> ModelWrapper:
    """The network fused and folded by a file that lets the first two layers share."""
    model = fold(fuse(lowered), TARGET)
    folding = folding_of(model)
    for op in blocks_of(model)[:2]:
        folding[op.onnx_node.name][SHARED_ROM] = "rom"
    return fold(fuse(lowered), folding)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    """The lowered graph, the paired one and its emitted folder, FIFOs sized."""
    lowered = lowered_network()
    model = paired(lowered)
    folder = tmp_path_factory.mktemp("network") / "rtl"
    emit(model, folder)
    size_fifos(folder)
    return lowered, model, folder


def compared(network: Network) -> Tally:
    """Every tensor that the RTL shows against the golden."""
    lowered, model, folder = network
    pictures = np.random.default_rng(5).integers(0, 256, (PICTURES, 6, 6, 1), dtype=np.uint8)
    golden = dict(run(lowered, pictures, keep="all"))
    result = simulate(folder, pictures, capture=True)
    bits = {name: int(lowered.get_tensor_datatype(name).bitwidth()) for name in golden}
    tally = Tally(coverage("rtl", lowered.model, model.model), bits)
    shown = {name: golden[name] for name in result.tensors}
    tally.add(shown, result.tensors, [str(i) for i in range(PICTURES)])
    return tally


@pytest.mark.sim
def test_two_layers_in_one_memory_equal_the_golden(network: Network) -> None:
    tally = compared(network)
    assert tally.values_compared > 1000
    assert tally.values_differing == 0


@pytest.mark.sim
def test_nodes_that_read_outside_are_silent_under_lint(network: Network) -> None:
    _, model, folder = network
    names = (name for name in TopInfo.load(folder).sources if not name.endswith("_pkg.sv"))
    sources = [folder / name for name in names if name != "andpop_top.sv"]
    for op in blocks_of(model):
        assert verilator.lint(sources, op.onnx_node.name, cwd=folder) == ""


def edited(network: Network, name: str, edit: Callable[[str], str], folder: Path) -> Network:
    """The network with another text of one file, in a folder of its own."""
    lowered, model, original = network
    copied = Path(shutil.copytree(original, folder))
    before = (copied / name).read_text(encoding="ascii")
    after = edit(before)
    assert after != before
    (copied / name).write_text(after, encoding="ascii")
    return lowered, model, copied


def swapped(top: str) -> str:
    """Each of the two layers reads at the port of the other."""
    first, second = re.findall(r"_address_i\((\w+_weight)_address\)", top)
    for end in ("address", "word"):
        top = re.sub(rf"(_i|_o)\({first}_{end}\)", rf"\1(OTHER_{end})", top)
        top = re.sub(rf"(_i|_o)\({second}_{end}\)", rf"\1({first}_{end})", top)
        top = top.replace(f"(OTHER_{end})", f"({second}_{end})")
    return top


def crossed(top: str) -> str:
    """The first layer gets what the second asked for."""
    first, second = re.findall(r"_address_i\((\w+_weight)_address\)", top)
    return (
        top.replace(f"_o({first}_word)", "_o(OTHER)")
        .replace(f"_o({second}_word)", f"_o({first}_word)")
        .replace("_o(OTHER)", f"_o({second}_word)")
    )


def halved(wrapper: str) -> str:
    """The second layer reads the words of the first."""
    return re.sub(r"\.WeightFirst\((?!0\))\d+\)", ".WeightFirst(0)", wrapper)


@pytest.mark.sim
@pytest.mark.parametrize("fault", [swapped, crossed, halved], ids=lambda fault: str(fault.__name__))
def test_a_wrong_port_and_wrong_words_are_found(
    network: Network, fault: Callable[[str], str], tmp_path: Path
) -> None:
    second = blocks_of(network[1])[1].onnx_node.name
    file = f"{second}/{second}.v" if fault is halved else "andpop_top.sv"
    assert compared(edited(network, file, fault, tmp_path / "rtl")).values_differing > 0


def test_the_words_of_both_lie_in_one_image(network: Network) -> None:
    _, model, folder = network
    weight, param = shared_roms(model)
    assert (weight.name, param.name) == ("rom_weight", "rom_param")
    first, second = blocks_of(model)[:2]
    for rom, i in ((weight, 0), (param, 1)):
        lines = (folder / rom.name / f"{rom.name}.mem").read_text(encoding="ascii").split()
        words = [*first.outside_words(model)[i], *second.outside_words(model)[i]]
        assert [int(line, 16) for line in lines] == words
        assert rom.depth == len(words) and 1 << rom.space >= rom.depth
    assert f"{weight.name}/{weight.name}.mem" in TopInfo.load(folder).memories
    assert not list(folder.glob(f"{first.onnx_node.name}/*weights.mem"))


def test_shared_memories_are_stated_once(network: Network) -> None:
    _, model, folder = network
    rows = network_usage(ModelWrapper(str(folder / "stitched.onnx")))
    shared = [row for row in rows if row.op == "SharedRom"]
    assert [row.name for row in shared] == ["rom_weight", "rom_param"]
    assert all(row.usage.bram18 == 1 for row in shared)
    assert not any(op.stated().bram18 for op in blocks_of(model)[:2])


def test_synthesis_finds_what_is_stated(network: Network) -> None:
    _, model, folder = network
    for rom in shared_roms(model):
        (found,) = synthesise_network(
            folder, node=rom.name, primitives=True, progress=lambda stage, done, most: None
        )
        assert (found.name, found.op) == (rom.name, "SharedRom")
        assert found.usage.bram18 == found.estimate["bram18"] == rom.usage.bram18 == 1


def test_the_folding_file_keeps_a_pair(network: Network) -> None:
    lowered, model, _ = network
    again = fold(fuse(lowered), folding_of(model))
    assert shared_roms(again) == shared_roms(model) != []


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("rom", "", ""), "found shared_rom 'rom' at Epilogue_9_BinaryBlock, expected it at two"),
        (("rom", "rom", "rom"), "expected it at two nodes of one op"),
        (("2", "2", ""), "found shared_rom '2', expected letters, digits and _"),
        (("Epilogue_3", "Epilogue_3", ""), "that name no node"),
    ],
)
def test_names_that_are_no_pair_are_refused(names: tuple[str, ...], message: str) -> None:
    lowered = lowered_network()
    model = fold(fuse(lowered), TARGET)
    folding = folding_of(model)
    for op, name in zip(blocks_of(model), names, strict=True):
        folding[op.onnx_node.name][SHARED_ROM] = name
    with pytest.raises(FoldingError, match=re.escape(message)):
        fold(fuse(lowered), folding)


# Four layers of 1,536 words of 6 bits and 480 words of 18 each: two blocks apart, two for a pair.


def board(**values: int) -> Board:
    """The default board with less of some resource."""
    return DEFAULT_BOARD.model_copy(update={"name": "tiny", **values})


@pytest.fixture(scope="module")
def deep() -> ModelWrapper:
    """Four 1x1 layers of 96 channels."""
    g = GraphBuilder(0)
    x = g.input((1, 8, 8, 1), "UINT8")
    x = g.epilogue(g.int_mvu(g.windows(g.pad(x, [1] * 4), [3, 3], [1, 1]), 96))
    for _ in range(4):
        x = g.identity_block(x, 1)
    x = g.int_mvu(g.requant(g.global_pool(x), 6), 5)
    return specialise(ModelWrapper(g.model([g.label(x)])))


@pytest.fixture(scope="module")
def roomy(deep: ModelWrapper) -> Fit:
    """The network on a board with room for all."""
    return Fitting(deep, DEFAULT_BOARD, Shares()).at(100_000)


def test_a_pair_changes_what_it_states(roomy: Fit) -> None:
    model = ModelWrapper(roomy.model.model, make_deepcopy=True)
    pairs = pair_roms(model)
    assert [pair.change.bram18 for pair in pairs] == [-2, -2]
    blocks = [op.onnx_node.name for op in blocks_of(model)]
    assert [name for pair in pairs for name in pair.nodes] == blocks
    assert total(network_usage(model)) == roomy.used + pairs[0].change + pairs[1].change
    assert not pair_roms(model)
    part_again(model, pairs)
    assert network_usage(model) == roomy.rows
    (alone,) = pair_roms(model, {(name, "rom") for name in pairs[0].nodes})
    assert alone.nodes == pairs[1].nodes


def test_layers_share_where_moving_memories_is_not_enough(deep: ModelWrapper, roomy: Fit) -> None:
    used = roomy.used
    assert not roomy.notes and not shared_roms(roomy.model)
    most = board(bram18=used.bram18 - 2, lut=used.lut + 100)
    found = Fitting(deep, most, Shares(100, 100, 100)).at(100_000)
    assert len(shared_roms(found.model)) == 2 and not found.moves
    assert found.notes == ["constants of two nodes in the same block RAMs: 2 nodes, 2 BRAM18 less"]
    with pytest.raises(DoesNotFit):
        less = board(bram18=used.bram18 - 5, lut=used.lut + 100)
        Fitting(deep, less, Shares(100, 100, 100)).at(100_000)


def test_layers_stay_apart_where_luts_are_left(deep: ModelWrapper, roomy: Fit) -> None:
    most = board(bram18=roomy.used.bram18 - 2)
    found = Fitting(deep, most, Shares(100, 100, 100)).at(100_000)
    assert found.moves and not shared_roms(found.model)
