# SPDX-License-Identifier: Apache-2.0
"""The PyTorch network of a checkpoint; needs the extra train alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..models.build import load_network
from ..quant.exact import exact_eval
from ..quant.tasks.task import Output, Outputs, Task
from ..quant.training.run import predict
from .pictures import Pictures


def torch_outputs(checkpoint: Path, task: Task) -> Callable[[Pictures], Outputs]:
    """Return the PyTorch network: pictures in, what its head gives out."""
    net, _ = load_network(checkpoint)
    (kind,) = task.heads

    def run(pictures: Pictures) -> Outputs:
        with exact_eval():
            return {kind: Output(kind, predict(net, pictures, decide=task.decide))}

    return run
