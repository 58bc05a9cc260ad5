# SPDX-License-Identifier: Apache-2.0
"""What can go wrong on a board; every message is one line."""

from __future__ import annotations

from .state import State


class BoardError(RuntimeError):
    """The board, its files or its network do not do what was asked."""


class WrongBuild(BoardError):
    """What is loaded is not what the files beside it are for."""


class SelfTestError(BoardError):
    """The network gives other results than those stored with it."""


class FrameLost(BoardError):
    """A batch did not come back.

    Attributes:
        state: registers of the board at that time.
    """

    def __init__(self, message: str, state: State) -> None:
        super().__init__(message)
        self.state = state
