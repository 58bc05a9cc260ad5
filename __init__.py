# SPDX-License-Identifier: Apache-2.0
"""andpop: binary neural networks on edge hardware, exact to the bit.

``build``, ``simulate``, ``compare``, ``infer``, ``load`` and ``register`` come from
``andpop.flows`` and are imported when first used: ``import andpop`` itself costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_API = {
    "build": "api",
    "compare": "api",
    "infer": "api",
    "register": "api",
    "simulate": "api",
    "load": "models",
}

__all__ = ["__version__", *_API]


def __getattr__(name: str) -> Any:
    if name in _API:
        return getattr(import_module(f".flows.{_API[name]}", __name__), name)
    raise AttributeError(f"module 'andpop' has no attribute '{name}'")
