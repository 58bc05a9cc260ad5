# SPDX-License-Identifier: Apache-2.0
"""The plan of a packed model: tensors, steps and card, with the bounds that each value keeps.

The bounds of single values stand in the types below and are checked by pydantic, for plans from a
file and from memory alike; what values mean together is checked in ``checks``. How a plan lies in
a file: ``container``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from ...quant import grid
from ...quant.card import PackedCard, PrintableNames
from ...quant.inputs import Reads
from ..graph.heads import Kind

SUFFIX = ".andpop"

PLAN_VERSION = 2
"""Raised, with ``kPlanVersion`` of src/network.hpp, when operations or what they take change: so
Python's checks never speak of another engine than the compiled one."""

BYTE_CODES = 256
"""Entries of a table over byte codes."""

MAX_LEVELS = 1 << 16
"""Thresholds per channel of a file that is still taken for a network."""

STORAGE = {"bits": (0, 1), "u8": (0, 255), "i8": (-128, 127), "i32": (-(1 << 31), (1 << 31) - 1)}
"""What an element of each storage can hold."""

MAX_TENSOR_BYTES = 1 << 30
MAX_WINDOW_BYTES = 1 << 22
MAX_TENSORS = 10_000
MAX_AXES = 8
MAX_AXIS = 1 << 24
MAX_NAME = 1000
MAX_ATTRIBUTES = 32
MAX_FIELDS = 32
MAX_VALUE = 1 << 62
"""Limits of a file that is still taken for a network."""

GEOMETRY = (
    "height", "width", "out_height", "out_width", "kernel_y", "kernel_x", "stride_y", "stride_x",
    "dilation_y", "dilation_x", "pad_top", "pad_left", "pad_bottom", "pad_right",
)  # fmt: skip

UNLESS_EMPTY = Field(exclude_if=lambda value: not value)
"""Of fields that came later: a file without them is the one that it was before."""
Name = Annotated[str, StringConstraints(max_length=MAX_NAME)]
Names = Annotated[list[Name], Field(max_length=MAX_TENSORS)]
Index = Annotated[int, Field(ge=0, lt=MAX_TENSORS)]
Indices = Annotated[list[Index], Field(max_length=MAX_TENSORS)]
Axis = Annotated[int, Field(ge=1, le=MAX_AXIS)]
Storage = Annotated[str, StringConstraints(pattern=f"^({'|'.join(STORAGE)})$")]
Value = Annotated[int, Field(ge=-MAX_VALUE, le=MAX_VALUE)]

Number = Annotated[float, Field(allow_inf_nan=False)]
Numbers = Annotated[list[Number], Field(max_length=MAX_AXIS)]

SCHEMA = ConfigDict(strict=True, extra="forbid", revalidate_instances="always")
"""How pydantic reads the dataclasses of a packed model: as they are, nothing converted."""


class ModelError(ValueError):
    """A model or its input cannot be used; the message is one line for the user."""


def round_up(value: int, unit: int) -> int:
    """Return the smallest multiple of ``unit`` not below ``value``."""
    return -(-value // unit) * unit


@dataclass(frozen=True)
class DataType:
    """An integer datatype of the graph: its name and range."""

    name: str
    low: int
    high: int

    @classmethod
    def of(cls, name: str, where: str) -> DataType:
        """Parse a QONNX datatype name: BINARY, INTn or UINTn, within 32 bits."""
        try:
            low, high = grid.limits(*grid.type_format(name))
        except ValueError:
            low, high = 0, 0
        if low == high or low < STORAGE["i32"][0] or high > STORAGE["i32"][1]:
            raise ModelError(
                f"{where}: found datatype {name!r:.40}, "
                "expected BINARY, INT1..INT32 or UINT1..UINT31"
            )
        return cls(name, low, high)

    @property
    def storage(self) -> str:
        """The narrowest storage that holds it."""
        for storage, (low, high) in STORAGE.items():
            if storage == "bits" and self.name != "BINARY":
                continue
            if low <= self.low and self.high <= high:
                return storage
        raise ModelError(f"datatype {self.name} does not fit 32 bits")


@dataclass(frozen=True)
class Tensor:
    """A tensor of one picture: ``shape`` without the batch axis, channels last.

    ``names`` are the tensors of the dataflow graph that carry these values (a stream and its
    copies); a tensor that only the plan needs has none.
    """

    __pydantic_config__ = SCHEMA

    names: Names
    shape: Annotated[list[Axis], Field(min_length=1, max_length=MAX_AXES)]
    datatype: Name
    storage: Storage

    @property
    def channels(self) -> int:
        """Size of the last axis."""
        return self.shape[-1]

    @property
    def pixels(self) -> int:
        """Elements of all other axes."""
        return math.prod(self.shape[:-1])

    @property
    def pixel_bytes(self) -> int:
        """Bytes of the channels of one pixel."""
        if self.storage == "bits":
            return round_up(self.channels, 8) // 8
        return self.channels * (4 if self.storage == "i32" else 1)

    @property
    def bytes(self) -> int:
        """Bytes of the tensor for one picture."""
        return self.pixels * self.pixel_bytes


@dataclass(frozen=True)
class Step:
    """One operation of the engine on tensors, attributes and constants.

    ``inputs`` and ``outputs`` are indices of tensors. ``constants`` maps each constant of the
    operation, as its check in ``ops`` names it, to its name in the file.
    """

    __pydantic_config__ = SCHEMA

    op: Name
    node: Name
    inputs: Indices
    outputs: Indices
    attributes: Annotated[dict[Name, Value], Field(max_length=MAX_ATTRIBUTES)] = field(
        default_factory=dict
    )
    constants: Annotated[dict[Name, Name], Field(max_length=MAX_FIELDS)] = field(
        default_factory=dict
    )


@dataclass(frozen=True)
class Head:
    """A named output of the network.

    Attributes:
        name: as the network names it.
        kind: what its integers stand for.
        tensor: index of its tensor.
        logits: index of the tensor that the class was picked from, None where none is picked.
        function: what the network makes of its logits behind the class; empty for nothing.
        best: how many classes it names; 0 for the one.
        factors, offsets: of every label: its logit is ``factor * integer + offset``; empty where
            software makes nothing of them.
    """

    __pydantic_config__ = SCHEMA

    name: Name
    kind: Kind
    tensor: Index
    logits: Index | None = None
    function: Annotated[Literal["", "LogSoftmax", "Sigmoid", "Softmax"], UNLESS_EMPTY] = ""
    best: Annotated[int, Field(ge=0, lt=MAX_AXIS), UNLESS_EMPTY] = 0
    factors: Annotated[Numbers, UNLESS_EMPTY] = field(default_factory=list)
    offsets: Annotated[Numbers, UNLESS_EMPTY] = field(default_factory=list)

    @property
    def classifies(self) -> bool:
        """Whether it finds classes, of the picture or of its pixels."""
        return self.kind in ("class", "class_map")


@dataclass
class Plan:
    """Everything but the constants: what the engine computes, in order."""

    __pydantic_config__ = SCHEMA

    name: Name
    tensors: Annotated[list[Tensor], Field(max_length=MAX_TENSORS)]
    steps: Annotated[list[Step], Field(max_length=MAX_TENSORS)]
    inputs: Annotated[list[Index], Field(min_length=1, max_length=MAX_TENSORS)]
    outputs: Annotated[list[Head], Field(min_length=1, max_length=MAX_TENSORS)]
    card: PackedCard | None = None
    classes: Annotated[PrintableNames | None, UNLESS_EMPTY] = None
    """Names of the classes of a network without a card, where somebody gave them."""
    reads: Annotated[Reads | None, UNLESS_EMPTY] = None
    """What a byte of the input stands for, where the network is somebody else's."""

    @property
    def classifier(self) -> Head | None:
        """The first head that finds classes: those that the card names."""
        return next((head for head in self.outputs if head.classifies), None)


_PLAN = TypeAdapter(Plan)


def check_bounds(plan: Plan) -> None:
    """Check the type and the bounds of every value of a plan from memory.

    Raises:
        ModelError: names the value.
    """
    try:
        _PLAN.validate_python(plan)
    except ValidationError as error:
        raise ModelError(f"plan: {explain(error)}") from error


def explain(error: ValidationError) -> str:
    """Return the first fault that pydantic found in one short line."""
    first = error.errors(include_url=False, include_context=False)[0]
    where = ascii(".".join(str(part) for part in first["loc"]))[1:-1]
    expected = first["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    found, value = "", first["input"]
    if isinstance(value, str) or (isinstance(value, int) and abs(value) <= 1 << 64):
        found = f"found {ascii(value):.40}, "
    place = f"{where:.120}: " if where else ""
    return " ".join(f"{place}{found}{expected:.200}".split())
