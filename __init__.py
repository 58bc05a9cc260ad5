# SPDX-License-Identifier: Apache-2.0
"""andpop: binary neural networks on edge hardware, exact to the bit.

Every command is a function of ``andpop.flows.api``, ``load`` opens a model; they are imported when
first used: ``import andpop`` itself costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_API = {
    "bitstream": "api",
    "build": "api",
    "compare": "api",
    "count": "api",
    "demo": "api",
    "doctor": "api",
    "evaluate": "api",
    "export": "api",
    "infer": "api",
    "register": "api",
    "simulate": "api",
    "synth": "api",
    "synth_kernel": "api",
    "synthetic": "api",
    "train": "api",
    "load": "models",
}

__all__ = ["__version__", *_API]


def __getattr__(name: str) -> Any:
    if name in _API:
        return getattr(import_module(f".flows.{_API[name]}", __name__), name)
    raise AttributeError(f"module 'andpop' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
