# SPDX-License-Identifier: Apache-2.0
"""Learning masks: defect or not per pixel, Tversky + cross-entropy.

The Tversky index (Salehi et al. 2017) is TP / (TP + alpha FP + beta FN) of probabilities; with
beta above alpha a missed defect pixel costs more than a false one. Defects cover a percent of
Magnetic Tile's pixels, so that TP, FP and FN are summed over the batch: most pictures alone have
no defect to divide by.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..data.layout import MASK_FILTER, MASK_THRESHOLD, Dataset, DatasetError, Mask
from ..files import replace_file
from ..names import printable
from ..pictures import Picture, resize
from ..samples.augment import augment_pair
from ..samples.pairs import Notes, load_pairs
from ..samples.reader import bounded
from ..samples.split import split
from ..training.lessons import largest
from ..training.recipe import Figures, Options, Progress
from .overlays import difference
from .pixels import FIGURES, score

if TYPE_CHECKING:
    from torch import Tensor, nn

FALSE_POSITIVE, FALSE_NEGATIVE = 0.3, 0.7
"""Alpha and beta of the Tversky index; the paper gives none."""
CROSS_ENTROPY = 0.5
"""Weight of the cross-entropy beside 1 - Tversky index."""
SMOOTH = 1.0
"""Pixels added to both sides of the fraction: a batch without defects has a gradient too."""

EXAMPLES = 8
"""Rows of the picture of examples."""


def tversky_cross_entropy(logits: Tensor, truth: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Return 1 - Tversky index + 0.5 cross-entropy.

    Args:
        logits: (N, 2, H, W), background and defect.
        truth: (N, H, W) int64, 0 or 1.
        label_smoothing: of the cross-entropy.

    Returns:
        Scalar.
    """
    import torch
    from torch.nn import functional

    defect = truth.to(logits.dtype)
    # With two classes softmax is the logistic function of the difference.
    probability = torch.sigmoid(logits[:, 1] - logits[:, 0])
    tp = (probability * defect).sum()
    fp = probability.sum() - tp
    fn = defect.sum() - tp
    index = (tp + SMOOTH) / (tp + FALSE_POSITIVE * fp + FALSE_NEGATIVE * fn + SMOOTH)
    entropy = functional.cross_entropy(logits, truth, label_smoothing=label_smoothing)
    return 1.0 - index + CROSS_ENTROPY * entropy


@dataclass(frozen=True)
class Result:
    """Outcome of a run: ``score`` is what ``masks.score`` says of the validation pictures."""

    score: dict[str, Any]
    history: list[Progress]

    @property
    def n(self) -> int:
        """Validation pictures."""
        return int(self.score["n"])

    @property
    def figures(self) -> Figures:
        """The paper's figures over all pixels."""
        return {name: self.score[name] for name in FIGURES}

    def summary(self) -> dict[str, Any]:
        """Return the figures, over all pixels and per kind of defect."""
        return self.score


@dataclass(frozen=True)
class MaskLessons:
    """Pairs in memory: training ones at their own size, validation ones as the network sees them.

    ``classes`` and labels are kinds of defect: they balance the order of training and divide the
    figures; the network learns defect or not. ``notes`` say what was done to masks.
    """

    classes: tuple[str, ...]
    height: int
    width: int
    filter: str
    train_pictures: list[Picture]
    train_masks: list[Picture]
    train_labels: list[int]
    val_pictures: npt.NDArray[np.uint8]
    val_masks: Mask
    val_labels: list[int]
    val_names: list[str]
    notes: list[str]
    figure: str = "dice"

    def views(
        self, chosen: Sequence[int], rngs: Sequence[np.random.Generator], jitter: float
    ) -> tuple[npt.NDArray[np.uint8], Tensor]:
        """Return augmented pictures (B, H, W, C) and their masks (B, H, W), int64."""
        import torch

        size = self.height, self.width
        pairs = [
            augment_pair(
                self.train_pictures[i], self.train_masks[i], *size, rng, jitter, self.filter
            )
            for i, rng in zip(chosen, rngs, strict=True)
        ]
        pictures, masks = (np.stack(part) for part in zip(*pairs, strict=True))
        return pictures, torch.from_numpy(masks).long()

    def loss(self, logits: Tensor, truth: Tensor, options: Options) -> Tensor:
        """Tversky + cross-entropy of (B, 2, H, W) logits."""
        return tversky_cross_entropy(logits, truth, options.label_smoothing)

    decide = staticmethod(largest)

    def result(self, found: npt.NDArray[np.int64], history: Sequence[Progress]) -> Result:
        """Compare (N, H, W) predictions with the validation masks."""
        figures = score(found == 1, self.val_masks, self.val_labels, self.classes)
        return Result(figures, list(history))

    def metrics(self, result: Result) -> dict[str, Any]:
        """Return the figures, and what they were measured on."""
        return {
            **result.summary(),
            "training_pictures": len(self.train_pictures),
            "classes": list(self.classes),
            "notes": self.notes,
        }

    def identity(self) -> dict[str, Any]:
        """Return kinds of defect, size and split."""
        return {
            "classes": self.classes,
            "size": [self.height, self.width],
            "labels": [self.train_labels, self.val_labels],
            "validation": self.val_names,
        }

    def draw(self, net: nn.Module, path: Path) -> None:
        """Draw examples; see ``draw_examples``."""
        draw_examples(net, self, path)


def prepare(
    dataset: Dataset,
    height: int,
    width: int,
    channels: int,
    *,
    validation: float = 0.2,
    seed: int = 0,
    filter: str = "bilinear",
) -> MaskLessons:
    """Split a data set with masks and read its pairs; see ``Task.prepare``.

    ``filter`` is the resize filter of the pictures.

    Raises:
        DatasetError: a mask does not belong to its picture, or no mask shows a defect.
    """
    labels = [sample.label for sample in dataset.samples]
    train_index, val_index = split(labels, validation, seed)
    chosen = [dataset.samples[i] for i in val_index]
    notes = Notes(height, width, filter)
    val_pictures, val_masks = load_pairs(chosen, channels, notes)
    train_pictures, train_masks = [], []
    for i in train_index:
        picture, mask = notes.read(dataset.samples[i], channels)
        rows, columns = bounded(picture, height, width)
        train_pictures.append(resize(picture, rows, columns, filter))
        train_masks.append(resize(mask, rows, columns, MASK_FILTER))
    if not any((mask > MASK_THRESHOLD).any() for mask in train_masks):
        raise DatasetError(
            f"{dataset.root}: found no defect in the masks of {len(train_masks)} pictures to learn "
            "from, expected some; check the masks"
        )
    return MaskLessons(
        classes=dataset.classes,
        height=height,
        width=width,
        filter=filter,
        train_pictures=train_pictures,
        train_masks=train_masks,
        train_labels=[labels[i] for i in train_index],
        val_pictures=val_pictures,
        val_masks=val_masks,
        val_labels=[labels[i] for i in val_index],
        val_names=[s.path.relative_to(dataset.root).as_posix() for s in chosen],
        notes=notes.lines(),
    )


def draw_examples(net: nn.Module, lessons: MaskLessons, path: Path, device: str = "cpu") -> None:
    """Draw validation pictures beside truth, prediction and difference, as one PNG.

    The first pictures of every class in turn, up to ``EXAMPLES``. In the difference white is found
    defect, red a false alarm, blue a missed pixel.
    """
    from matplotlib.figure import Figure

    from ..training.run import predict

    chosen = _examples(lessons.val_labels)
    pictures, truth = lessons.val_pictures[chosen], lessons.val_masks[chosen]
    found = predict(net, pictures, device) == 1
    chart = Figure(figsize=(8, 2 * len(chosen)), layout="constrained")
    axes = chart.subplots(len(chosen), 4, squeeze=False)
    for row, i in enumerate(chosen):
        grey = pictures[row, :, :, 0] if pictures.shape[3] == 1 else pictures[row]
        panels = (grey, truth[row], found[row], difference(found[row], truth[row]))
        for axis, panel in zip(axes[row], panels, strict=True):
            axis.imshow(panel, cmap="gray", vmin=0, vmax=255 if panel is grey else 1)
            axis.set_xticks([])
            axis.set_yticks([])
        # A dollar in a class's name is no formula.
        name = printable(lessons.classes[lessons.val_labels[i]])
        axes[row, 0].set_ylabel(name, fontsize="small", parse_math=False)
    for axis, title in zip(axes[0], ("input", "truth", "prediction", "difference"), strict=True):
        axis.set_title(title, fontsize="small")
    buffer = io.BytesIO()
    chart.savefig(buffer, format="png", dpi=100)
    replace_file(path, buffer.getvalue())


def _examples(labels: Sequence[int]) -> list[int]:
    """Return indices of the first picture of every class, then the second, and so on."""
    rank: dict[int, int] = {}
    order = []
    for i, label in enumerate(labels):
        order.append((rank.get(label, 0), label, i))
        rank[label] = rank.get(label, 0) + 1
    return [i for _, _, i in sorted(order)[:EXAMPLES]]
