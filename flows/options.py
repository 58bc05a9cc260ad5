# SPDX-License-Identifier: Apache-2.0
"""Reads build.yaml: options and their values, checked before a value is made.

YAML can hold what no options file means: levels and references that grow without bound, keys that
are numbers, a key twice. Nothing of it is built here: a value is a scalar or a list of scalars.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ..quant.names import brief
from .errors import UsageError

MOST_BYTES = 1 << 20
EXPECTED = "expected lines of an option and its value, such as target_cycles: 20000"


def read_options(file: Path) -> dict[str, Any]:
    """Return the options of a file, as YAML reads each value.

    Raises:
        UsageError: the file is no YAML, or anything but different names with plain values.
        OSError: the file cannot be read.
    """
    try:
        text = read_text(file)
        _check_flat(file, text)
        loaded = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        # ValueError: a number of thousands of digits, a day that is not in the calendar.
        raise UsageError(f"{file}: not readable as YAML ({error}), {EXPECTED}") from error
    options: dict[str, Any] = loaded
    return options


def read_text(file: Path, most: int = MOST_BYTES) -> str:
    """Return the text of a file of at most ``most`` bytes.

    Raises:
        UsageError: the file is larger, or endless as a device is.
        UnicodeDecodeError: it is not UTF-8.
        OSError: the file cannot be read.
    """
    with file.open("rb") as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise UsageError(f"{file}: found more than {most:,} bytes, expected a small text file")
    return content.decode("utf-8")


def _check_flat(file: Path, text: str) -> None:
    """Check events, which need no memory, then names: no levels and references are left to grow."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        where = f"{file}: line {event.start_mark.line + 1}" if event.start_mark else f"{file}"
        if isinstance(event, yaml.AliasEvent):
            raise UsageError(f"{where}: found a reference (*{event.anchor}), {EXPECTED}")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > 2 or (depth == 2 and isinstance(event, yaml.MappingStartEvent)):
            raise UsageError(f"{where}: found values below the value of an option, {EXPECTED}")
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode) or root.tag != "tag:yaml.org,2002:map":
        found = "a list" if isinstance(root, yaml.SequenceNode) else "no option"
        raise UsageError(f"{file}: found {found}, {EXPECTED}")
    lines: dict[str, int] = {}
    for key, _ in root.value:
        line = key.start_mark.line + 1
        if key.tag != "tag:yaml.org,2002:str":
            raise UsageError(
                f"{file}: line {line}: found {brief(key.value)} as the name of an option, "
                f"{EXPECTED}"
            )
        if key.value in lines:
            raise UsageError(
                f"{file}: line {line}: found {brief(key.value)} again, given on line "
                f"{lines[key.value]}; remove one of them"
            )
        lines[key.value] = line
