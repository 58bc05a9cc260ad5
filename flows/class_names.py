# SPDX-License-Identifier: Apache-2.0
"""Names of classes from a text file: one a line, in the order of the network's logits."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ..quant.card import PrintableNames
from .errors import UsageError
from .options import read_text

_NAMES: TypeAdapter[list[str]] = TypeAdapter(PrintableNames)


def read_class_names(path: Path) -> list[str]:
    """Return the names; spaces around them and empty lines at the end do not count.

    Raises:
        UsageError: the file is no UTF-8 text, a line is empty or a name stands there twice.
        OSError: it cannot be read.
    """
    try:
        # A mark at the start is what some editors put there.
        text = read_text(path).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: no UTF-8 text, expected a class name on each line") from error
    names = [line.strip() for line in text.rstrip().splitlines()]
    if "" in names:
        raise UsageError(
            f"{path}: line {names.index('') + 1} is empty, expected a class name on each line"
        )
    try:
        return _NAMES.validate_python(names)
    except ValidationError as error:
        said = error.errors()[0]
        at = f"line {int(said['loc'][0]) + 1}: " if said["loc"] else ""
        raise UsageError(
            f"{path}: {at}{said['msg'].removeprefix('Value error, ')}, in a list of "
            f"{len(names)} class names, one a line"
        ) from error
