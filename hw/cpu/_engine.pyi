# SPDX-License-Identifier: Apache-2.0
"""Types of the compiled engine (src/binding.cpp)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

PLAN_VERSION: int

class Network:
    def __init__(
        self,
        tensors: Sequence[tuple[str, int, int]],
        steps: Sequence[
            tuple[
                str,
                Sequence[int],
                Sequence[int],
                Mapping[str, int],
                Mapping[str, npt.NDArray[Any]],
            ]
        ],
        inputs: Sequence[int],
        isa: str,
        kernels: Sequence[str] = ...,
    ) -> None: ...
    def run(
        self,
        inputs: Sequence[npt.NDArray[np.uint8]],
        count: int,
        wanted: Sequence[int],
        threads: int,
    ) -> list[npt.NDArray[np.uint8]]: ...
    def time(self, inputs: Sequence[npt.NDArray[np.uint8]], rounds: int) -> float: ...
    @property
    def arena_bytes(self) -> int: ...
    @property
    def chained(self) -> list[int]: ...

def instruction_sets() -> list[str]: ...
def kernels() -> list[tuple[str, str, str, int, int]]: ...
