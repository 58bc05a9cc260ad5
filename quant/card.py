# SPDX-License-Identifier: Apache-2.0
"""The card: what a network is, on which pictures it was trained, and what its classes are called.

It lies as JSON beside a checkpoint and inside every packed model. Plain data, checked and bounded
here for both.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from .. import __version__

MAX_CLASSES = 1 << 16
MAX_LINE = 1000
MAX_TEXT = 1 << 20
"""Limits of a card: class names, characters of a name and of a description."""

DESCRIPTIVE = frozenset(
    {
        "data",
        "seed",
        "accuracy",
        "dice",
        "validation_pictures",
        "command",
        "andpop",
        "tensors_sha256",
    }
)
"""Fields that say where a network came from; all others decide what it answers."""

Line = Annotated[str, StringConstraints(min_length=1, max_length=MAX_LINE)]
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT)]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def _distinct(names: list[str]) -> list[str]:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"found {twice[0]!r:.80} twice, expected a name for each class")
    return names


def _printable(names: list[str]) -> list[str]:
    # They are printed as they are: a line each, and no command to the terminal.
    for name in names:
        if any(unicodedata.category(c) == "Cc" for c in name):
            raise ValueError(f"found {name!r:.80}, expected names without control characters")
    return names


ClassNames = Annotated[
    list[Line], Field(min_length=2, max_length=MAX_CLASSES), AfterValidator(_distinct)
]
"""Names of classes, in the order of their logits."""
PrintableNames = Annotated[ClassNames, AfterValidator(_printable)]
"""Those of a packed model."""


class InputSize(BaseModel):
    """Size of the picture a network was trained on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    height: int = Field(ge=1, le=4096)
    width: int = Field(ge=1, le=4096)
    channels: Literal[1, 3]


GREY = "ITU-R 601-2 luma"
"""How a colour picture becomes one channel, always; older cards say it."""
WRITTEN_BEFORE = ("quantisation", "grey")
"""Fields of older cards that nothing ever read."""


class Card(BaseModel):
    """What a checkpoint is: network, input, classes, and where it came from.

    Attributes:
        network: name known to ``models.build``.
        config: the network's configuration.
        input: picture size.
        resize: resampling filter that brings a picture to that size.
        classes: class names in label order.
        data: the training data, in words.
        seed: seed of split, initial weights and order.
        accuracy: fraction of the validation pictures the frozen network gets right; of their
            pixels where it predicts masks.
        dice: Dice coefficient over the validation pixels where it predicts masks.
        validation_pictures: how many those were.
        command: the command that trained it.
        frozen: True when the tensors are the integers.
        andpop: version that wrote it.
        tensors_sha256: digest of the file of tensors it was written with; none in old cards.
    """

    model_config = ConfigDict(extra="forbid")

    network: Line
    config: dict[str, Any] = Field(default_factory=dict)
    input: InputSize
    resize: Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"] = "bilinear"
    classes: ClassNames
    data: Text = ""
    seed: int = Field(default=0, ge=-(1 << 63), lt=1 << 64)
    accuracy: float | None = Field(default=None, ge=0.0, le=1.0)
    dice: float | None = Field(default=None, ge=0.0, le=1.0)
    validation_pictures: int | None = Field(default=None, ge=1)
    command: Text = ""
    frozen: bool
    andpop: Line = __version__
    tensors_sha256: Digest | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_before(cls, values: Any) -> Any:
        """Read cards of older versions: what nothing read is left out."""
        if not isinstance(values, dict):
            return values
        if values.get("grey", GREY) != GREY:
            raise ValueError(f"found grey {values['grey']!r:.80}, expected {GREY}")
        return {name: value for name, value in values.items() if name not in WRITTEN_BEFORE}


class PackedCard(Card):
    """The card inside a packed model.

    Attributes:
        checkpoint_sha256: of the checkpoint it was packed from, in hex.
    """

    checkpoint_sha256: Digest
    classes: PrintableNames


def deciding(fields: Iterable[str]) -> list[str]:
    """Return those fields of a card that decide what a network answers."""
    return [name for name in fields if name not in DESCRIPTIVE]


def differing(one: Card, other: Card) -> list[str]:
    """Return the fields of a card in which two differ, in their order."""
    return [name for name in Card.model_fields if getattr(one, name) != getattr(other, name)]
