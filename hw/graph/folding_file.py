# SPDX-License-Identifier: Apache-2.0
"""Folding files: FINN's folding JSON, read as plain data from outside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeAlias

Folding: TypeAlias = dict[str, dict[str, Any]]
"""Node name -> attributes, as in FINN's folding_config."""

MOST_BYTES = 16 << 20
"""Largest folding file."""


class FoldingError(ValueError):
    """A folding that cannot be, or a target no folding of some node reaches."""


def read_folding(path: Path) -> Folding:
    """Read FINN's folding JSON: node name -> attributes, with an optional "Defaults".

    Raises:
        FoldingError: no such file, or not a folding.
    """
    expected = 'expected FINN\'s folding, e.g. {"conv1_Thresholding": {"PE": 8}}'
    try:
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise FoldingError(f"{path}: found more than {MOST_BYTES:,} bytes, {expected}")
        data = json.loads(content.decode("utf-8"), object_pairs_hook=_each_once)
    except OSError as error:
        raise FoldingError(f"{path}: cannot read the folding: {error.strerror}") from error
    except RecursionError as error:
        raise FoldingError(f"{path}: found too many levels, {expected}") from error
    except FoldingError:
        raise
    except ValueError as error:
        raise FoldingError(f"{path}: found no JSON ({error}), {expected}") from error
    if not isinstance(data, dict) or not all(isinstance(v, dict) for v in data.values()):
        raise FoldingError(f"{path}: found no map of node names to attributes, {expected}")
    if not any(data.values()):
        raise FoldingError(f"{path}: found a folding that says nothing of any node, {expected}")
    return data


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"found {twice!r} twice")
    return values
