# SPDX-License-Identifier: Apache-2.0
"""Networks that predict masks: what runs them, figures by pixels, masks and overlays as PNG."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..models import registry
from ..quant.checkpoint import read_card, replace_file
from ..quant.data import choose_pictures, mask_of
from ..quant.folders import Folders
from ..quant.masks import Mask, Notes, find_pairs, load_pairs, read_pair, resize_mask, score
from ..quant.pictures import decode, resize
from .build import Progress
from .errors import UsageError, require
from .models import CpuModel, checkpoint_of, load, open_build, require_hardware
from .pictures import Pictures, read_all, upright_notes

CHUNK = 64
"""Pictures in memory at a time."""
REPORTED = 16
"""Most pictures in a report."""
MASK, OVERLAY = ".mask.png", ".overlay.png"
"""Ends of the names of written pictures."""
TINT = (255, 0, 0)
"""Colour that an overlay mixes half and half into defect pixels."""


@dataclass(frozen=True)
class Segmenter:
    """A network that predicts masks, on one backend."""

    shape: tuple[int, int, int]
    """Input height, width, channels."""
    resize_filter: str
    notes: tuple[str, ...]
    """What is done to every picture."""
    run: Callable[[Pictures], Mask]
    """(N, H, W, C) pictures of that shape -> (N, H, W) defects."""


def predicts(model: Path) -> bool:
    """True if a build folder, a checkpoint or a packed model is of a network of masks."""
    checkpoint = checkpoint_of(model)
    if checkpoint is not None:
        return registry.task(read_card(checkpoint).network) == "masks"
    return load(model).predicts_masks


def defects(found: npt.NDArray[np.int64]) -> Mask:
    """Return the defects of class indices per pixel: every class but 0, the background."""
    mask: Mask = found != 0
    return mask


def reflection(network: str, config: Mapping[str, Any], height: int, width: int) -> list[str]:
    """Say what a network does to pictures whose sides it cannot halve often enough.

    Raises:
        UsageError: the pictures are too small to be reflected that far, or the configuration is
            invalid.
    """
    try:
        multiple = registry.parse(network, config).multiple
    except ValueError as error:
        raise UsageError(str(error)) from error
    rows, columns = (side + -side % multiple for side in (height, width))
    for side, full in ((height, rows), (width, columns)):
        # The longer border, (full - side + 1) // 2 pixels, copies as many from inside the edge.
        if (full - side + 1) // 2 >= side:
            raise UsageError(
                f"--input: found pictures of {height}x{width}, expected sides that can be "
                f"reflected up to a multiple of {multiple} as {network} needs; enlarge them"
            )
    return _reflected(height, width, rows, columns)


def reflection_of(model: CpuModel) -> list[str]:
    """Say what a packed model does to its pictures, without PyTorch."""
    if model.card is None or model.reflected is None:
        return []
    return _reflected(*model.shape[:2], *model.reflected)


def _reflected(height: int, width: int, rows: int, columns: int) -> list[str]:
    if (rows, columns) == (height, width):
        return []
    return [
        f"pictures of {height}x{width} are reflected to {rows}x{columns} "
        "and their masks cropped back"
    ]


def open_segmenter(model: Path, backend: str | None, command: str, threads: int) -> Segmenter:
    """Return a network that predicts masks, ready to run.

    Args:
        model: build folder, checkpoint or packed model.
        backend: "cpu", "golden" or "torch"; None for "cpu", or for "torch" where a checkpoint
            has no integers.
        command: command of ``andpop`` that asks.
        threads: CPU threads.

    Raises:
        UsageError: the backend needs what the model lacks.
    """
    checkpoint = checkpoint_of(model)
    card = None if checkpoint is None else read_card(checkpoint)
    if backend is None:
        backend = "cpu" if card is None or card.frozen else "torch"
    if backend == "golden" and not model.is_dir():
        raise UsageError(f"{model}: --backend golden needs a build folder; run andpop build")
    if backend == "torch":
        if checkpoint is None or card is None:
            raise UsageError(
                f"{model}: found no checkpoint, expected one for --backend torch; use --backend cpu"
            )
        require(command, "torch", "brevitas")
        from .backends import torch_classifier

        size = card.input
        shape = load(model).shape if model.is_dir() else (size.height, size.width, size.channels)
        notes = reflection(card.network, card.config, *shape[:2])
        classify = torch_classifier(checkpoint)
        return Segmenter(shape, card.resize, tuple(notes), lambda p: defects(classify(p)))
    cpu = load(model)
    notes = [*cpu.notes, *reflection_of(cpu)]
    if backend == "golden":
        require_hardware(command)
        from .backends import Golden

        golden = Golden(open_build(model)).classes
        return Segmenter(cpu.shape, cpu.resize_filter, tuple(notes), lambda p: defects(golden(p)))
    return Segmenter(
        cpu.shape, cpu.resize_filter, tuple(notes), lambda p: defects(cpu.masks(p, threads))
    )


def evaluate(
    model: Path,
    data: Path,
    backend: str | None,
    threads: int,
    only: Sequence[str],
    progress: Progress,
) -> dict[str, Any]:
    """See ``flows.api.evaluate``."""
    dataset = find_pairs(data, only)
    net = open_segmenter(model, backend, "eval", threads)
    height, width, channels = net.shape
    samples = dataset.samples
    notes = Notes(height, width, net.resize_filter)
    found, truth = [], []
    seconds = 0.0
    for start in range(0, len(samples), CHUNK):
        part = samples[start : start + CHUNK]
        pictures, masks = load_pairs(part, channels, notes)
        began = time.perf_counter()
        found.append(net.run(pictures))
        seconds += time.perf_counter() - began
        truth.append(masks)
        progress("predicting masks", start + len(part), len(samples))
    labels = [sample.label for sample in samples]
    figures = score(np.concatenate(found), np.concatenate(truth), labels, dataset.classes)
    turned = upright_notes([sample.path for sample in samples])
    return {**figures, "notes": [*turned, *notes.lines(), *net.notes], "seconds": seconds}


def infer(
    model: Path,
    images: Path,
    backend: str | None,
    folder: Path | None,
    threads: int,
    progress: Progress,
) -> dict[str, Any]:
    """See ``flows.api.infer``."""
    paths, left_out = choose_pictures(images)
    check_names(folder, images, paths)
    net = open_segmenter(model, backend, "infer", threads)
    pictures, notes = read_all(paths, net, progress)
    began = time.perf_counter()
    found = net.run(pictures)
    seconds = time.perf_counter() - began
    return {
        "predictions": predictions(images, paths, found, folder),
        "notes": [*left_out, *notes, *net.notes],
        "seconds": seconds,
    }


def truth_beside(path: Path, folders: Folders, height: int, width: int) -> Mask | None:
    """Return the (height, width) mask of a picture, None where there is none.

    Raises:
        DatasetError, PictureError: as ``quant.masks.read_pair``.
    """
    sample = mask_of(path, folders)
    return None if sample is None else resize_mask(read_pair(sample, 1)[1], height, width)


def check_names(folder: Path | None, images: Path, paths: Sequence[Path]) -> None:
    """Check where masks will be written, before the work.

    Raises:
        UsageError: two pictures would write one file, or the folder lies among the pictures.
    """
    if folder is None:
        return
    if images.is_dir() and _lies_in(folder, images):
        raise UsageError(
            f"--out: found {folder} among the pictures of {images}, expected another folder; "
            "the masks would be pictures of the next run"
        )
    seen: dict[Path, Path] = {}
    for path in paths:
        target = _target(folder, images, path)
        if target in seen:
            raise UsageError(
                f"{path}: found {seen[target].name} too, expected one picture of the name "
                f"{path.stem} in a folder; both would be written as {target.name}{MASK}"
            )
        seen[target] = path


def predictions(
    images: Path, paths: Sequence[Path], found: Mask, folder: Path | None
) -> list[dict[str, Any]]:
    """Return one row per picture; with ``folder`` write its mask and overlay there.

    Args:
        images: the picture, or the folder of pictures, that was asked for.
        paths: the pictures.
        found: (N, H, W) masks.
        folder: where masks and overlays go; subfolders are those of ``images``.

    Returns:
        ``[{picture, defect_pixels, share, mask, overlay}]``; pixels are counted at the network's
        size, the last two are None without ``folder``.
    """
    rows = []
    for path, mask in zip(paths, found, strict=True):
        files: tuple[Path, Path] | tuple[None, None] = (None, None)
        if folder is not None:
            files = write_mask(_target(folder, images, path), path, mask)
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


def report_rows(
    names: Sequence[str], pictures: Pictures, found: Mask, truth: Sequence[Mask | None]
) -> list[dict[str, Any]]:
    """Return the first pictures for a report: input, truth and difference if known, mask.

    Args:
        names: names of the pictures.
        pictures: (N, H, W, C).
        found: (N, H, W).
        truth: (H, W) each, None where no mask lies beside the picture.
    """
    from ..quant.segmentation import difference
    from .report import picture_uri

    def grey(mask: Mask) -> Pictures:
        return np.where(mask, 255, 0).astype(np.uint8)[..., None]

    rows = []
    for i in range(min(len(names), REPORTED)):
        mask, known = found[i], truth[i]
        count = int(np.count_nonzero(mask))
        rows.append(
            {
                "picture": names[i],
                "defect_pixels": count,
                "share": count / mask.size,
                "uri": picture_uri(pictures[i]),
                "truth": None if known is None else picture_uri(grey(known)),
                "mask": picture_uri(grey(mask)),
                "difference": None if known is None else picture_uri(difference(mask, known)),
            }
        )
    return rows


def write_mask(target: Path, picture: Path, mask: Mask) -> tuple[Path, Path]:
    """Write a mask (0 and 255) and its overlay, both at the picture's own size by nearest pixel.

    Args:
        target: path without an end; ``MASK`` and ``OVERLAY`` are added.
        picture: the picture's file.
        mask: (H, W) at the network's size.

    Returns:
        Both files.
    """
    pixels = decode(picture, 3)
    height, width = pixels.shape[:2]
    grey = resize(np.where(mask, 255, 0).astype(np.uint8)[:, :, None], height, width, "nearest")
    mixed = (pixels.astype(np.uint16) + np.array(TINT, dtype=np.uint16) + 1) // 2
    over = np.where(grey > 0, mixed, pixels).astype(np.uint8)
    files = target.with_name(target.name + MASK), target.with_name(target.name + OVERLAY)
    for file, content in zip(files, (grey[:, :, 0], over), strict=True):
        buffer = io.BytesIO()
        Image.fromarray(content).save(buffer, format="PNG")
        replace_file(file, buffer.getvalue())
    return files


def _lies_in(folder: Path, images: Path) -> bool:
    try:
        return folder.resolve().is_relative_to(images.resolve())
    except RuntimeError as error:  # what pathlib raises for links that lead in a circle
        raise UsageError(
            f"--out: found {folder}, a link that leads to itself; choose another folder"
        ) from error


def _target(folder: Path, images: Path, path: Path) -> Path:
    """Where the files of a picture go, without their ends."""
    inside = path.relative_to(images) if images.is_dir() else Path(path.name)
    return folder / inside.with_suffix("")
