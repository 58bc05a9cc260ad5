# SPDX-License-Identifier: Apache-2.0
"""The program as tests call it."""

from __future__ import annotations

from collections.abc import Callable

Run = Callable[..., tuple[int, str, str]]
"""Arguments of ``andpop`` -> (exit code, standard output, standard error)."""
