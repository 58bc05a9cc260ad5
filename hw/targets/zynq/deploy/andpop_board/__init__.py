# SPDX-License-Identifier: Apache-2.0
"""Runs a network on a board with a Zynq.

    from andpop_board import Accelerator

    accelerator = Accelerator()
    accelerator.classes(pictures)

Needs Python 3.10 or newer, NumPy and pynq, all of which a PYNQ image has; picture files take
Pillow. Whether a batch has come back is asked of registers; every such wait has an end.
"""

from .accelerator import Accelerator
from .errors import BoardError, FrameLost, SelfTestError, WrongBuild
from .state import State, StreamState

__all__ = [
    "Accelerator",
    "BoardError",
    "FrameLost",
    "SelfTestError",
    "State",
    "StreamState",
    "WrongBuild",
]
