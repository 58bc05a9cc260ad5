# SPDX-License-Identifier: Apache-2.0
"""The state file of a run: where it stood after an epoch, and whose it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ..files import replace_file
from .recipe import Progress

REMEDY = "delete it to start anew"


class TrainingError(RuntimeError):
    """A run that cannot start, resume or go on; the message is one line."""


@dataclass(frozen=True)
class State:
    """Where a run stands: phase, epochs done in it, every epoch so far, tensors.

    Tensors are named ``net.<name>`` and ``optimizer.<parameter>.<moment>``.
    """

    phase: int
    epoch: int
    history: list[Progress]
    tensors: dict[str, Tensor]

    @classmethod
    def of(
        cls,
        phase: int,
        epoch: int,
        history: list[Progress],
        net: nn.Module,
        optimizer: torch.optim.Optimizer,
    ) -> State:
        """Return the state of a run."""
        tensors = {f"net.{k}": v for k, v in net.state_dict().items()}
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{k}": v for k, v in state.items()}
        return cls(phase, epoch, history, tensors)

    def write(self, file: Path, identity: Mapping[str, Any]) -> None:
        """Write the state; ``identity`` must agree when it is read."""
        position = {
            "identity": identity,
            "phase": self.phase,
            "epoch": self.epoch,
            "history": [asdict(p) for p in self.history],
        }
        contiguous = {k: v.detach().cpu().contiguous() for k, v in self.tensors.items()}
        replace_file(file, save(contiguous, metadata={"position": json.dumps(position)}))

    @classmethod
    def read(cls, file: Path, identity: Mapping[str, Any]) -> State:
        """Read a state.

        Raises:
            TrainingError: the file is damaged or of another run.
        """
        try:
            with safe_open(file, framework="pt") as stream:
                position = json.loads(stream.metadata()["position"])
                tensors = {k: stream.get_tensor(k) for k in stream.keys()}  # noqa: SIM118
            history = [Progress(**p) for p in position["history"]]
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as e:
            raise TrainingError(f"{file}: cannot be read ({e}); {REMEDY}") from e
        differing = [k for k in identity if position["identity"].get(k) != identity[k]]
        if differing:
            raise TrainingError(
                f"{file}: belongs to a run with other {', '.join(differing)}; {REMEDY}"
            )
        return cls(position["phase"], position["epoch"], history, tensors)

    def restore(self, net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Put the tensors back into a network and the optimiser of its phase."""
        net.load_state_dict(
            {k.removeprefix("net."): v for k, v in self.tensors.items() if k.startswith("net.")}
        )
        parameters = list(net.parameters())
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in self.tensors.items():
            if key.startswith("optimizer."):
                _, index, name = key.split(".")
                if name != "step":
                    # Fused Adam walks memory: a moment must lie as its parameter does.
                    value = torch.empty_like(parameters[int(index)]).copy_(value)
                moments.setdefault(int(index), {})[name] = value
        whole = optimizer.state_dict()
        whole["state"] = moments
        optimizer.load_state_dict(whole)
