# SPDX-License-Identifier: Apache-2.0
"""Tests of what FINN knows of andpop: in a process of their own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any


def in_fresh_process(function: Callable[..., Any], *args: object) -> Any:
    """Call a function of a test's file in a process where nothing is registered yet."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, args)
