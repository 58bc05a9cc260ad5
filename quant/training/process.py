# SPDX-License-Identifier: Apache-2.0
"""Settings of the process while it trains: threads, denormals, memory."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Names of glibc's malloc.h."""
LARGEST_KEPT = 1 << 25
"""Bytes; the most that every glibc takes as its threshold for mapping, above a tensor's size."""
C_INT_MAX = (1 << 31) - 1


@contextmanager
def cpu_settings(threads: int | None) -> Iterator[None]:
    """Set threads and flush denormals (13 % of a step otherwise), and put both back.

    Also lets the process keep freed memory, for good: see ``_keep_freed_memory``.
    """
    _keep_freed_memory()
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(before)


def _keep_freed_memory() -> None:
    """Tell glibc to reuse freed memory rather than return it to the system; elsewhere do nothing.

    By default every large tensor of a step is mapped anew and its pages are faulted in one by one,
    20000 a step. glibc cannot tell its setting, so it stays until the process ends.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return
    mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)
    mallopt(M_TRIM_THRESHOLD, C_INT_MAX)
