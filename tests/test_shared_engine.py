# SPDX-License-Identifier: Apache-2.0
"""Units of equal shape in one engine: found in a graph, exact, observed, chosen for a board."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from andpop.flows.backends import coverage
from andpop.flows.compare import Tally
from andpop.hw.boards import DEFAULT_BOARD
from andpop.hw.graph import executor
from andpop.hw.graph.fit import Fitting, Shares
from andpop.hw.graph.folding import fold, folding_of
from andpop.hw.graph.reach import fuse_for
from andpop.hw.graph.share import SharingError, chains, chosen
from andpop.hw.graph.specialise import specialise
from andpop.hw.kernels.ops import op_of
from andpop.hw.kernels.shared_engine.fields import Fields, Layer, field_bits, packed
from andpop.hw.rtl.simulate import emit, simulate
from andpop.hw.rtl.sizing import size_fifos
from comparisons import Comparisons
from dataflow_graphs import GraphBuilder, bi_shufflenet, pictures_for
from qonnx.core.modelwrapper import ModelWrapper

SMALL: dict[str, Any] = {"size": (32, 32), "plan": (8, 16, 32, 64, 16), "repeats": (2, 3, 1)}
TARGET = 20_000


@pytest.fixture(scope="module")
def lowered() -> ModelWrapper:
    """Two chains: two units of 8 channels, three of 16; a third stage has one unit."""
    return specialise(ModelWrapper(bi_shufflenet(**SMALL)))


def network(units: tuple[tuple[int, ...], ...]) -> ModelWrapper:
    """Units with layers of such kernels behind a convolution."""
    g = GraphBuilder(5)
    picture = g.input((1, 8, 8, 1), "UINT8")
    x = g.windows(g.pad(picture, [1] * 4), [3, 3], [2, 2])
    x = g.epilogue(g.int_mvu(x, 8))
    for kernels in units:
        left, right = g.split(x, [4, 4])
        for kernel in kernels:
            right = g.identity_block(right, kernel)
        x = g.shuffle(left, right)
    return specialise(ModelWrapper(g.model([x])))


def engines(model: ModelWrapper) -> list[Any]:
    """The engines of a hardware's graph."""
    return [op_of(n) for n in model.graph.node if n.op_type == "SharedEngine_rtl"]


def test_chains_are_the_units_of_other_shape(lowered: ModelWrapper) -> None:
    found = chains(lowered)
    shapes = [(f.attributes["NumChannels"], f.attributes["Units"]) for f in found.values()]
    assert shapes == [(8, 2), (16, 3)]
    assert all(f.attributes["Kernels"] == [1, 3, 3, 1] for f in found.values())
    with pytest.raises(SharingError, match="no chain of equal units 'stage9', expected "):
        chosen(lowered, ["stage9"])


def test_units_of_other_shape_are_another_chain() -> None:
    found = chains(network(((1, 3), (1, 3), (3, 1), (3, 1), (3, 1), (3,), (5, 3), (5, 3))))
    assert [f.attributes["Kernels"] for f in found.values()] == [[1, 3], [3, 1]]
    assert [f.attributes["Units"] for f in found.values()] == [2, 3]
    # What leaves the network on the way ends a chain, too.
    model = network(((1,), (1,), (1,), (1,)))
    inside = [n.output[0] for n in model.graph.node if n.op_type == "ShuffleConcat_rtl"][1]
    value = model.get_tensor_valueinfo(inside)
    model.graph.output.append(value)
    model.graph.value_info.remove(value)
    assert [f.attributes["Units"] for f in chains(model).values()] == [2, 2]


def test_a_chain_computes_what_its_nodes_do(lowered: ModelWrapper, compared: Comparisons) -> None:
    model = fuse_for(lowered, TARGET, list(chains(lowered)))
    assert [op.number("Units") for op in engines(model)] == [2, 3]
    pictures = pictures_for(lowered, 1)
    golden = executor.run(lowered, pictures, keep="all")
    got = executor.run(model, pictures, keep="all")
    for op in engines(model):
        name = op.onnx_node.output[0]
        compared.arrays(golden[name], got[name], op.onnx_node.name)
        # Bits, sums and results of every layer.
        assert [len(op.taps()), *{t for t, _ in op.taps()} - golden.keys()] == [
            12 * op.number("Units")
        ]


def test_folding_keeps_the_target(lowered: ModelWrapper) -> None:
    names = list(chains(lowered))
    model = fold(fuse_for(lowered, TARGET, names), TARGET)
    assert engines(model) and all(op.cycles() <= TARGET for op in engines(model))
    again = fold(fuse_for(lowered, folding_of(model), names), folding_of(model))
    assert [op.cycles() for op in engines(again)] == [op.cycles() for op in engines(model)]
    # Below what one engine can do, blocks remain.
    assert not engines(fuse_for(lowered, 300, names))


def test_a_board_too_small_for_all_apart_gets_engines(lowered: ModelWrapper) -> None:
    def fitted(dsp: float, share: Any, target: Any = TARGET) -> Any:
        shares = Shares(100, 100, dsp)
        found = Fitting(lowered, DEFAULT_BOARD, shares, share=share)
        return found.at(target) if isinstance(target, int) else found.given(target)

    apart, both = fitted(100, ()), fitted(100, list(chains(lowered)))
    assert both.used.dsp < apart.used.dsp and both.used.lut < apart.used.lut
    assert not apart.notes and len(both.notes) == 1
    middle = 100 * (apart.used.dsp + both.used.dsp) / 2 / DEFAULT_BOARD.dsp
    chosen_by_board = fitted(middle, None)
    assert chosen_by_board.fits and len(engines(chosen_by_board.model)) >= 1
    assert "has no room for all apart" in chosen_by_board.notes[0]
    assert not engines(fitted(100, None).model)
    # A folding that names engines gets them.
    assert len(engines(fitted(100, None, folding_of(both.model)).model)) == 2
    with pytest.raises(SharingError, match="cannot be one engine at this target"):
        fitted(100, list(chains(lowered)), 300)


@pytest.mark.sim
@pytest.mark.parametrize("lanes", [(4, 1), (2, 4)])
def test_every_layer_is_seen_in_a_network(lanes: tuple[int, int], tmp_path: Path) -> None:
    lowered = network(((1, 3, 3, 1),) * 3)
    model = fold(fuse_for(lowered, 20_000, list(chains(lowered))), 20_000)
    (engine,) = engines(model)
    engine.set_nodeattr("SIMD", lanes[0])
    engine.set_nodeattr("PE", lanes[1])
    emit(model, tmp_path / "rtl")
    sizing = size_fifos(tmp_path / "rtl")
    assert sizing.interval <= 1.03 * sizing.stated
    pictures = np.random.default_rng(5).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)
    golden = executor.run(lowered, pictures, keep="all")
    result = simulate(tmp_path / "rtl", pictures, capture=True)
    bits = {n: int(lowered.get_tensor_datatype(n).bitwidth()) for n in golden}
    tally = Tally(coverage("rtl", lowered.model, model.model), bits)
    tally.add(golden, result.tensors, [str(i) for i in range(len(pictures))])
    assert {t for t, _ in engine.taps()} <= set(tally.compared)
    assert tally.values_differing == 0


def test_one_scale_serves_layers_of_different_shifts() -> None:
    """Doubling m, b and the shift changes nothing, ties included."""
    fields = Fields((Layer(4, 2, 3), Layer(4, 5, 6)), 8, 14)
    assert (fields.pre_shift, fields.shortcut_shift, fields.alike) == (5, 6, True)
    params = [np.array([[3], [-7], [1], [-2], [0]]), np.array([[-4], [9], [-1], [5], [2]])]
    rows = fields.rows([np.array([[-500]]), np.array([[17]])], params)
    # The threshold of the next layer; what no code reaches is as good as the nearest such one.
    assert rows.T.tolist() == [[24, -152, 1, -2, 0, 17], [-4, 25, -1, 5, 2, -128]]
    assert field_bits(rows) == [6, 9, 2, 4, 3, 8]
    assert packed(rows, [6, 9, 2, 4, 3, 8])[0] == (
        24 | (-152 & 511) << 6 | 1 << 15 | (-2 & 15) << 17 | 17 << 24
    )
    assert not Fields((Layer(4, 2, 3), Layer(4, 5, 7)), 8, 14).alike
