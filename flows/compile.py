# SPDX-License-Identifier: Apache-2.0
"""From a checkpoint to QONNX, and to a packed CPU model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from ..hw.cpu.pack import pack
from ..hw.graph.lowering import lower
from ..models.registry import parse
from ..quant.blocks.kbit_activation import HARDWARE_BITS
from ..quant.checkpoint import Card
from ..sim.cache import scratch
from .errors import UsageError
from .facts import reflection
from .files import BuildFiles, sha256


def check_integers(checkpoint: Path, card: Card) -> None:
    """Say why a network has no integers.

    Raises:
        UsageError: it is not frozen.
    """
    if card.frozen:
        return
    config = parse(card.network, card.config)
    if config.real:
        raise UsageError(
            f"{checkpoint}: found a real-valued twin (--kind real), which never becomes integers; "
            f"expected the network trained from it: andpop train {card.network} --start "
            f"{checkpoint.name}"
        )
    if config.code_bits not in HARDWARE_BITS:
        raise UsageError(
            f"{checkpoint}: found activations of {config.code_bits} bits, expected 1 to "
            f"{HARDWARE_BITS[-1]} for integers and hardware; train with a smaller --k"
        )
    raise UsageError(f"{checkpoint}: is not frozen, so it has no integers yet; let training finish")


def export_checkpoint(checkpoint: Path, file: Path, size: tuple[int, int, int] | None) -> list[str]:
    """Write a frozen checkpoint as QONNX at ``size``, or at its card's.

    Returns:
        What the network does to pictures of that size, in words.

    Raises:
        UsageError: the network is not frozen, has other channels than ``size``, or is too deep
            for it.
    """
    from ..models.build import load_network
    from ..quant.export_qonnx import export

    net, card = load_network(checkpoint)
    check_integers(checkpoint, card)
    height, width, channels = size or (card.input.height, card.input.width, card.input.channels)
    if channels != card.input.channels:
        raise UsageError(
            f"--input: found {channels} channels, expected {card.input.channels} as {checkpoint} "
            "was trained on"
        )
    said = reflection(card.network, card.config, height, width)
    export(net, height, width, channels, file)
    return said


def card_inside(folder: Path) -> dict[str, Any] | None:
    """Return the card of a build folder as a packed model carries it, None without one."""
    files = BuildFiles(folder)
    if not files.card.is_file():
        return None
    values: dict[str, Any] = json.loads(files.card.read_text(encoding="utf-8"))
    return {**values, "checkpoint_sha256": sha256(files.checkpoint)}


def compile_checkpoint(checkpoint: Path, target: Path) -> None:
    """Compile a checkpoint into a packed CPU model, at its card's input size."""
    with scratch("pack") as folder:
        files = BuildFiles(folder)
        shutil.copyfile(checkpoint, files.checkpoint)
        shutil.copyfile(checkpoint.with_suffix(".json"), files.card)
        export_checkpoint(files.checkpoint, files.qonnx, None)
        lower(files.qonnx).save(str(files.lowered))
        pack(files.lowered, card_inside(folder), target)
