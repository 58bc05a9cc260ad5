# SPDX-License-Identifier: Apache-2.0
"""Masks: defect or not for every pixel of a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data import mask_of
from ..data.layout import Dataset, Mask
from ..folders import Folders
from ..names import printable
from ..samples.pairs import Notes, find_pairs, load_pairs, mask_at, resize_mask
from .mask_lessons import MaskLessons, prepare
from .overlays import check_names, difference, grey, target_of, write_mask
from .pixels import FIGURES, score
from .task import Exam, Outputs, Pictures, ReportRow, Shown, Table, Task

CLASSES = ("background", "defect")
"""What a pixel can be, in the order of the logits."""


class PairExam(Exam):
    """Masks beside those that were drawn by hand."""

    def __init__(self, dataset: Dataset, size: tuple[int, int, int], filter: str) -> None:
        height, width, self._channels = size
        self._dataset = dataset
        self._notes = Notes(height, width, filter)
        self._found: list[Mask] = []
        self._truth: list[Mask] = []

    def __len__(self) -> int:
        return len(self._dataset.samples)

    def read(self, start: int, stop: int) -> Pictures:
        part = self._dataset.samples[start:stop]
        pictures, masks = load_pairs(part, self._channels, self._notes)
        self._truth.append(masks)
        return pictures

    def take(self, outputs: Outputs) -> None:
        self._found.append(defects(outputs))

    def score(self) -> dict[str, Any]:
        labels = [sample.label for sample in self._dataset.samples]
        found, truth = np.concatenate(self._found), np.concatenate(self._truth)
        return score(found, truth, labels, self._dataset.classes)

    def notes(self) -> list[str]:
        return self._notes.lines()


class Masks(Task):
    """A mask per picture: the pixels that are defect."""

    name = "masks"
    heads = ("class_map",)
    predicts = "masks"
    answer = "mask"
    last_word = "last of the mask"
    figure = "dice"
    kinds = True
    draws = True
    about = (
        "Masks of the golden model, with which the backends are compared. In a difference white is "
        "found defect, red a false alarm, blue a missed pixel; the truth is the mask that lies "
        "beside the picture."
    )

    def find(self, root: Path, only: Sequence[str] = ()) -> Dataset:
        """See ``Task.find``; classes are kinds of defect."""
        return find_pairs(root, only)

    def classes(self, dataset: Dataset) -> tuple[str, ...]:
        """See ``Task.classes``: every network tells defects from the background."""
        return CLASSES

    def prepare(
        self,
        dataset: Dataset,
        height: int,
        width: int,
        channels: int,
        *,
        validation: float,
        seed: int,
    ) -> MaskLessons:
        """See ``Task.prepare``."""
        return prepare(dataset, height, width, channels, validation=validation, seed=seed)

    def exam(
        self, dataset: Dataset, classes: Sequence[str], size: tuple[int, int, int], filter: str
    ) -> PairExam:
        """See ``Task.exam``."""
        return PairExam(dataset, size, filter)

    def show_score(self, score: Mapping[str, Any]) -> list[Shown]:
        """See ``Task.show_score``: a column over all pictures, and one per kind of defect."""
        columns = {"all": score, **score["per_class"]}
        rows: list[tuple[object, ...]] = [("pictures", *(c["n"] for c in columns.values()))]
        for name in FIGURES:
            values = (column[name] for column in columns.values())
            rows.append((name, *("-" if value is None else f"{value:.4f}" for value in values)))
        return [Table("Pixels of the masks", ("", *columns), rows)]

    def trained(self, known: Mapping[str, Any]) -> str:
        """See ``Task.trained``."""
        dice = known["dice"]
        return (
            f"gets {100 * known['accuracy']:.2f} % of the pixels of {known['validation_pictures']} "
            f"validation pictures right at {'x'.join(map(str, known['input']))}"
            + ("" if dice is None else f", with a Dice coefficient of {dice:.4f}")
        )

    def check_folder(self, folder: Path | None, images: Path, paths: Sequence[Path]) -> None:
        """See ``Task.check_folder``."""
        check_names(folder, images, paths)

    def predictions(
        self,
        outputs: Outputs,
        classes: Sequence[str],
        images: Path,
        paths: Sequence[Path],
        folder: Path | None = None,
    ) -> list[dict[str, Any]]:
        """Return ``[{picture, defect_pixels, share, mask, overlay}]``.

        Pixels are counted at the network's size; the last two are None without ``folder``.
        """
        rows = []
        for path, mask in zip(paths, defects(outputs), strict=True):
            files: tuple[Path, Path] | tuple[None, None] = (None, None)
            if folder is not None:
                files = write_mask(target_of(folder, images, path), path, mask)
            count = int(np.count_nonzero(mask))
            rows.append(
                {
                    "picture": str(path),
                    "defect_pixels": count,
                    "share": count / mask.size,
                    "mask": files[0] and str(files[0]),
                    "overlay": files[1] and str(files[1]),
                }
            )
        return rows

    def show_predictions(self, predictions: Sequence[Mapping[str, Any]]) -> list[Shown]:
        """See ``Task.show_predictions``: defect pixels of every picture."""
        rows = [(p["picture"], p["defect_pixels"], f"{p['share']:.4f}") for p in predictions]
        columns = ("picture", "defect pixels", "share")
        shown: list[Shown] = [Table("Defects, counted at the network's size", columns, list(rows))]
        written = [p["mask"] for p in predictions if p["mask"] is not None]
        if written:
            example = printable(written[0])
            shown.append(f"{len(written)} masks and overlays written, e.g. {example}")
        return shown

    def report_rows(
        self,
        outputs: Outputs,
        classes: Sequence[str],
        names: Sequence[str],
        pictures: Pictures,
        sources: Sequence[tuple[Path, tuple[int, int]]] = (),
    ) -> list[ReportRow]:
        """See ``Task.report_rows``: input, truth and difference where a mask is known, mask."""
        found, folders = defects(outputs), Folders()
        rows = []
        for i, name in enumerate(names):
            mask = found[i]
            truth = _truth(*sources[i], folders, mask.shape) if sources else None
            panels = [("input", pictures[i])]
            if truth is not None:
                panels.append(("truth", grey(truth)))
            panels.append(("mask", grey(mask)))
            if truth is not None:
                panels.append(("difference", difference(mask, truth)))
            count = int(np.count_nonzero(mask))
            text = f"{count:,} defect pixels, {100 * count / mask.size:.2f} %"
            rows.append(ReportRow(name, text, panels))
        return rows


def defects(outputs: Outputs) -> Mask:
    """Return the defects (N, H, W): pixels of every class but 0, the background."""
    found = next(output.values for output in outputs.values() if output.kind == "class_map")
    mask: Mask = found != 0
    return mask


def _truth(
    path: Path, size: tuple[int, int], folders: Folders, shape: tuple[int, ...]
) -> Mask | None:
    """Return the mask beside a picture of its own ``size`` at ``shape``, None if there is none."""
    sample = mask_of(path, folders)
    return None if sample is None else resize_mask(mask_at(sample, size), *shape)
