# SPDX-License-Identifier: Apache-2.0
"""The kernels of andpop: one folder each, one line each in ``KERNELS``.

Importing this package imports no FINN; ``register()`` does, and tells FINN about every op.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import RtlKernel

KERNELS: tuple[str, ...] = (
    "add_streams",
    "binary_block",
    "binary_mvu",
    "border_bias",
    "duplicate_streams",
    "epilogue",
    "fm_padding",
    "global_acc_pool",
    "grouped_mvu",
    "image_conv",
    "int_mvu",
    "kbit_block",
    "label_select",
    "pa_block",
    "pa_mvu",
    "pixel_interleave",
    "requant",
    "shared_engine",
    "shift_requant",
    "shuffle_concat",
    "signed_thresholding",
    "sliding_window",
    "stream_crop",
    "stream_flatten",
    "stream_link",
    "stream_max_pool",
    "stream_reflect_pad",
    "stream_sum_pool",
    "stream_upsample",
    "streaming_concat",
    "streaming_data_width_converter",
    "streaming_fifo",
    "streaming_split",
    "thresholding",
    "xnor_mvu",
)


@cache
def backends() -> dict[str, type[RtlKernel]]:
    """Return the RTL backend of every kernel by its abstract op type."""
    from .base import RtlKernel

    return {
        op.__name__.removesuffix("_rtl"): op
        for name in KERNELS
        for op in import_module(f".{name}.op", __package__).OPS
        if issubclass(op, RtlKernel)
    }


def register() -> None:
    """Register every kernel's ops with FINN (idempotent; every process must call it once)."""
    from .base import register_op

    for name in KERNELS:
        for op in import_module(f".{name}.op", __package__).OPS:
            register_op(op)
