# SPDX-License-Identifier: Apache-2.0
"""Trains a quantised network on pictures: resumable, repeatable, frozen at the end.

The network comes as a ``Trainable``, pictures and what is to be learnt from them as a ``Task``;
this file knows neither by name. One run is up to three phases: real values, quantised values with
batch statistics, fine-tune with fixed statistics. Then ``freeze()``; the figures reported are the
frozen integer network's on pictures that no phase trained on, and the last epoch is what is kept:
nothing is selected by validation. A network that is real-valued by its configuration runs the same
phases and is never frozen.
"""

from __future__ import annotations

import ctypes
import io
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure
from pydantic import BaseModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from .checkpoint import replace_file
from .datasets import balanced_order
from .names import brief

EVALUATION_BATCH = 32
REAL_WEIGHT_DECAY = 1e-5
"""Weight decay of the real phase; 1-bit weights have no magnitude to decay."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Names of glibc's malloc.h."""
LARGEST_KEPT = 1 << 25
"""Bytes; the most that every glibc takes as its threshold for mapping, above a tensor's size."""
C_INT_MAX = (1 << 31) - 1


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


RANGES: dict[str, tuple[float, float]] = {
    "real_epochs": (0, 1_000_000),
    "epochs": (1, 1_000_000),
    "finetune_epochs": (0, 1_000_000),
    "warmup_epochs": (0, 1_000_000),
    "real_learning_rate": (1e-9, 10.0),
    "learning_rate": (1e-9, 10.0),
    "finetune_learning_rate": (1e-9, 10.0),
    "batch": (2, 65_536),
    "label_smoothing": (0.0, 0.5),
    "jitter": (0.0, 1.0),
    "seed": (0, (1 << 32) - 1),
    "threads": (1, 1024),
}
"""Least and most of every number of ``Options``."""


class OptionError(ValueError):
    """An option of the recipe that is out of range; the message is one line."""


@dataclass(frozen=True)
class Options:
    """The recipe.

    Attributes:
        real_epochs: epochs on real values, before the others.
        epochs: epochs on quantised values with batch statistics.
        finetune_epochs: epochs on quantised values with fixed statistics, after the others.
        real_learning_rate: learning rate of Adam on real values. It rises over the warm-up epochs
            and falls to 0 along a cosine.
        learning_rate: learning rate of Adam on quantised values; rises and falls likewise.
        finetune_learning_rate: learning rate of Adam with fixed statistics; falls to 0 along a
            cosine.
        warmup_epochs: epochs over which a learning rate rises, of a phase with batch statistics.
        batch: pictures per step.
        label_smoothing: share of the target that is spread over all classes, 0 to 0.5.
        jitter: how much gain and offset of a training picture may change, 0 to 1.
        seed: decides split, order, augmentation and initial weights.
        start: SHA-256 of the checkpoint the network starts from; empty for initial weights.
        threads: CPU threads of PyTorch, by default as many as PyTorch chooses.
        device: where to train, cpu or cuda.

    Raises:
        OptionError: a value is out of ``RANGES``, or the device is unknown.
    """

    real_epochs: int = 0
    epochs: int = 80
    finetune_epochs: int = 8
    real_learning_rate: float = 4e-3
    learning_rate: float = 2e-3
    finetune_learning_rate: float = 3e-4
    warmup_epochs: int = 2
    batch: int = 32
    label_smoothing: float = 0.1
    jitter: float = 0.2
    seed: int = 0
    start: str = ""
    threads: int | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            # Written so that NaN is refused too.
            if value is not None and not least <= value <= most:
                raise OptionError(
                    f"training: found {name} {brief(value)}, expected {least} to {most}"
                )
        if self.device not in ("cpu", "cuda"):
            raise OptionError(f"training: found device {brief(self.device)}, expected cpu or cuda")


Figures = dict[str, float | None]
"""Figures by name, from 0 to 1; None where nothing was there to measure."""


@dataclass(frozen=True)
class Progress:
    """State after an epoch, as the progress callback gets it."""

    phase: str
    epoch: int
    epochs: int
    loss: float
    figures: Figures
    """The task's figures on the validation pictures."""
    seconds: float


class Outcome(Protocol):
    """What every task reports of a network on the validation pictures."""

    @property
    def n(self) -> int:
        """Validation pictures."""

    @property
    def figures(self) -> Figures:
        """Figures by name."""

    def summary(self) -> dict[str, Any]:
        """Return the figures and the numbers behind them, ready for JSON."""

    @property
    def history(self) -> list[Progress]:
        """Every epoch."""


R = TypeVar("R", bound=Outcome)


class Task(Protocol[R]):
    """What a network is to learn: pictures with their truth, a loss, figures of success."""

    @property
    def figure(self) -> str:
        """Name of the figure that the curve shows."""

    @property
    def train_labels(self) -> Sequence[int]:
        """Class of every training picture; an epoch draws all classes equally often."""

    @property
    def val_pictures(self) -> npt.NDArray[np.uint8]:
        """(N, H, W, C) pictures that are never trained on."""

    def views(
        self, chosen: Sequence[int], rngs: Sequence[np.random.Generator], jitter: float
    ) -> tuple[npt.NDArray[np.uint8], Tensor]:
        """Return augmented training pictures (B, H, W, C) and their truth."""

    def loss(self, logits: Tensor, truth: Tensor, options: Options) -> Tensor:
        """Return the scalar to minimise."""

    def result(self, found: npt.NDArray[np.int64], history: Sequence[Progress]) -> R:
        """Return the figures of predictions on the validation pictures."""

    def metrics(self, result: R) -> dict[str, Any]:
        """Return what the metrics file says about a result, ready for JSON."""

    def identity(self) -> dict[str, Any]:
        """Return what tells these pictures from others when a run is resumed, ready for JSON."""


class TrainingError(RuntimeError):
    """A run that cannot start, resume or go on; the message is one line."""


def train(
    net: nn.Module,
    task: Task[R],
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
        task: pictures and what to learn from them.
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
        run = _Run(net, task, options, state_file)
        run.resume()
        run.go(progress)
        if cast(Trainable, net).freezable:
            cast(Trainable, net).freeze()
        result = evaluate(net, task, run.history, options.device)
    net.to("cpu")
    replace_file(
        checkpoint.with_suffix(".metrics.json"),
        (json.dumps(_metrics(task, result, options), indent=1) + "\n").encode(),
    )
    _plot(result, task.figure, checkpoint.with_suffix(".curve.png"))
    if save is not None:
        save(result)
    state_file.unlink(missing_ok=True)
    return result


def predict(
    net: nn.Module, pictures: npt.NDArray[np.uint8], device: str = "cpu"
) -> npt.NDArray[np.int64]:
    """Return the class of each of (N, H, W, C) uint8 pictures, or of each pixel (N, H, W).

    Ties go to the lowest index.
    """
    net.eval()
    out = []
    with torch.inference_mode():
        for start in range(0, len(pictures), EVALUATION_BATCH):
            logits = net(_to_input(pictures[start : start + EVALUATION_BATCH], device))
            out.append(logits.cpu().numpy().argmax(axis=1))
    return np.concatenate(out).astype(np.int64)


def evaluate(net: nn.Module, task: Task[R], history: Sequence[Progress], device: str = "cpu") -> R:
    """Return the figures of a network on the validation pictures."""
    return task.result(predict(net, task.val_pictures, device), history)


@dataclass(frozen=True)
class _Phase:
    name: str
    epochs: int
    learning_rate: float
    warmup_epochs: int
    weight_decay: float
    real: bool
    fixed_statistics: bool

    def rate(self, step: int, steps_per_epoch: int) -> float:
        """Learning rate of a step: linear warm-up, then a cosine to 0."""
        warmup = self.warmup_epochs * steps_per_epoch
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        rest = max(self.epochs * steps_per_epoch - warmup, 1)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / rest))


def _phases(options: Options) -> list[_Phase]:
    warmup = options.warmup_epochs
    plan = [
        _Phase(
            "real values",
            options.real_epochs,
            options.real_learning_rate,
            warmup,
            REAL_WEIGHT_DECAY,
            real=True,
            fixed_statistics=False,
        ),
        _Phase(
            "batch statistics",
            options.epochs,
            options.learning_rate,
            warmup,
            0.0,
            real=False,
            fixed_statistics=False,
        ),
        _Phase(
            "fixed statistics",
            options.finetune_epochs,
            options.finetune_learning_rate,
            0,
            0.0,
            real=False,
            fixed_statistics=True,
        ),
    ]
    return [phase for phase in plan if phase.epochs]


class _Run(Generic[R]):
    """The position of a run: network, optimiser, phase and epoch, history."""

    def __init__(self, net: nn.Module, task: Task[R], options: Options, state_file: Path) -> None:
        self.net = net.to(options.device)
        # PyTorch's stubs know no overload of Module.to with a memory format.
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.task = task
        self.options = options
        self.state_file = state_file
        self.phases = _phases(options)
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
            figures = evaluate(self.net, self.task, [], self.options.device).figures
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

    def _train_epoch(self, phase: _Phase) -> float:
        """Run one epoch of the current phase and return its mean loss."""
        options, task = self.options, self.task
        number = len(self.history)
        order = balanced_order(task.train_labels, options.seed, number).tolist()
        # The last batch is dropped when short: batch statistics of a few pictures mislead BN.
        steps = max(len(order) // options.batch, 1)
        self.net.train()
        total = 0.0
        for step in range(steps):
            chosen = order[step * options.batch : (step + 1) * options.batch]
            rngs = [
                np.random.default_rng([options.seed, number, step, j]) for j in range(len(chosen))
            ]
            views, truth = task.views(chosen, rngs, options.jitter)
            for group in self.optimizer.param_groups:
                group["lr"] = phase.rate(self.epoch * steps + step, steps)
            self.optimizer.zero_grad(set_to_none=True)
            logits = self.net(_to_input(views, options.device))
            loss = task.loss(logits, truth.to(options.device), options)
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
                    **self.task.identity(),
                }
            )
        )

    def _save(self) -> None:
        tensors = {f"net.{k}": v for k, v in self.net.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{k}": v for k, v in state.items()}
        position = {
            "identity": self._identity(),
            "phase": self.phase,
            "epoch": self.epoch,
            "history": [asdict(p) for p in self.history],
        }
        contiguous = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
        replace_file(self.state_file, save(contiguous, metadata={"position": json.dumps(position)}))

    def resume(self) -> None:
        """Go to where the state file stopped, if there is one.

        Raises:
            TrainingError: the file is damaged or of another run.
        """
        if not self.state_file.exists():
            return
        remedy = "delete it to start anew"
        try:
            with safe_open(self.state_file, framework="pt") as file:
                position = json.loads(file.metadata()["position"])
                tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
            history = [Progress(**p) for p in position["history"]]
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as e:
            raise TrainingError(f"{self.state_file}: cannot be read ({e}); {remedy}") from e
        mine = self._identity()
        differing = [k for k in mine if position["identity"].get(k) != mine[k]]
        if differing:
            raise TrainingError(
                f"{self.state_file}: belongs to a run with other {', '.join(differing)}; {remedy}"
            )
        self.phase, self.epoch = position["phase"], position["epoch"]
        self.history = history
        self._begin_phase()
        self.net.load_state_dict(
            {k.removeprefix("net."): v for k, v in tensors.items() if k.startswith("net.")}
        )
        parameters = list(self.net.parameters())
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("optimizer."):
                _, index, name = key.split(".")
                if name != "step":
                    # Fused Adam walks memory: a moment must lie as its parameter does.
                    value = torch.empty_like(parameters[int(index)]).copy_(value)
                moments.setdefault(int(index), {})[name] = value
        whole = self.optimizer.state_dict()
        whole["state"] = moments
        self.optimizer.load_state_dict(whole)


def _to_input(pictures: npt.NDArray[np.uint8], device: str) -> Tensor:
    """Turn (N, H, W, C) uint8 into the (N, C, H, W) floats a network takes, channels last."""
    return torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).float()


def adam(net: nn.Module, learning_rate: float, weight_decay: float = 0.0) -> torch.optim.Adam:
    """Return the optimiser of a phase; fused, because a network has hundreds of small tensors."""
    return torch.optim.Adam(
        net.parameters(), lr=learning_rate, weight_decay=weight_decay, fused=True
    )


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


def _metrics(task: Task[R], result: R, options: Options) -> dict[str, Any]:
    return {
        **task.metrics(result),
        "options": asdict(options),
        "seconds": sum(p.seconds for p in result.history),
        "torch": str(torch.__version__),
        "history": [_flat(p) for p in result.history],
    }


def _flat(progress: Progress) -> dict[str, Any]:
    values = asdict(progress)
    figures, seconds = values.pop("figures"), values.pop("seconds")
    return {**values, **figures, "seconds": seconds}


def _plot(result: Outcome, figure: str, path: Path) -> None:
    """Draw loss and one figure on the validation pictures over the epochs."""
    chart = Figure(figsize=(7, 4), layout="constrained")
    left = chart.subplots()
    epochs = [p.epoch for p in result.history]
    left.plot(epochs, [p.loss for p in result.history], color="tab:orange", label="training loss")
    left.set_xlabel("epoch")
    left.set_ylabel("training loss")
    right = left.twinx()
    right.plot(
        epochs,
        [_percent(p.figures[figure]) for p in result.history],
        color="tab:blue",
        label=f"validation {figure} of an epoch",
    )
    end = _percent(result.figures[figure])
    right.axhline(end, color="tab:blue", linestyle=":", label="in the end")
    right.set_ylabel(f"validation {figure}, %")
    chart.legend(loc="outside upper center", ncols=3, fontsize="small")
    buffer = io.BytesIO()
    chart.savefig(buffer, format="png", dpi=100)
    replace_file(path, buffer.getvalue())


def _percent(share: float | None) -> float:
    return math.nan if share is None else 100 * share
