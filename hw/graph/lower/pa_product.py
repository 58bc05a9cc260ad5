# SPDX-License-Identifier: Apache-2.0
"""A matrix of few values times level codes: PaMvu."""

from __future__ import annotations

import numpy as np
import onnx

from ...kernels.base import IntArray
from ..builder import Stream, smallest_signed, smallest_unsigned
from ..qonnx_graph import FloatArray, LoweringError
from .state import Lowering

MAX_PIECES = 15
"""Most different weights of a convolution on level codes, zero among them: M = 14."""


def pa_product(
    state: Lowering,
    node: onnx.NodeProto,
    where: str,
    x: Stream,
    weights: IntArray,
    acc: str,
    bias: FloatArray | None,
) -> Stream:
    """Level codes times weight codes; the weights' codebook is the set of their values."""
    alpha = np.unique(np.append(weights, 0))
    if bias is not None or alpha.size > MAX_PIECES:
        found = "a bias" if bias is not None else f"{alpha.size} different weights"
        raise LoweringError(
            node,
            f"found {found} on level codes, expected at most {MAX_PIECES} different weights "
            "and no bias",
        )
    every = np.arange(alpha[0], alpha[-1] + 1)
    if _code_type(every) == _code_type(alpha):
        # Uniform levels with a gap nobody uses stay their own codes.
        alpha = every
    zero = int(np.searchsorted(alpha, 0))
    mw, mh = weights.shape
    code_type = _code_type(alpha)
    alpha_type = smallest_signed(int(alpha[0]), int(alpha[-1]))
    beta = np.array(x.levels, dtype=np.int64)
    beta_type = smallest_unsigned(int(beta.max()))
    (y,) = state.builder.add(
        "PaMvu",
        where,
        [x],
        [((*x.shape[:-1], mh), acc)],
        {
            "MW": mw,
            "MH": mh,
            "SIMD": 1,
            "PE": 1,
            "numInputVectors": x.vectors,
            "inputDataType": x.datatype,
            "weightDataType": code_type,
            "zero": zero,
            "alphaDataType": alpha_type,
            "betaDataType": beta_type,
            "outputDataType": acc,
            "implementation": "auto",
            "alphaValues": alpha.tolist(),
            "betaValues": beta.tolist(),
        },
        {
            "weights": (np.searchsorted(alpha, weights) - zero, code_type),
            "alpha": (alpha, alpha_type),
            "beta": (beta, beta_type),
        },
    )
    return y


def _code_type(alpha: IntArray) -> str:
    """Datatype of the signed codes of a codebook, ascending and with 0, which is code 0."""
    zero = int(np.searchsorted(alpha, 0))
    return smallest_signed(-zero, alpha.size - 1 - zero)
