# SPDX-License-Identifier: Apache-2.0
"""What a block says of itself, and the walks through a network that ask it.

A trainable block computes real numbers on fixed-point grids. It has an attribute ``real``: while it
is True the block computes without snapping and rounding (the real-valued twin, and the first stage
of training). ``to_integer`` returns what ``freeze`` puts in its place: an ``IntegerBlock``, which
gives the same bits. ``cost`` says what papers count of it.

An integer block states its bounds, its datatypes, the boundaries at which others are compared with
it, and what its buffers may hold. Walks, the export and ``capture`` ask for these and know no block
by name: a new family is one file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from ..grid import IntArray, accumulator_bounds


@runtime_checkable
class Switchable(Protocol):
    """A module that has a real-valued twin."""

    real: bool


@runtime_checkable
class Normalising(Protocol):
    """A module with a BN of its own."""

    statistics_fixed: bool


@runtime_checkable
class Freezable(Switchable, Protocol):
    """A trainable block that has an integer counterpart."""

    def to_integer(self) -> nn.Module:
        """Return the frozen block, an ``IntegerBlock``."""


@runtime_checkable
class Checkable(Protocol):
    """A module that knows which values its tensors may hold."""

    def check_values(self, name: str) -> None:
        """Refuse values outside their formats.

        Args:
            name: path of the module, for the message.

        Raises:
            ValueError: one line naming tensor and value.
        """


@dataclass(frozen=True)
class Cost:
    """What a trainable block holds and computes, in the terms in which papers count.

    Attributes:
        weight: (C_out, C_in, ...) latent weights.
        bits: bits that a weight is held in, 1 or M of PA; 0 for real weights.
        pairs: products of bits per multiply-accumulate, 0 where it is one of real numbers.
        element_ops: element-wise operations per output; None for those of the network's paper.
        norms: channels of batch norm.
        rsilu: channels with RSiLU's zeta and eta.
        bias: numbers added to the outputs.
        phases: outputs that share the taps of a kernel: each meets one of so many.
    """

    weight: Tensor
    bits: int = 0
    pairs: int = 0
    element_ops: int | None = 0
    norms: int = 0
    rsilu: int = 0
    bias: int = 0
    phases: int = 1


@runtime_checkable
class Countable(Protocol):
    """A trainable block whose weights and operations can be counted."""

    def cost(self) -> Cost:
        """Return what it costs as it is, real-valued or quantised."""


@dataclass(frozen=True)
class Bound:
    """The largest magnitude that a sum inside a block can reach with its weights as they are."""

    what: str
    """The sum, as an error names it."""
    worst: int


@dataclass(frozen=True)
class Boundary:
    """A tensor at which PyTorch, QONNX and the dataflow graph are compared."""

    module: nn.Module
    """The part of the block that makes the tensor, or reads it."""
    entering: bool = False
    """The tensor is the first input of that part, not its output."""


class IntegerBlock(nn.Module):
    """A frozen block, or a part of one: integers only, exported to QONNX node by node.

    Every tensor is an integer code in a float32 container: pixels, codes of streams, accumulators.
    The block holds its constants as buffers and reads nothing else. ``forward`` is written in
    operations that torch.onnx turns into those of QONNX, one by one.

    Tensors are named as in the exported file, without the block's own path: ``<OpType>_out`` is the
    output of the block's node of that type, ``<OpType>_in1`` its constant second input; of several
    nodes of one type the later ones are ``<OpType>_1_out`` and so on.
    """

    refusal = ""
    """Why the block cannot be exported, as an error says it; empty where it can."""

    def bounds(self, shape: Sequence[int]) -> Iterator[Bound]:
        """Yield the worst case of every sum, from the actual weights, in order of computation.

        Args:
            shape: (1, C, H, W) of the block's input.
        """
        return iter(())

    def datatypes(self) -> Mapping[str, str]:
        """Return tensor -> QONNX datatype of weights, accumulators and codes."""
        return {}

    def boundaries(self) -> Mapping[str, Boundary]:
        """Return tensor -> where PyTorch has it; a subset of ``datatypes``."""
        return {}

    def check_values(self, name: str) -> None:
        """See ``Checkable``; without formats of its own a block accepts all values."""


class Mirrored(IntegerBlock):
    """A block some of whose buffers are mirrored in Python values or derived tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.register_load_state_dict_post_hook(lambda module, _: module.refresh())

    def refresh(self) -> None:
        """Derive what ``forward`` reads after the buffers changed."""
        raise NotImplementedError

    def fill(self, **buffers: Tensor) -> None:
        """Fill the buffers, same names and shapes as at construction."""
        for name, value in buffers.items():
            buffer = self.get_buffer(name)
            buffer.copy_(value.detach().view(buffer.shape))
        self.refresh()


class Shifted(Mirrored):
    """A block whose ``shifts`` buffer is mirrored in Python integers.

    The shifts lie in a buffer so that a checkpoint is complete; the exporter needs them as
    constants.
    """

    shifts: Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        self.register_buffer("shifts", torch.zeros(count, dtype=torch.int64))

    def set_integers(self, shifts: list[int], **buffers: Tensor) -> None:
        """Fill the buffers, same names and shapes as at construction."""
        self.fill(shifts=torch.tensor(shifts), **buffers)


def shift_right(v: Tensor, shift: int) -> Tensor:
    """Multiply by 2**-shift; no operation at all for 0."""
    return v * 2.0**-shift if shift else v


def accumulator_ends(weight: Tensor, low: int, high: int, bias: Tensor | None = None) -> IntArray:
    """Return the (2, C_out) smallest and largest sums of codes ``low..high`` times weights.

    Args:
        weight: (C_out, ...) integers.
        low: smallest input code.
        high: largest input code.
        bias: (C_out,) integers, or None.
    """
    matrix = weight.flatten(1).numpy().astype(np.int64).T
    offset = 0 if bias is None else bias.numpy().astype(np.int64)
    return np.stack(accumulator_bounds(matrix, low, high, offset))


def magnitude(ends: IntArray) -> int:
    """Return the largest magnitude of worst cases."""
    return int(np.abs(ends).max())


def tensor_name(path: str, tensor: str) -> str:
    """Return the name in the exported file of a tensor that the module at ``path`` states."""
    return f"{path.replace('.', '_')}_{tensor}"


def integer_blocks(net: nn.Module) -> Iterator[tuple[str, IntegerBlock]]:
    """Yield path and block of every integer block inside ``net``, and of their parts."""
    for path, module in net.named_modules():
        if isinstance(module, IntegerBlock):
            yield path, module


def set_real(net: nn.Module, on: bool) -> None:
    """Make every block inside ``net`` its real-valued twin (see the head of this file), or back."""
    for module in net.modules():
        if isinstance(module, Switchable):
            module.real = on


def fix_statistics(net: nn.Module) -> None:
    """From now on every BN inside ``net`` uses its running statistics, in training mode too."""
    for module in net.modules():
        if isinstance(module, Normalising):
            module.statistics_fixed = True


@torch.no_grad()
def check(net: nn.Module) -> None:
    """Refuse a network whose blocks, trainable or frozen, hold values outside their formats.

    Raises:
        ValueError: one line naming tensor and value.
    """
    for path, module in net.named_modules():
        if isinstance(module, Checkable):
            module.check_values(path)


@torch.no_grad()
def freeze(net: nn.Module) -> None:
    """Replace every trainable block inside ``net`` by its integer counterpart, in place.

    Raises:
        ValueError: a parameter or statistic is not finite, or a block is real-valued.
    """
    for name, value in net.state_dict().items():
        if not torch.isfinite(value).all():
            raise ValueError(f"freeze: {name} holds NaN or infinity; train again from before it")
    blocks = {n: m for n, m in net.named_modules() if isinstance(m, Freezable)}
    for name, block in blocks.items():
        if block.real:
            raise ValueError(
                f"freeze: {name} has real weights, expected set_real(net, False) before and a "
                "fine-tune of the quantised network"
            )
    frozen = {name: block.to_integer() for name, block in blocks.items()}
    for name, module in frozen.items():
        parent, _, child = name.rpartition(".")
        setattr(net.get_submodule(parent), child, module)
