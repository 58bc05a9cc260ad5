# SPDX-License-Identifier: Apache-2.0
"""Packed files of the CPU engine, and input that it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from andpop.flows.errors import MISSING_TOOL, OK
from andpop.hw.cpu import _engine
from andpop.hw.cpu.engine import Engine, EngineOutdated, instruction_sets, isa
from andpop.hw.cpu.pack import compile_graph, pack
from andpop.hw.cpu.plan import MAX_AXIS, PLAN_VERSION, ModelError, Plan
from cpu_engine import SMALL, edited, engine_of, random_pictures
from dataflow_graphs import GraphBuilder, bi_shufflenet
from packed_files import card, resealed
from PIL import Image


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed network with a card."""
    path = tmp_path_factory.mktemp("packed") / "small.andpop"
    return pack(bi_shufflenet(**SMALL), card(6, 3), path)


def test_packed_file_gives_the_same_network_back(
    packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANDPOP_ISA", raising=False)
    model = bi_shufflenet(**SMALL)
    pictures = random_pictures(model, 3)
    engine = Engine.load(packed)
    assert engine.card == card(6, 3)
    assert engine.input_shape == (33, 47, 3)
    assert engine.labels == 6
    assert engine.isa == isa() == instruction_sets()[-1]
    assert engine.plan.name == "small"
    assert np.array_equal(engine.run(pictures)[1], engine_of(model).run(pictures)[1])


def test_packing_reads_a_file_and_writes_the_same_bytes_again(packed: Path, tmp_path: Path) -> None:
    source = tmp_path / "dataflow.onnx"
    onnx.save(bi_shufflenet(**SMALL), source)
    again = pack(source, card(6, 3), tmp_path / "small.andpop")
    assert again.read_bytes() == packed.read_bytes()


def test_a_failed_write_leaves_the_last_file(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "net.andpop"
    target.write_bytes(b"the last good one")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        pack(bi_shufflenet(**SMALL), None, target)
    assert target.read_bytes() == b"the last good one"
    assert list(tmp_path.iterdir()) == [target]


def test_engine_needs_neither_torch_nor_onnx(packed: Path) -> None:
    code = (
        "import sys; from andpop.hw.cpu.engine import Engine; "
        f"e = Engine.load({str(packed)!r}); "
        "import numpy as np; e.run(np.zeros((1, *e.input_shape), np.uint8)); "
        "sys.exit(bool({'torch', 'brevitas', 'onnx', 'qonnx', 'finn'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "ANDPOP_ISA": ""})


def change_plan(packed: Path, out: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """Copy a packed file with its plan changed by hand."""
    return resealed(packed, out, lambda header, _: change(header["plan"]))


def set_step(op: str, /, **values: Any) -> Callable[[dict[str, Any]], None]:
    """A change of the first step of an op."""

    def change(document: dict[str, Any]) -> None:
        step = next(s for s in document["steps"] if s["op"] == op)
        for key, value in values.items():
            if key in step:
                step[key] = value
            else:
                step["attributes"][key] = value

    return change


def set_tensor(index: int, **values: Any) -> Callable[[dict[str, Any]], None]:
    """A change of a tensor."""

    def change(document: dict[str, Any]) -> None:
        document["tensors"][index].update(values)

    return change


HOSTILE: list[Callable[[dict[str, Any]], None]] = [
    set_tensor(0, shape=[MAX_AXIS, MAX_AXIS, 3]),
    set_tensor(0, shape=[-1, 47, 3]),
    set_tensor(0, shape=[33, 47, 4]),
    set_tensor(0, shape=[]),
    set_tensor(0, shape="33"),
    set_tensor(0, shape=[33.0, 47, 3]),
    set_tensor(0, storage="f64"),
    set_tensor(0, datatype="FLOAT32"),
    set_tensor(1, shape=[17, 24, 8]),
    set_tensor(2, storage="bits"),
    set_step("int_convolution", kernel_y=1 << 40),
    set_step("int_convolution", kernel_y=0),
    set_step("int_convolution", stride_x=1),
    set_step("int_convolution", pad_left=-1),
    set_step("int_convolution", height=99999),
    set_step("int_convolution", inputs=[10**6]),
    set_step("int_convolution", inputs=[-1]),
    set_step("int_convolution", inputs=[5]),
    set_step("int_convolution", outputs=[0]),
    set_step("int_convolution", constants={}),
    set_step("int_convolution", constants=["0.weights", "0.bias"]),
    set_step("int_convolution", constants={"weights": "0.bias", "bias": "0.weights"}),
    set_step("int_convolution", constants={"weights": "x", "bias": "y"}),
    set_step("bit_convolution", constants={"weights": "0.weights"}),
    set_step("bit_convolution", pad_top=1 << 23),
    set_step("epilogue", acc_shift=31),
    set_step("epilogue", acc_low=1 << 70),
    set_step("epilogue", surprise=1),
    set_step("epilogue", op="system"),
    set_step("sign", constants={"bound": "0.bias", "always": "0.bias"}),
    set_step("max_pool", dilation_y=2),
    set_step("split", outputs=[]),
    set_step("requantise", shift=31),
    set_step("requantise", shortcut_shift=-1),
    set_step("requantise", inputs=[]),
    lambda d: d.update(tensors=d["tensors"] * 200),
    lambda d: d.update(card={"x": "y" * (1 << 22)}),
    lambda d: d.update(outputs=[10**9]),
    lambda d: d.update(inputs=[0, 0]),
    lambda d: d.update(inputs=[]),
    set_tensor(0, names=[]),
    set_step("epilogue", op="x" * 10000, node="y" * 10000),
    set_step("epilogue", **{"z" * 10000: 1}),
    set_tensor(0, shape=[1] * 10000 + [0]),
    set_tensor(0, datatype="INT" + "9" * 10000),
    lambda d: d.update(card="none"),
    lambda d: d.pop("steps"),
    lambda d: d.update(steps=[None]),
    lambda d: d.update(name=7),
]


HOSTILE_PA: list[Callable[[dict[str, Any]], None]] = [
    set_step("levels", steps=0),
    set_step("levels", steps=1 << 40),
    set_step("levels", steps=6),  # more than the constants have
    set_step("levels", constants={"bounds": "2.steps", "steps": "2.bounds", "base": "2.base"}),
    set_step("levels", outputs=[0]),
    set_step("lookup", levels=0),
    set_step("lookup", levels=257),
    set_step("lookup", constants={"table": "2.base"}),  # a table shorter than the codes reach
    set_step("lookup", inputs=[2]),  # signed bytes
    set_step("requantise", inputs=[5]),
    set_step("requantise", inputs=[5, 2, 2]),
    set_step("requantise", outputs=[3]),
    set_step("shift", low=5, high=4),
    set_step("shift", shortcut_shift=3),  # without shortcut
    set_step("shift", shift=63),
    set_step("wide_levels", constants=dict.fromkeys(("thresholds", "steps", "base"), "1.steps")),
    set_step("wide_levels", steps=1 << 17),
]


@pytest.fixture(scope="module")
def packed_pa(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed PA network, and with it the steps that are too wide for 8 bits."""
    folder = tmp_path_factory.mktemp("packed-pa")
    g = GraphBuilder()
    x = g.input((1, 5, 5, 3), "UINT8")
    rows = np.tile(np.arange(5), (3, 1))
    codes = g.signed_thresholds(x, 9 * rows, np.ones_like(rows), np.zeros(3, int), "UINT9")
    wide = g.requant(codes, 0, "INT12")
    side = g.input((1, 5, 5, 3), "INT8")
    return pack(g.model([wide, g.pa_block(side, 4, shortcut=None)]), None, folder / "pa.andpop")


def refused(path: Path) -> None:
    """Check that a file is refused with one short line that names it."""
    with pytest.raises(ModelError) as error:
        Engine.load(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize("change", HOSTILE, ids=range(len(HOSTILE)))
def test_plans_that_contradict_themselves_are_refused(
    packed: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    refused(change_plan(packed, tmp_path / "bad.andpop", change))


@pytest.mark.parametrize("change", HOSTILE_PA, ids=range(len(HOSTILE_PA)))
def test_pa_plans_that_contradict_themselves_are_refused(
    packed_pa: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    Engine.load(packed_pa)
    refused(change_plan(packed_pa, tmp_path / "bad.andpop", change))


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        (np.zeros((1, 33, 47, 3), np.float32), "found float32, expected uint8"),
        (np.zeros((1, 33, 47, 1), np.uint8), r"found shape \(1, 33, 47, 1\), expected \(N, 33"),
        (np.zeros((33, 47, 3), np.uint8), "found shape"),
        (np.uint8(3), "found shape"),
    ],
)
def test_wrong_pictures_are_refused(packed: Path, pictures: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Engine.load(packed).run(pictures)


def test_wrong_arguments_are_refused(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine.load(packed)
    pictures = np.zeros((1, 33, 47, 3), np.uint8)
    with pytest.raises(ModelError, match="threads: found 0, expected 1"):
        engine.run(pictures, threads=0)
    with pytest.raises(ModelError, match=r"found \['x'\], expected \['t0'\]"):
        engine.intermediates({"x": pictures})
    with pytest.raises(ModelError, match=r"found values 0..256, expected UINT8 \(0..255\)"):
        engine.intermediates(np.arange(33 * 47 * 3).reshape(1, 33, 47, 3) % 257)
    monkeypatch.setenv("ANDPOP_ISA", "avx1024")
    with pytest.raises(ModelError, match="ANDPOP_ISA: found 'avx1024', expected one of scalar"):
        Engine.load(packed)


@pytest.mark.parametrize("found", [0, PLAN_VERSION + 1, None])
def test_an_extension_compiled_from_other_sources_is_refused(
    packed: Path, monkeypatch: pytest.MonkeyPatch, found: int | None
) -> None:
    plan, constants = compile_graph(bi_shufflenet(**SMALL), "test", None)
    Engine(plan, constants)
    if found is None:  # as it was before there was a number
        monkeypatch.delattr(_engine, "PLAN_VERSION")
    else:
        monkeypatch.setattr(_engine, "PLAN_VERSION", found)
    for load in (lambda: Engine(plan, constants), lambda: Engine.load(packed)):
        with pytest.raises(EngineOutdated) as error:
            load()
        words = "none" if found is None else found
        assert f"found plan version {words} in the compiled CPU engine" in str(error.value)
        assert f"expected {PLAN_VERSION}" in str(error.value)
        assert "run make setup or install andpop again" in str(error.value)
        assert "\n" not in str(error.value)


def test_commands_name_an_extension_that_was_not_compiled_again(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Any
) -> None:
    picture = tmp_path / "picture.png"
    Image.fromarray(np.zeros((33, 47, 3), np.uint8)).save(picture)
    assert run("infer", packed, "--images", picture)[0] == OK
    monkeypatch.setattr(_engine, "PLAN_VERSION", 0)
    code, out, err = run("infer", packed, "--images", picture)
    assert (code, out) == (MISSING_TOOL, "")
    assert len(err.splitlines()) == 1 and "run make setup or install andpop again" in err


def test_a_model_that_is_no_classifier_says_so() -> None:
    g = GraphBuilder()
    model = g.model([g.int_mvu(g.input((1, 2, 2, 3), "UINT8"), 4)])
    with pytest.raises(ModelError, match="expected a classifier"):
        engine_of(model).run(random_pictures(model, 1))


def broken(change: Callable[[GraphBuilder, str], str], inputs: str = "UINT8") -> onnx.ModelProto:
    """A graph whose last node is wrong."""
    g = GraphBuilder()
    return g.model([change(g, g.input((1, 4, 4, 6), inputs))])


def unknown_op(g: GraphBuilder, x: str) -> str:
    return g.node("MysteryOp", [x], [((1, 4, 4, 6), "UINT8")])[0]


def weights_of(values: Sequence[float]) -> Callable[[GraphBuilder, str], str]:
    return lambda g, x: g.xnor(x, 1, np.asarray(values).reshape(-1, 1))


def pa(**values: Any) -> Callable[[GraphBuilder, str], str]:
    """A PaMvu of six inputs with some of its constants given."""
    arrays = {k: np.asarray(v) for k, v in values.items()}
    codes = arrays.pop("codes", np.full((6, 1), 1))

    def add(g: GraphBuilder, x: str) -> str:
        # The output's type comes from the weights: state it for the codes that exist.
        y = g.pa_mvu(x, 1, np.full((6, 1), 1), **arrays)
        g.initializers[g.nodes[-1].input[1]] = codes
        return y

    return add


def deep_pa(inputs: int) -> onnx.ModelProto:
    """A PaMvu whose worst case grows with its inputs, at the largest levels there are."""
    g = GraphBuilder()
    x = g.input((1, 1, 1, inputs), "UINT1")
    codes = np.ones((inputs, 1), dtype=np.int64)
    return g.model([g.pa_mvu(x, 1, codes, np.array([0, 127]), np.array([0, 255]), zero=0)])


def steps(directions: list[list[int]]) -> Callable[[GraphBuilder, str], str]:
    """A SignedThresholding to UINT2 with these directions at thresholds 1, 2, .."""
    array = np.array(directions)
    thresholds = np.cumsum(np.ones_like(array), axis=1)
    base = np.zeros(len(array), dtype=np.int64)
    return lambda g, x: g.signed_thresholds(x, thresholds, array, base, "UINT2")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: broken(unknown_op), r"MysteryOp_0 \(MysteryOp\): the CPU engine has no such op"),
        (lambda: broken(lambda g, x: g.xnor(x, 3)), "found UINT8 input, expected BINARY"),
        (lambda: broken(weights_of([0, 1, 2, 0, 1, 1]), "BINARY"), "weights other than 0 and 1"),
        (lambda: broken(weights_of([0, 1, 0.5, 0, 1, 1]), "BINARY"), "not integers"),
        (lambda: broken(weights_of([0, 1]), "BINARY"), "found 6 inputs and weights"),
        (lambda: broken(lambda g, x: x, "FLOAT32"), "found datatype 'FLOAT32'"),
        (lambda: broken(lambda g, x: x, "INT33"), "found datatype 'INT33'"),
        (
            lambda: edited(broken(lambda g, x: g.windows(x, [2, 2], [1, 1])), depthwise=1),
            "found depthwise 1, expected 0",
        ),
        (
            lambda: edited(broken(lambda g, x: g.windows(x, [2, 2], [1, 1])), Stride=None),
            "attribute Stride is missing",
        ),
        (
            lambda: edited(broken(lambda g, x: g.windows(x, [5, 5], [1, 1])), Stride=[0, 1]),
            "found Stride",
        ),
        (
            lambda: edited(
                broken(lambda g, x: g.max_pool(x, [2, 2], [2, 2], [0] * 4)), OutDim=[9, 9]
            ),
            r"found OutDim \[9, 9\], expected \[2, 2\]",
        ),
        (
            lambda: broken(lambda g, x: g.max_pool(x, [2, 2], [2, 2], [0, 0, 4, 4])),
            "a window lies wholly in the border",
        ),
        (
            lambda: edited(
                broken(lambda g, x: g.thresholds(x, np.zeros((6, 3), int), "UINT2", 0)), ActVal=1
            ),
            "UINT2 does not hold 1..4",
        ),
        (
            lambda: edited(
                broken(lambda g, x: g.int_mvu(x, 1, np.full((6, 1), 1 << 21))),
                outputDataType="INT32",
            ),
            "worst-case sums do not fit 32 bits",
        ),
        (
            lambda: broken(pa(alpha=[-128, 129, 0, 5, 7])),
            "found alpha -128..129, expected -128..127",
        ),
        (lambda: broken(pa(beta=np.arange(9) * 32)), "found beta 0..256, expected 0..255; snap"),
        (lambda: broken(pa(beta=[1, 2, 3])), r"alpha\[2\] and beta\[0\] must be there and be 0"),
        (lambda: broken(pa(alpha=[1, 2, 3, 4, 5])), r"alpha\[2\] and beta\[0\] must be there"),
        (lambda: broken(pa(codes=np.full((6, 1), 3))), "found weight codes 3..3, expected -2..2"),
        (lambda: broken(pa(codes=np.full((5, 1), 2))), "found 6 inputs and weights"),
        (lambda: edited(broken(pa()), zero=9), r"alpha\[9\] and beta\[0\] must be there"),
        (lambda: broken(pa(), "INT8"), "found INT8 input, expected codes of UINT1..UINT8"),
        (lambda: deep_pa(9 << 12), "accumulator needs 32 bits, expected at most 31; use fewer"),
        (
            lambda: edited(broken(steps([[1, 1]] * 6)), encoding="gray"),
            "found encoding 'gray', expected code, onehot or thermometer",
        ),
        (lambda: broken(steps([[1, 0]] * 6)), "found no steps or others than"),
        (lambda: broken(steps([[1, 1], [1, 1]])), "found thresholds"),
        (lambda: broken(steps([[1] * 4] * 6)), "found codes 0..4, expected 0..3 for UINT2"),
        (lambda: broken(steps([[-1] * 4] * 6)), "found codes -4..0, expected 0..3 for UINT2"),
        (
            lambda: edited(broken(lambda g, x: g.requant(x, 3)), shift=63),
            "found shift 63 and shortcutShift 0, expected 0..62 and 0..30",
        ),
        (
            lambda: broken(lambda g, x: g.requant(x, 3, shortcut=g.split(x, [2, 4])[0])),
            r"found shortcut \[4, 4, 2\], expected \[4, 4, 6\]",
        ),
    ],
)
def test_graphs_outside_the_contract_name_the_node(
    model: Callable[[], onnx.ModelProto], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=message) as error:
        pack(model(), None, tmp_path / "x.andpop")
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_onnx_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "dataflow.onnx"
    source.write_bytes(b"\xff" * 100)
    with pytest.raises(ModelError, match="not a readable ONNX file"):
        pack(source, None, tmp_path / "x.andpop")
    with pytest.raises(ModelError, match="not a readable ONNX file"):
        pack(tmp_path / "absent.onnx", None, tmp_path / "x.andpop")


@pytest.mark.parametrize("more", [-1, 1])
def test_a_convolution_has_as_many_windows_as_its_picture(more: int) -> None:
    g = GraphBuilder()
    x = g.windows(g.input((1, 6, 5, 3), "UINT8"), [3, 3], [1, 1])
    plan, constants = compile_graph(g.model([g.int_mvu(x, 4)]), "test", None)
    Engine(plan, constants)
    (step,) = plan.steps
    step.attributes["out_height"] += more
    plan.tensors[step.outputs[0]].shape[0] += more
    with pytest.raises(ModelError, match="expected 4 from height 6"):
        Engine(plan, constants)


def test_a_plan_is_checked_even_when_it_comes_from_memory() -> None:
    plan, constants = compile_graph(bi_shufflenet(**SMALL), "test", None)
    assert isinstance(plan, Plan)
    plan.steps[0].attributes["pad_top"] = 1 << 20
    with pytest.raises(ModelError, match="expected"):
        Engine(plan, constants)
