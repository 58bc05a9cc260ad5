# SPDX-License-Identifier: Apache-2.0
"""The networks that the tests of the whole way take: every shipped one, and a random small one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from andpop.flows import api
from andpop.models.build import build, save_network
from andpop.quant import synthetic
from andpop.quant.checkpoint import Card, InputSize
from PIL import Image

BACKENDS = ("torch", "qonnx", "golden", "cpu", "rtl")


@dataclass(frozen=True)
class Subject:
    """A network and what its way from checkpoint to Verilator must show at least.

    Attributes:
        name: a checkpoint of the zoo, or ``"random"``.
        side: rows and columns of the build that ``make test`` simulates.
        target_cycles: what it is folded to; None for the command's own choice.
        pictures: pictures that every backend sees.
        layers: layers that every backend must exceed.
        values: compared values that every backend must exceed.
        real: folder of real pictures below ANDPOP_DATA, for shipped ones.
        count: how many of them.
        qonnx: how many of these QONNX runs, which is slow.
        masks: it gives a class for each pixel.
    """

    name: str
    side: int
    target_cycles: int | None
    pictures: int
    layers: int
    values: int
    real: str = ""
    count: int = 300
    qonnx: int = 10
    masks: bool = False

    @property
    def answers(self) -> int:
        """Values that a picture gets: one class, or one for each pixel."""
        return self.side**2 if self.masks else 1

    def checkpoint(self, folder: Path) -> Path:
        """Return its checkpoint; a random one is made in ``folder``."""
        if self.real:
            return api.ZOO / f"{self.name}.safetensors"
        path = folder / "random.safetensors"
        return random_checkpoint(path, "bi-shufflenet", {"width": 0.25}, (self.side, self.side, 1))

    def draw(self, folder: Path) -> Path:
        """Fill ``folder`` with synthetic pictures of its size, black and white among them."""
        if self.masks:
            synthetic.generate_masked(folder, per_class=1, size=self.side, seed=2)
        else:
            draw_surfaces(folder, self.side)
        return folder


RANDOM = Subject("random", 32, 6000, pictures=8, layers=200, values=100_000)
SHIPPED = (
    Subject("bi-shufflenet-neu", 64, None, 4, 200, 300_000, real="neu-det/images", qonnx=1),
    Subject("pa-resnet-small-m4n5-neu", 32, 16_000, 8, 40, 50_000, real="neu-det/images"),
    Subject("pa-resnet-small-m8n7-neu", 32, 16_000, 8, 40, 50_000, real="neu-det/images"),
    Subject(
        "u-binet-k4-mt", 64, None, 2, 40, 1_000_000,
        real="magnetic-tile/MT_Crack/Imgs", count=20, qonnx=2, masks=True,
    ),
)  # fmt: skip


def grouped(*subjects: Subject) -> list[Any]:
    """Return subjects as parameters; one worker builds a network once for all its tests."""
    return [pytest.param(s, id=s.name, marks=pytest.mark.xdist_group(s.name)) for s in subjects]


def draw_surfaces(folder: Path, side: int) -> Path:
    """Fill ``folder`` with a surface of each class, a black and a white picture."""
    synthetic.generate(folder, 1, side, seed=5)
    for name, value in {"black": 0, "white": 255}.items():
        Image.new("L", (side, side), value).save(folder / f"{name}.png")
    return folder


def classes_of(number: int) -> list[str]:
    """Return names of so many classes: those of the synthetic surfaces where they fit."""
    if number == len(synthetic.CLASSES):
        return list(synthetic.CLASSES)
    return [f"class {i}" for i in range(number)]


def random_checkpoint(
    path: Path, network: str, config: Mapping[str, Any], size: tuple[int, int, int]
) -> Path:
    """Write a frozen network with random weights and statistics, gammas of both signs and 0."""
    height, width, channels = size
    torch.manual_seed(3)
    net = build(network, config)
    net.train()
    with torch.no_grad():
        for _ in range(3):
            net(torch.randint(0, 256, (4, channels, height, width)).float())
        for name, value in net.named_parameters():
            if value.ndim == 1 and "endpoints" not in name:
                value.add_(0.1 * torch.randn_like(value))
            if name.endswith("gamma"):
                value[::5] *= -1
                value[3] = 0
    net.freeze()
    card = Card(
        network=network,
        config=dict(config),
        input=InputSize(height=height, width=width, channels=channels),
        classes=classes_of(net.config.classes),
        frozen=True,
    )
    save_network(net, path, card)
    return path


def check_comparison(result: dict[str, Any], subject: Subject) -> None:
    """Check what ``api.compare`` found of ``BACKENDS``: no bit differs, and none saw too little."""
    print(f"{result['values_compared']} values compared, {result['values_differing']} differing")
    assert result["first_divergence"] is None
    assert result["values_differing"] == 0
    per_backend = {row["backend"]: row for row in result["backends"]}
    assert set(per_backend) == set(BACKENDS) - {"golden"}
    for row in per_backend.values():
        assert row["pictures"] == subject.pictures
        assert row["layers"] > subject.layers
        assert row["values_compared"] > subject.values
