# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: tensors in safetensors, everything else in a JSON card of the same name beside them.

NumPy only, so that the torch-free paths can read them. A frozen network's tensors are integers,
stored in the smallest type that holds them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from .card import Card, InputSize
from .files import replace_file

__all__ = [
    "Card",
    "CheckpointError",
    "InputSize",
    "card_path",
    "read",
    "read_card",
    "smallest_integers",
    "write",
]

SUFFIX = ".safetensors"
PICKLES = (".pth", ".pt", ".pkl", ".ckpt", ".bin")
Array = npt.NDArray[Any]


class CheckpointError(ValueError):
    """A checkpoint that cannot be read or does not fit its card."""


def card_path(path: Path) -> Path:
    """Return where the card of a checkpoint lies."""
    return path.with_suffix(".json")


def smallest_integers(value: Array) -> Array:
    """Return integer-valued ``value`` in the smallest signed type that holds it.

    Raises:
        CheckpointError: a value is not an integer of at most 32 bits.
    """
    whole = np.rint(value)
    if not np.array_equal(whole, value):
        raise CheckpointError("found values that are not integers in a frozen network")
    largest = float(np.abs(whole).max(initial=0))
    for kind in (np.int8, np.int16, np.int32):
        if largest <= np.iinfo(kind).max:
            return whole.astype(kind)
    raise CheckpointError(f"found an integer of magnitude {largest:g}, expected at most 32 bits")


def write(path: Path, tensors: Mapping[str, Array], card: Card) -> None:
    """Write tensors and card; each file is replaced only when its successor is complete.

    The card holds the digest of the tensors: ``read`` refuses a pair of two different writes.

    Args:
        path: file to write, ending in .safetensors.
        tensors: name -> array; stored as they are, or as the smallest integers if frozen.
        card: stored beside it as <stem>.json.

    Raises:
        CheckpointError: wrong suffix, NaN or infinity, or fractions in a frozen network.
    """
    _check_suffix(path)
    stored: dict[str, Array] = {}
    for name, value in tensors.items():
        if not np.isfinite(value).all():
            raise CheckpointError(f"{path}: {name} holds NaN or infinity; nothing was written")
        try:
            stored[name] = smallest_integers(value) if card.frozen else value
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {name}: {error}") from error
    data = save({k: np.ascontiguousarray(v) for k, v in stored.items()})
    whole = card.model_copy(update={"tensors_sha256": hashlib.sha256(data).hexdigest()})
    replace_file(path, data)
    replace_file(card_path(path), (whole.model_dump_json(indent=2) + "\n").encode())


def read(path: Path) -> tuple[dict[str, Array], Card]:
    """Read a checkpoint.

    Returns:
        The tensors as stored, and the card.

    Raises:
        CheckpointError: a pickle, a missing or damaged file, a card that does not validate or
            belongs to other tensors, NaN, or fractions in a network the card calls frozen.
    """
    _check_suffix(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file, expected a checkpoint ending in {SUFFIX}")
    card = read_card(path)
    try:
        tensors = load_file(path)
    except (SafetensorError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"{path}: not a whole safetensors file ({reason}); copy or train it again"
        ) from error
    for name, value in tensors.items():
        if card.frozen and value.dtype.kind != "i":
            raise CheckpointError(
                f"{path}: {name} is {value.dtype}, expected integers as the card says frozen"
            )
        if not np.isfinite(value).all():
            raise CheckpointError(f"{path}: {name} holds NaN or infinity; train it again")
    if card.tensors_sha256 not in (None, _sha256(path)):
        raise CheckpointError(
            f"{path}: its tensors are not those of its card {card_path(path).name}; copy both "
            "files, or run the command that trained it again"
        )
    return tensors, card.model_copy(update={"tensors_sha256": None})


def read_card(checkpoint: Path) -> Card:
    """Read the card of a checkpoint alone.

    Raises:
        CheckpointError: it is missing or does not validate.
    """
    path = card_path(checkpoint)
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such file, expected the card of the checkpoint; copy both files"
        )
    try:
        return Card.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        message = first["msg"].removeprefix("Value error, ")
        raise CheckpointError(f"{path}: {where}: {message}") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_suffix(path: Path) -> None:
    if path.suffix in PICKLES:
        raise CheckpointError(
            f"{path}: pickles can run code and are refused, expected {SUFFIX}; "
            "convert it with safetensors.torch.save_file"
        )
    if path.suffix != SUFFIX:
        raise CheckpointError(f"{path}: found suffix {path.suffix!r}, expected {SUFFIX}")
