# SPDX-License-Identifier: Apache-2.0
"""What a command may be given as a model: a build folder, a checkpoint or a packed CPU model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..quant import tasks
from ..quant.card import Card, deciding, differing
from ..quant.checkpoint import CheckpointError, card_path, read_card
from ..quant.inputs import Reads
from ..quant.tasks.task import Behind, Output, Outputs, Task
from ..sim.cache import building, content_key
from .errors import MissingExtra, UsageError, require_hardware
from .facts import known_task, reflected, task_of_network
from .files import (
    CHECKPOINT,
    PACKED,
    PACKED_NAME,
    AnyPath,
    BuildFiles,
    checkpoint_of,
    open_build,
    sha256,
)
from .folder import STATE, reads_build
from .progress import Progress, silent

if TYPE_CHECKING:
    from ..hw.cpu.engine import Engine


def _open_packed(path: Path, progress: Progress) -> tuple[Path, Engine, list[str]]:
    """Open the packed CPU model of a build, a checkpoint or a packed model.

    A checkpoint uses the packed model beside it if that was made from it and from its card;
    otherwise it is compiled once into the cache (needs the extras train and hw).

    Returns:
        The packed model, the engine that runs it, and what has to be said about the choice.

    Raises:
        UsageError: the path is none of the three.
    """
    from ..hw.cpu.engine import Engine

    if path.is_dir():
        files = open_build(path)
        if not files.packed.is_file():
            raise UsageError(f"{path}: the build has no CPU model yet; run andpop build again")
        return files.packed, Engine.load(files.packed), []
    if not path.is_file():
        raise UsageError(f"{path}: no such file; expected a build folder, {CHECKPOINT} or {PACKED}")
    if path.suffix == PACKED:
        return path, Engine.load(path), []
    if path.suffix != CHECKPOINT:
        raise UsageError(
            f"{path}: found a {path.suffix or 'suffixless'} file, expected a build folder, "
            f"a checkpoint ({CHECKPOINT}) or a packed model ({PACKED})"
        )
    beside = path.with_suffix(PACKED)
    notes = []
    if beside.is_file():
        found = _packed_from(beside, path)
        if not isinstance(found, str):
            return beside, found, []
        notes.append(f"{beside} is not used, {found}; {path} and its card are packed instead")
    return *_compile(path, notes, progress), notes


def _packed_from(packed: Path, checkpoint: Path) -> Engine | str:
    """Return a packed model if it was made from a checkpoint and its card, else why not."""
    from ..hw.cpu.engine import Engine
    from ..hw.cpu.plan import ModelError

    try:
        engine = Engine.load(packed)
    except ModelError as error:
        return f"it cannot be read ({str(error).removeprefix(f'{packed}: ')})"
    inside = engine.plan.card
    if inside is None or inside.checkpoint_sha256 != sha256(checkpoint):
        return "it was packed from another checkpoint"
    fields = deciding(differing(read_card(checkpoint), inside))
    return f"it was packed with another card ({', '.join(fields)})" if fields else engine


def _compile(checkpoint: Path, notes: list[str], progress: Progress) -> tuple[Path, Engine]:
    """Pack a checkpoint into the cache, or find it there; ``notes`` say why that is needed."""
    from ..hw.cpu.container import VERSION
    from ..hw.cpu.engine import Engine
    from ..hw.cpu.plan import PLAN_VERSION

    files = [sha256(file) for file in (checkpoint, card_path(checkpoint)) if file.is_file()]
    name = f"model{PACKED}"
    with building(content_key("packed", VERSION, PLAN_VERSION, *files)) as (final, work):
        if work is not None:
            progress("packing the checkpoint", 0, 1)
            try:
                require_hardware("infer")
            except MissingExtra as error:
                raise MissingExtra("; ".join([*notes, str(error)])) from error
            from . import compile as compiler

            compiler.compile_checkpoint(checkpoint, work / name)
            progress("packing the checkpoint", 1, 1)
    return final / name, Engine.load(final / name)


def _card_notes(packed: Path, inside: Card | None) -> list[str]:
    """Compare the card inside a packed model with those that lie where people would edit them.

    Returns:
        What has to be said: cards that are not used although their files are there.

    Raises:
        UsageError: one says something else that decides answers.
    """
    models = [packed]
    if packed.name == PACKED_NAME and (packed.parent / STATE).is_file():
        models.append(BuildFiles(packed.parent).checkpoint)
    return [note for model in models for note in _notes_of_card(model, packed, inside)]


def _notes_of_card(model: Path, packed: Path, inside: Card | None) -> list[str]:
    path = card_path(model)
    if not path.is_file():
        return []
    advice = (
        f"{packed.name} answers by the card inside it; put {path.name} right, "
        "or pack the model again with it: andpop build CKPT"
    )
    try:
        document = json.loads(path.read_bytes())
        if not isinstance(document, dict) or "network" not in document:
            return [f"{path} is no card and is not used"]
    except (OSError, ValueError, RecursionError) as error:
        return [f"{path} cannot be read as a card ({error}) and is not used"]
    try:
        beside = read_card(model)
    except CheckpointError as error:
        raise UsageError(f"{error}; {advice}") from error
    if inside is None:
        return [f"{path} is not used: {packed.name} was packed without a card"]
    fields = differing(beside, inside)
    if deciding(fields):
        raise UsageError(
            f"{path}: found other {', '.join(deciding(fields))} than in {packed.name}; {advice}"
        )
    if fields:
        return [f"{path} says other {', '.join(fields)} than {packed.name}, which is not changed"]
    return []


@dataclass(frozen=True)
class CpuModel:
    """A packed model in the CPU engine, with what its card says about pictures and classes."""

    engine: Engine
    shape: tuple[int, int, int]
    """Input height, width, channels."""
    classes: tuple[str, ...]
    """Class names; numbers where nobody gave any."""
    resize_filter: str
    notes: tuple[str, ...] = ()
    """What has to be said about where the model came from."""

    @property
    def reads(self) -> Reads | None:
        """What a byte of the input stands for, where the network is somebody else's."""
        return self.engine.plan.reads

    def run(
        self, pictures: npt.NDArray[np.uint8], threads: int = 1
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return class indices (N,) and integer logits (N, L) of (N, H, W, C) pictures."""
        return self.engine.run(pictures, threads=threads)

    def masks(self, pictures: npt.NDArray[np.uint8], threads: int = 1) -> npt.NDArray[np.int64]:
        """Return a class index per pixel (N, H, W) of (N, H, W, C) pictures."""
        return self.engine.masks(pictures, threads=threads)

    def outputs(self, pictures: npt.NDArray[np.uint8], threads: int = 1) -> Outputs:
        """Return what every head gives for (N, H, W, C) pictures; of one class also the logits."""
        heads = self.engine.heads
        if self.heads == ["class"]:
            (head,) = heads
            numbers = np.array(head.factors), np.array(head.offsets)
            behind = Behind(head.function, head.best, *numbers) if head.factors else None
            return {head.name: Output("class", *self.run(pictures, threads), behind)}
        found = self.engine.infer(pictures, threads)
        return {head.name: Output(head.kind, found[head.name]) for head in heads}

    @property
    def heads(self) -> list[str]:
        """Kind of every head."""
        return [head.kind for head in self.engine.heads]

    @property
    def known_task(self) -> Task | None:
        """What the network is for: by its card, else by its heads; None if no task has such."""
        known = None if self.card is None else known_task(self.card["network"])
        return tasks.of_heads(self.heads) if known is None else known

    @property
    def task(self) -> Task:
        """What the network is for.

        Raises:
            UsageError: no task has such heads.
        """
        task = self.known_task
        if task is None:
            known = "; ".join(", ".join(task.heads) for task in tasks.TASKS)
            raise UsageError(
                f"{self.engine.plan.name}: found heads of the kinds {', '.join(self.heads)}, "
                f"expected one of: {known}; use andpop.load(MODEL).engine.infer instead"
            )
        return task

    @property
    def does(self) -> list[str]:
        """Say what the network does to every picture."""
        plan = self.engine.plan
        for step in plan.steps:
            if step.op == "reflect":
                return reflected(*self.shape[:2], *plan.tensors[step.outputs[0]].shape[:2])
        return []

    @property
    def card(self) -> dict[str, Any] | None:
        """The card of the checkpoint the model was made from, if it had one."""
        return self.engine.card


def load_cpu_model(packed: Path) -> CpuModel:
    """Load a packed model into the CPU engine.

    Raises:
        ModelError: it is damaged or finds no classes.
        UsageError: the card beside it is another one.
    """
    from ..hw.cpu.engine import Engine

    return _cpu_model(packed, Engine.load(packed), [])


def _cpu_model(packed: Path, engine: Engine, notes: list[str]) -> CpuModel:
    card = engine.plan.card
    notes = [*notes, *_card_notes(packed, card)]
    if len(engine.input_shape) != 3:
        raise UsageError(
            f"{packed}: found inputs of shape {engine.input_shape}, "
            "expected pictures (height, width, channels)"
        )
    height, width, channels = engine.input_shape
    resize = card.resize if card is not None else "bilinear"
    model = CpuModel(engine, (height, width, channels), engine.classes, resize, tuple(notes))
    task = model.known_task
    if card is not None and task is not None and sorted(task.heads) != sorted(model.heads):
        raise UsageError(
            f"{packed}: found heads of the kinds {', '.join(model.heads)}, expected "
            f"{', '.join(task.heads)} as its card names {card.network}; it is another network's "
            "card"
        )
    return model


@reads_build
def load(path: AnyPath, progress: Progress = silent) -> CpuModel:
    """Load a build folder, a checkpoint or a packed model for the CPU.

    Example:
        >>> model = andpop.load("bi-shufflenet-neu.andpop")
        >>> classes, logits = model.run(pictures)
    """
    return _cpu_model(*_open_packed(Path(path), progress))


def task_of(path: Path) -> Task:
    """Return the task of a build folder, a checkpoint or a packed model."""
    checkpoint = checkpoint_of(path)
    if checkpoint is not None:
        return task_of_network(read_card(checkpoint).network)
    return load(path).task
