# SPDX-License-Identifier: Apache-2.0
"""Backends opened by a test: without a CPU model, which most do not look at."""

from __future__ import annotations

from typing import Any, cast

from andpop.flows.backends.backend import Opening
from andpop.flows.files import BuildFiles
from andpop.flows.progress import silent


def opening(files: BuildFiles) -> Opening:
    """Return what a backend other than ``cpu`` is opened with."""
    return Opening(files, cast(Any, None), silent)
