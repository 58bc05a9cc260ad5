# SPDX-License-Identifier: Apache-2.0
"""Requant on the CPU: one step, in 64 bits."""

from __future__ import annotations

from ....quant.affine_steps import Affine
from ...cpu.ops import rounding
from ...cpu.packer import Lowering, Node, Packer
from ...cpu.plan import ModelError
from .golden import FACTOR_DIGITS, SUMMAND_DIGITS, constants


def lower(p: Packer, node: Node) -> None:
    """Add the step of a node."""
    index = p.read(node)
    source, params = p.at(index), p.initializer(node, 1)
    if params.shape != (FACTOR_DIGITS + SUMMAND_DIGITS, source.channels):
        raise ModelError(
            f"{node.where}: found params {params.shape}, expected "
            f"({FACTOR_DIGITS + SUMMAND_DIGITS}, {source.channels})"
        )
    datatype = node.datatype("outputDataType")
    if datatype.storage not in ("u8", "i8"):
        raise ModelError(
            f"{node.where}: found outputDataType {datatype.name}, expected codes of 2 to 8 bits"
        )
    shift, first, last = (int(node.get(name)) for name in ("shift", "first", "last"))
    out = p.result(node, source.shape, datatype, datatype.storage)
    rounding.affine(p, node, index, out, Affine(*constants(params), shift, first, last))


CPU = {"Requant": Lowering(lower)}
