# SPDX-License-Identifier: Apache-2.0
"""A family of blocks is one file: freezing, export, capture and checks ask the blocks alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from andpop.models.build import build
from andpop.quant import blocks
from andpop.quant.blocks import functions as fn
from andpop.quant.blocks.block import (
    Bound,
    Boundary,
    Cost,
    Countable,
    IntegerBlock,
    accumulator_ends,
    check,
    freeze,
    integer_blocks,
    magnitude,
    set_real,
    shift_right,
)
from andpop.quant.blocks.classifiers import Classifier, IntegerClassifier
from andpop.quant.blocks.fixed_point import PIXEL_RANGE, FixedPointBlock
from andpop.quant.blocks.quantizers import Requant
from andpop.quant.capture import capture
from andpop.quant.exact import exact_eval
from andpop.quant.export_qonnx import ExportError, check_bounds, export
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from torch import Tensor, nn
from torch.nn import functional as F

SIZE = 16
FRAC = 2
"""Fraction bits of the weights."""
LOW, HIGH = -8, 7


class Depthwise(nn.Module):
    """A family that no other file knows: 3x3 per channel on INT8 streams, 4-bit weights."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.real = False
        self.weight = nn.Parameter(torch.randn(channels, 1, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        weight: Tensor = self.weight
        if not self.real:
            weight = fn.round_to_grid(weight, FRAC, LOW, HIGH)
        acc = F.conv2d(x, weight, padding=1, groups=len(weight))
        return acc if self.real else fn.round_to_grid(acc, fn.STREAM_FRAC, -128, 127)

    def cost(self) -> Cost:
        return Cost(self.weight, element_ops=None)

    def to_integer(self) -> IntegerDepthwise:
        block = IntegerDepthwise(len(self.weight))
        block.weight.copy_(fn.round_to_grid(self.weight, FRAC, LOW, HIGH) * 2.0**FRAC)
        return block


class Rounding(IntegerBlock):
    """Shift and round: what the accumulators enter."""

    def __init__(self) -> None:
        super().__init__()
        self.out = Requant(0, 8)

    def forward(self, acc: Tensor) -> Tensor:
        out: Tensor = self.out(shift_right(acc, FRAC))
        return out


class IntegerDepthwise(IntegerBlock):
    weight: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(channels, 1, 3, 3))
        self.rounding = Rounding()

    def bounds(self, shape: Sequence[int]) -> Iterator[Bound]:
        assert shape[1] == len(self.weight)
        yield Bound("accumulator", magnitude(accumulator_ends(self.weight, -128, 127)))

    def datatypes(self) -> Mapping[str, str]:
        return {"Conv_in1": "INT4", "Conv_out": "INT16"}

    def boundaries(self) -> Mapping[str, Boundary]:
        return {"Conv_out": Boundary(self.rounding, entering=True)}

    def check_values(self, name: str) -> None:
        if self.weight.min() < LOW or self.weight.max() > HIGH:
            raise ValueError(f"{name}.weight: found {self.weight.max():g}, expected {LOW}..{HIGH}")

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.rounding(F.conv2d(x, self.weight, padding=1, groups=len(self.weight)))
        return out


class Toy(nn.Module):
    """Stem, the new block, a pool, classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = FixedPointBlock(1, 4, 3, 2, 8, PIXEL_RANGE, 0, 1024.0)
        self.depthwise = Depthwise(4)
        self.pool = nn.MaxPool2d(2, 2)
        self.classifier = Classifier(4, 3, 8)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.pool(self.depthwise(self.stem(x))))
        return logits * 2.0**-self.classifier.logit_frac if self.frozen else logits

    @property
    def frozen(self) -> bool:
        return isinstance(self.classifier, IntegerClassifier)


def trained() -> Toy:
    torch.manual_seed(5)
    net = Toy()
    for _ in range(3):
        net(torch.randint(0, 256, (8, 1, SIZE, SIZE)).float())
    return net.eval()


@pytest.fixture
def frozen() -> Toy:
    net = trained()
    freeze(net)
    return net.eval()


def pictures() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (3, SIZE, SIZE, 1)).astype(np.uint8)


def floats(x: np.ndarray) -> np.ndarray:
    return x.transpose(0, 3, 1, 2).astype(np.float32)


def test_a_new_block_freezes_to_the_same_bits_and_has_a_real_twin() -> None:
    net, x = trained(), torch.from_numpy(floats(pictures()))
    with exact_eval():
        expected = net(x)
        set_real(net, True)
        assert net.depthwise.real and not torch.equal(net(x), expected)
        with pytest.raises(ValueError, match="depthwise has real weights|stem has real weights"):
            freeze(net)
        set_real(net, False)
        freeze(net)
        assert isinstance(net.depthwise, IntegerDepthwise)
        assert torch.count_nonzero(net(x) != expected) == 0
    assert len(torch.unique(expected)) > 3


def test_a_new_block_exports_with_the_datatypes_that_it_states(frozen: Toy, tmp_path: Path) -> None:
    export(frozen, SIZE, SIZE, 1, tmp_path / "toy.onnx")
    model = ModelWrapper(str(tmp_path / "toy.onnx"))
    weight = model.get_initializer("depthwise_Conv_in1")
    assert np.array_equal(weight, frozen.depthwise.weight.numpy())
    for tensor, datatype in (
        ("depthwise_Conv_in1", "INT4"),
        ("depthwise_Conv_out", "INT16"),
        ("depthwise_rounding_out_Quant_out", "INT8"),
        ("pool_MaxPool_out", "INT8"),
    ):
        assert model.get_tensor_datatype(tensor).name == datatype, tensor


def test_a_new_block_is_observed_at_the_boundaries_that_it_states(
    frozen: Toy, tmp_path: Path
) -> None:
    export(frozen, SIZE, SIZE, 1, tmp_path / "toy.onnx")
    model = ModelWrapper(str(tmp_path / "toy.onnx"))
    wanted = ["depthwise_Conv_out", "depthwise_rounding_out_Quant_out", "pool_MaxPool_out"]
    compared = 0
    for picture in pictures():
        ours = capture(frozen, picture[None], wanted)
        theirs = execute_onnx(
            model, {"picture": floats(picture[None])}, return_full_exec_context=True
        )
        assert sorted(ours) == sorted(wanted)
        for name in wanted:
            assert np.count_nonzero(ours[name] != theirs[name]) == 0, name
            compared += ours[name].size
    assert compared == 3 * 4 * (64 + 64 + 16)


def test_a_new_block_is_refused_by_its_bounds_its_values_and_its_word(
    frozen: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = torch.zeros(1, 1, SIZE, SIZE)
    check_bounds(frozen, picture)
    check(frozen)
    frozen.depthwise.weight[1, 0, 2, 2] = 2.0**17 + 1
    with pytest.raises(ExportError, match=r"depthwise: accumulator can reach \d+, expected at mo"):
        check_bounds(frozen, picture)
    with pytest.raises(ValueError, match=r"depthwise\.weight: found 131073, expected -8\.\.7"):
        check(frozen)
    monkeypatch.setattr(IntegerDepthwise, "refusal", "found a toy, expected hardware")
    with pytest.raises(ExportError, match="depthwise: found a toy"):
        export(frozen, SIZE, SIZE, 1, tmp_path / "toy.onnx")
    assert not list(tmp_path.iterdir())


def test_a_block_that_states_no_datatype_is_named(
    frozen: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Requant, "datatypes", lambda self: {})
    with pytest.raises(ExportError, match="found no datatype of depthwise_rounding_out_Quant_out"):
        export(frozen, SIZE, SIZE, 1, tmp_path / "toy.onnx")


@pytest.mark.parametrize(
    ("network", "config"),
    [
        ("bi-shufflenet", {"width": 0.25}),
        ("bi-shufflenet", {"width": 0.25, "pa": {}}),
        ("pa-resnet-small", {}),
        ("u-binet", {"base": 4, "depth": 3}),
    ],
)
def test_every_parameter_is_counted_and_every_integer_lies_in_a_block(
    network: str, config: Mapping[str, object]
) -> None:
    net = build(network, config)
    costs = [f"{name}." for name, m in net.named_modules() if isinstance(m, Countable)]
    assert all(name.startswith(tuple(costs)) for name, _ in net.named_parameters())
    net.freeze()
    stated = dict(integer_blocks(net))
    for name in net.state_dict():
        assert name.rpartition(".")[0] in stated, name
    for name, block in stated.items():
        assert set(block.boundaries()) <= set(block.datatypes()), name
    assert not list(net.parameters())


def test_what_asks_the_blocks_names_none_of_their_classes() -> None:
    families = Path(blocks.__file__).parent
    classes = {
        node.name
        for file in families.glob("*.py")
        if file.name != "block.py"
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.ClassDef)
    }
    assert {"IntegerBinaryBlock", "IntegerPaConv", "IntegerKbitActivation"} <= classes
    for file in (families / "block.py", *families.parent.glob("*.py")):
        names = {n.id for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Name)}
        assert not names & classes, file.name
