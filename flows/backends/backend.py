# SPDX-License-Identifier: Apache-2.0
"""What a backend is: pictures in, integer tensors by dataflow name out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import onnx

from ...quant.grid import IntArray
from ..coverage import Coverage
from ..files import BuildFiles
from ..models import CpuModel
from ..progress import Progress

Pictures = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Opening:
    """What a backend is opened with.

    Attributes:
        files: the build.
        cpu: its CPU model.
        progress: where a long run says how far it is.
    """

    files: BuildFiles
    cpu: CpuModel
    progress: Progress


class Backend(ABC):
    """Runs pictures and returns what it knows of the dataflow graph's tensors: those that
    ``coverage`` states, no more and no less.

    Its file is the module of its name in ``flows.backends``, which holds it as ``BACKEND``.
    """

    name: ClassVar[str]

    @abstractmethod
    def __init__(self, opening: Opening) -> None:
        """Open a build.

        Raises:
            UsageError: the build lacks what the backend needs.
        """

    @staticmethod
    @abstractmethod
    def coverage(model: onnx.ModelProto, hardware: onnx.ModelProto | None = None) -> Coverage:
        """Return what it must deliver, from the graphs alone.

        Args:
            model: the lowered dataflow graph, whose tensors are compared.
            hardware: the graph that the RTL was written of, with fused nodes; None where it has
                the nodes of ``model``.
        """

    @abstractmethod
    def run(self, pictures: Pictures) -> Mapping[str, IntArray]:
        """(N, H, W, C) uint8 -> tensor name -> (N, ...) integers."""

    @property
    def figures(self) -> dict[str, Any] | None:
        """Cycles and speed of the last run, of hardware that has run."""
        return None
