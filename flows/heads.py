# SPDX-License-Identifier: Apache-2.0
"""What backends gave for the heads of a dataflow graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..hw.graph.heads import Head
from ..quant.grid import IntArray
from ..quant.tasks.task import Output, Outputs, shaped


def outputs_of(heads: Sequence[Head], tensors: Mapping[str, IntArray]) -> Outputs:
    """Return what a backend gave for every head.

    Args:
        heads: of the graph.
        tensors: (N, ...) integers by name, the heads' among them.
    """
    return {head.name: Output(head.kind, shaped(head.kind, tensors[head.tensor])) for head in heads}
