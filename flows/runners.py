# SPDX-License-Identifier: Apache-2.0
"""A network on one backend, for what asks it alone: infer and eval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..quant.checkpoint import read_card
from ..quant.inputs import Reads
from ..quant.tasks.task import Outputs, Task
from .errors import UsageError, require, require_hardware
from .facts import reflection, task_of_network
from .files import checkpoint_of, open_build
from .models import CpuModel, load
from .pictures import Pictures
from .progress import Progress

RUNNERS = ("cpu", "golden", "torch")


@dataclass(frozen=True)
class Runner:
    """A network that is ready to run.

    Attributes:
        task: what it is for.
        shape: input height, width, channels.
        classes: names of its classes.
        resize_filter: of its card.
        notes: where it came from.
        does: what it does to every picture.
        run: (N, H, W, C) pictures of that shape -> what every head gives.
        reads: what a byte of the input stands for, where the network is somebody else's.
    """

    task: Task
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    resize_filter: str
    notes: tuple[str, ...]
    does: list[str]
    run: Callable[[Pictures], Outputs]
    reads: Reads | None = None


def check_backend(backend: str | None) -> None:
    """Refuse a backend that runs no network by itself.

    Raises:
        UsageError: it is none of ``RUNNERS``.
    """
    if backend not in (None, *RUNNERS):
        raise UsageError(f"--backend: found '{backend}', expected cpu, golden or torch")


def open_runner(
    model: Path, backend: str | None, command: str, threads: int, progress: Progress
) -> Runner:
    """Return a network, ready to run.

    Args:
        model: build folder, checkpoint or packed model.
        backend: one of ``RUNNERS``; None for "cpu", or for "torch" where a checkpoint has no
            integers.
        command: command of ``andpop`` that asks.
        threads: CPU threads.
        progress: told when a checkpoint is packed first.

    Raises:
        UsageError: the backend needs what the model lacks.
    """
    checkpoint = checkpoint_of(model)
    if backend is None:
        whole = checkpoint is None or read_card(checkpoint).frozen
        backend = "cpu" if whole else "torch"
    if backend == "golden" and not model.is_dir():
        raise UsageError(f"{model}: --backend golden needs a build folder; run andpop build")
    if backend == "torch":
        if checkpoint is None:
            raise UsageError(
                f"{model}: found no checkpoint, expected one for --backend torch; use --backend cpu"
            )
        return _torch(model, checkpoint, command)
    cpu = load(model, progress)
    if backend == "cpu":
        return _of_packed(cpu, lambda pictures: cpu.outputs(pictures, threads))
    require_hardware(command)
    from .backends.golden import Golden

    return _of_packed(cpu, Golden(open_build(model)).outputs)


def _of_packed(cpu: CpuModel, run: Callable[[Pictures], Outputs]) -> Runner:
    card = cpu.classes, cpu.resize_filter, cpu.notes, cpu.does
    return Runner(cpu.task, cpu.shape, *card, run, cpu.reads)


def _torch(model: Path, checkpoint: Path, command: str) -> Runner:
    require(command, "torch", "brevitas")
    from .torch_network import torch_outputs

    card = read_card(checkpoint)
    task, size = task_of_network(card.network), card.input
    # A build may be of another size than its checkpoint was trained on.
    cpu = load(model) if model.is_dir() else None
    shape = (size.height, size.width, size.channels) if cpu is None else cpu.shape
    does = reflection(card.network, card.config, *shape[:2])
    notes = () if cpu is None else cpu.notes
    run = torch_outputs(checkpoint, task)
    return Runner(task, shape, tuple(card.classes), card.resize, notes, does, run)
