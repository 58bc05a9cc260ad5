# SPDX-License-Identifier: Apache-2.0
"""Trains a quantised network on pictures: resumable, repeatable, frozen at the end.

The network comes as a ``Trainable``, pictures and what is to be learnt from them as ``Lessons``;
this file knows neither by name. One run is up to three phases: real values, quantised values with
batch statistics, fine-tune with fixed statistics. Then ``freeze()``; the figures reported are the
frozen integer network's on pictures that no phase trained on, and the last epoch is what is kept:
nothing is selected by validation. A network that is real-valued by its configuration runs the same
phases and is never frozen.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from ..files import replace_file
from ..samples.split import balanced_order
from .curve import plot
from .lessons import Lessons, R, largest
from .metrics import metrics_text
from .phases import Phase, phases_of
from .process import cpu_settings
from .recipe import Options, Progress
from .state import State, TrainingError

EVALUATION_BATCH = 32


class Trainable(Protocol):
    """What training asks of a network beyond ``nn.Module``."""

    config: BaseModel
    """Tells networks of equal shapes apart when a run is resumed."""

    @property
    def freezable(self) -> bool:
        """False where the configuration has no integers: real values, or codes too wide."""

    def set_real(self, on: bool) -> None:
        """Choose real or quantised values; without effect where ``freezable`` is False."""

    def freeze_bn(self) -> None:
        """Fix the batch-norm statistics."""

    def freeze(self) -> None:
        """Turn every constant into integers."""


def train(
    net: nn.Module,
    lessons: Lessons[R],
    options: Options,
    checkpoint: Path,
    progress: Callable[[Progress], None] | None = None,
    save: Callable[[R], None] | None = None,
) -> R:
    """Train a network and freeze it (unless it is a real-valued one), in place.

    Beside ``checkpoint`` (which ``save`` writes) appear ``<stem>.metrics.json`` and
    ``<stem>.curve.png``, and while the run lasts ``<stem>.state.safetensors``, from which the
    same call goes on after an interruption. On a CPU with the same number of threads the result is
    the same bit by bit, interrupted or not.

    Args:
        net: network that is ``Trainable``, as built; its initial weights matter.
        lessons: pictures and what to learn from them.
        options: recipe.
        checkpoint: path the checkpoint will have.
        progress: called after every epoch.
        save: called once the network is final; the state file outlives it if it fails.

    Raises:
        TrainingError: the state file does not belong to this run, or the loss became NaN.
        OSError: the folder of the checkpoint cannot be written; noticed before the first epoch.
    """
    if options.device == "cuda" and not torch.cuda.is_available():
        raise TrainingError("found no CUDA device, expected one; use --device cpu")
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=checkpoint.parent):
        pass
    state_file = checkpoint.with_suffix(".state.safetensors")
    with cpu_settings(options.threads):
        run = _Run(net, lessons, options, state_file)
        run.resume()
        run.go(progress)
        if cast(Trainable, net).freezable:
            cast(Trainable, net).freeze()
        result = evaluate(net, lessons, run.history, options.device)
    net.to("cpu")
    metrics = metrics_text(
        lessons.metrics(result), result.history, lessons.figure, options, str(torch.__version__)
    )
    replace_file(checkpoint.with_suffix(".metrics.json"), metrics.encode())
    plot(result, lessons.figure, checkpoint.with_suffix(".curve.png"))
    if save is not None:
        save(result)
    state_file.unlink(missing_ok=True)
    return result


def predict(
    net: nn.Module,
    pictures: npt.NDArray[np.uint8],
    device: str = "cpu",
    decide: Callable[[npt.NDArray[Any]], npt.NDArray[np.int64]] = largest,
) -> npt.NDArray[np.int64]:
    """Return what a network decides on (N, H, W, C) uint8 pictures.

    By default the class of each picture, (N,), or of each pixel, (N, H, W).
    """
    net.eval()
    out = []
    with torch.inference_mode():
        for start in range(0, len(pictures), EVALUATION_BATCH):
            logits = net(_to_input(pictures[start : start + EVALUATION_BATCH], device))
            out.append(decide(logits.cpu().numpy()))
    return np.concatenate(out)


def evaluate(
    net: nn.Module, lessons: Lessons[R], history: Sequence[Progress], device: str = "cpu"
) -> R:
    """Return the figures of a network on the validation pictures."""
    found = predict(net, lessons.val_pictures, device, lessons.decide)
    return lessons.result(found, history)


class _Run(Generic[R]):
    """The position of a run: network, optimiser, phase and epoch, history."""

    def __init__(
        self, net: nn.Module, lessons: Lessons[R], options: Options, state_file: Path
    ) -> None:
        self.net = net.to(options.device)
        # PyTorch's stubs know no overload of Module.to with a memory format.
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.lessons = lessons
        self.options = options
        self.state_file = state_file
        self.phases = phases_of(options)
        self.phase = 0
        self.epoch = 0
        self.history: list[Progress] = []
        self._begin_phase()

    def go(self, progress: Callable[[Progress], None] | None) -> None:
        """Run every epoch that is left, saving the state after each."""
        while self.phase < len(self.phases):
            phase = self.phases[self.phase]
            began = time.perf_counter()
            loss = self._train_epoch(phase)
            figures = evaluate(self.net, self.lessons, [], self.options.device).figures
            self.epoch += 1
            self.history.append(
                Progress(
                    phase=phase.name,
                    epoch=len(self.history) + 1,
                    epochs=sum(p.epochs for p in self.phases),
                    loss=loss,
                    figures=figures,
                    seconds=time.perf_counter() - began,
                )
            )
            if self.epoch == phase.epochs:
                self.phase, self.epoch = self.phase + 1, 0
                self._begin_phase()
            self._save()
            if progress is not None:
                progress(self.history[-1])

    def _begin_phase(self) -> None:
        # After the last phase its settings stay, so that a resumed run freezes the same network.
        phase = self.phases[min(self.phase, len(self.phases) - 1)]
        net = cast(Trainable, self.net)
        net.set_real(phase.real)
        if phase.fixed_statistics:
            net.freeze_bn()
        self.optimizer = adam(self.net, phase.learning_rate, phase.weight_decay)

    def _train_epoch(self, phase: Phase) -> float:
        """Run one epoch of the current phase and return its mean loss."""
        options, lessons = self.options, self.lessons
        number = len(self.history)
        order = balanced_order(lessons.train_labels, options.seed, number).tolist()
        # The last batch is dropped when short: batch statistics of a few pictures mislead BN.
        steps = max(len(order) // options.batch, 1)
        self.net.train()
        total = 0.0
        for step in range(steps):
            chosen = order[step * options.batch : (step + 1) * options.batch]
            rngs = [
                np.random.default_rng([options.seed, number, step, j]) for j in range(len(chosen))
            ]
            views, truth = lessons.views(chosen, rngs, options.jitter)
            for group in self.optimizer.param_groups:
                group["lr"] = phase.rate(self.epoch * steps + step, steps)
            self.optimizer.zero_grad(set_to_none=True)
            logits = self.net(_to_input(views, options.device))
            loss = lessons.loss(logits, truth.to(options.device), options)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise TrainingError(
                    f"epoch {number + 1}: the loss became {value}, expected a number; "
                    "lower the learning rate"
                )
            loss.backward()
            self.optimizer.step()
            total += value
        return total / steps

    def _identity(self) -> dict[str, Any]:
        """What must agree between the run that wrote a state and the one that reads it."""
        shapes = {k: list(v.shape) for k, v in self.net.state_dict().items()}
        return json.loads(
            json.dumps(
                {
                    "options": asdict(self.options),
                    "configuration": cast(Trainable, self.net).config.model_dump(mode="json"),
                    "shapes": shapes,
                    **self.lessons.identity(),
                }
            )
        )

    def _save(self) -> None:
        state = State.of(self.phase, self.epoch, self.history, self.net, self.optimizer)
        state.write(self.state_file, self._identity())

    def resume(self) -> None:
        """Go to where the state file stopped, if there is one.

        Raises:
            TrainingError: the file is damaged or of another run.
        """
        if not self.state_file.exists():
            return
        state = State.read(self.state_file, self._identity())
        self.phase, self.epoch, self.history = state.phase, state.epoch, state.history
        self._begin_phase()
        state.restore(self.net, self.optimizer)


def _to_input(pictures: npt.NDArray[np.uint8], device: str) -> Tensor:
    """Turn (N, H, W, C) uint8 into the (N, C, H, W) floats a network takes, channels last."""
    return torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).float()


def adam(net: nn.Module, learning_rate: float, weight_decay: float = 0.0) -> torch.optim.Adam:
    """Return the optimiser of a phase; fused, because a network has hundreds of small tensors."""
    return torch.optim.Adam(
        net.parameters(), lr=learning_rate, weight_decay=weight_decay, fused=True
    )
