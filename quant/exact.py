# SPDX-License-Identifier: Apache-2.0
"""The floating-point settings under which float32 sums of integers are exact in any order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def exact_eval() -> Iterator[None]:
    """Switch off everything that does not sum plain products, and gradients, for the block.

    Autocast, TF32 and NNPACK (Winograd and FFT convolutions) are off and float32 matrix products
    run at the highest precision; all settings are restored afterwards.
    """
    matmul = torch.get_float32_matmul_precision()
    tf32 = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    nnpack = torch.backends.nnpack.flags(enabled=False)
    autocast = [torch.autocast(device, enabled=False) for device in ("cpu", "cuda")]
    try:
        torch.set_float32_matmul_precision("highest")
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        with nnpack, autocast[0], autocast[1], torch.no_grad():
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = tf32
        torch.set_float32_matmul_precision(matmul)
