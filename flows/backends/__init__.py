# SPDX-License-Identifier: Apache-2.0
"""The backends: one file each, one line each in ``BACKENDS``."""

from __future__ import annotations

from importlib import import_module

import onnx

from ..coverage import Coverage
from .backend import Backend

BACKENDS = (
    "torch",
    "qonnx",
    "golden",
    "cpu",
    "rtl",
)
"""Every backend by the name of its file, in the order in which they are compared."""
REFEREE = "golden"
"""The one that all others are compared with."""
COMPARED = tuple(name for name in BACKENDS if name != REFEREE)


def backend(name: str) -> type[Backend]:
    """Return a backend of ``COMPARED``; what it needs is imported now."""
    found: type[Backend] = import_module(f".{name}", __name__).BACKEND
    return found


def coverage(
    name: str, model: onnx.ModelProto, hardware: onnx.ModelProto | None = None
) -> Coverage:
    """Return what a backend must deliver, from the graphs alone: see ``Backend.coverage``."""
    return backend(name).coverage(model, hardware)
