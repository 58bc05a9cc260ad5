# SPDX-License-Identifier: Apache-2.0
"""``andpop doctor``."""

from __future__ import annotations

from typing import Any

from ... import api
from ..options import Group, Json
from ..terminal import emit, table

GROUP = Group.START


def command(as_json: Json = False) -> None:
    """Show which tools are installed and what each missing one would unlock.

    Example: `andpop doctor`
    """
    emit(api.doctor(), as_json, _show)


def _show(result: dict[str, Any]) -> None:
    rows = [
        (t["name"], t["version"] or "missing", t["unlocks"], "" if t["found"] else t["install"])
        for t in result["tools"]
    ]
    table("andpop doctor", ("tool", "version", "needed for", "to get it"), rows)
