# SPDX-License-Identifier: Apache-2.0
"""``andpop toy``."""

from __future__ import annotations

from ..options import Group
from ..terminal import say

GROUP = Group.START


def command() -> None:
    """Say that this is a toy.

    Example: `andpop toy`
    """
    say("This is a toy.")
