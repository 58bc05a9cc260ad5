# SPDX-License-Identifier: Apache-2.0
"""The operations of the engine, one idea per module.

Each operation has a function that adds its step to a plan, from plain integers, and beside it the
check of such a step, which makes it safe to run and states its constants and their order. A module
lists its operations in ``OPS``; ``src/ops`` holds their C++ side under the same names.
"""

from __future__ import annotations

from . import moves, pools, products, rounding, sums, thresholds
from .site import Check

MODULES = (products, rounding, sums, thresholds, moves, pools)

CHECKS: dict[str, Check] = {name: check for module in MODULES for name, check in module.OPS.items()}
"""Every operation with its check."""
