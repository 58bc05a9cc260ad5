# SPDX-License-Identifier: Apache-2.0
"""The routed netlist of a board, at the pins of its UART, gives the CPU engine's results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from andpop.flows import api
from andpop.flows.errors import BAD_INPUT
from andpop.hw.targets.ecp5.routed_board import NotRouted, build_routed_board
from test_bitstream import built

__all__ = ["built"]

pytestmark = [pytest.mark.sim]


def test_trial(built: Path) -> None:
    found = api.bitstream(built)
    board = build_routed_board(Path(found["folder"]))
    print(board)
