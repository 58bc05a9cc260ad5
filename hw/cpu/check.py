# SPDX-License-Identifier: Apache-2.0
"""The check that makes a plan safe to run. The C++ engine trusts a plan that passed ``check``.

Three things are shown of every plan, from what it states and from its constants: each access of
the engine stays inside its tensors and constants; each tensor is written before it is read; no
signed integer overflows, for the range of every tensor follows from the ranges of those before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from .ops import CHECKS
from .ops.site import Range, Site
from .plan import (
    MAX_TENSOR_BYTES,
    STORAGE,
    DataType,
    Head,
    ModelError,
    Plan,
    Tensor,
    check_bounds,
)


def check(plan: Plan, constants: Mapping[str, npt.NDArray[Any]]) -> list[Range]:
    """Check a plan with its constants.

    Returns:
        The range of every tensor: no picture within the inputs' datatypes leaves it.

    Raises:
        ModelError: the plan contradicts itself or the constants; names the step.
    """
    check_bounds(plan)
    for i, tensor in enumerate(plan.tensors):
        _check_tensor(i, tensor)
    if sum(t.bytes for t in plan.tensors) > MAX_TENSOR_BYTES:
        raise ModelError(
            f"plan: its tensors need {sum(t.bytes for t in plan.tensors)} bytes a picture, "
            f"expected at most {MAX_TENSOR_BYTES}"
        )
    channels = plan.tensors[plan.inputs[0]].channels if plan.inputs[0] < len(plan.tensors) else 0
    if plan.reads and not {len(plan.reads.mean), len(plan.reads.std)} <= {1, channels}:
        raise ModelError(
            f"plan: found {len(plan.reads.mean)} means and {len(plan.reads.std)} stds of the "
            f"input, expected 1 or {channels}, one per channel"
        )
    ranges: dict[int, Range] = {}
    for i in plan.inputs:
        _write(plan, i, ranges, "plan inputs")
        ranges[i] = _input_range(i, plan.tensors[i])
    for step in plan.steps:
        where = f"plan step {step.node!r:.80} ({step.op:.40})"
        if step.op not in CHECKS:
            raise ModelError(
                f"{where}: unknown op, expected one of {', '.join(sorted(CHECKS))}; "
                "pack the model again with this version"
            )
        for i in step.inputs:
            if i not in ranges:
                raise ModelError(f"{where}: reads tensor {i}, which no earlier step writes")
        for i in step.outputs:
            _write(plan, i, ranges, where)
        missing = [name for name in step.constants.values() if name not in constants]
        if missing:
            raise ModelError(f"{where}: constant {missing[0]!r:.80} is not in the file")
        site = Site(
            where,
            step,
            [plan.tensors[i] for i in step.inputs],
            [plan.tensors[i] for i in step.outputs],
            {field: constants[name] for field, name in step.constants.items()},
            [ranges[i] for i in step.inputs],
        )
        found = CHECKS[step.op](site)
        for i, (low, high) in zip(step.outputs, found, strict=True):
            site.fits(f"values of tensor {i}", low, high, STORAGE[plan.tensors[i].storage])
            ranges[i] = low, high
    never = [i for i in range(len(plan.tensors)) if i not in ranges]
    if never:
        name = ", ".join(plan.tensors[never[0]].names)
        raise ModelError(f"plan: tensor {never[0]} ({name:.80}) is written by no step")
    for head in plan.outputs:
        _check_head(plan, head, ranges)
    _check_names(plan)
    _check_unused(plan, constants)
    _check_card(plan)
    _check_classes(plan)
    return [ranges[i] for i in range(len(plan.tensors))]


def _write(plan: Plan, tensor: int, written: Mapping[int, Range], where: str) -> None:
    if tensor >= len(plan.tensors):
        raise ModelError(f"{where}: found tensor {tensor}, expected 0..{len(plan.tensors) - 1}")
    if tensor in written:
        raise ModelError(f"{where}: tensor {tensor} is written twice")


def _check_tensor(index: int, tensor: Tensor) -> None:
    DataType.of(tensor.datatype, f"plan tensor {index}")
    if tensor.bytes > MAX_TENSOR_BYTES:
        raise ModelError(
            f"plan tensor {index}: shape {tensor.shape} needs {tensor.bytes} bytes, "
            f"expected at most {MAX_TENSOR_BYTES}"
        )


def _input_range(index: int, tensor: Tensor) -> Range:
    """What ``Engine`` lets into a graph input."""
    datatype = DataType.of(tensor.datatype, f"plan tensor {index}")
    low, high = STORAGE[tensor.storage]
    if not tensor.names or not low <= datatype.low <= datatype.high <= high:
        raise ModelError(
            f"plan tensor {index}: found an input of {tensor.datatype} in {tensor.storage} with "
            f"{len(tensor.names)} names, expected a name and a storage that holds it"
        )
    return datatype.low, datatype.high


def _check_head(plan: Plan, head: Head, ranges: Mapping[int, Range]) -> None:
    """An output is of its kind: who decodes classes finds a name for each of them."""
    for i in (head.tensor, *([] if head.logits is None else [head.logits])):
        if i not in ranges:
            raise ModelError(f"plan: found output {i}, expected 0..{len(plan.tensors) - 1}")
    where = f"plan output {head.name!r:.80} ({head.kind})"
    shape = plan.tensors[head.tensor].shape
    if head.kind in ("class_map", "map") and len(shape) != 3:
        raise ModelError(f"{where}: found shape {shape}, expected (height, width, channels)")
    if head.classifies != (head.logits is not None):
        raise ModelError(f"{where}: found logits {head.logits}, expected them with classes only")
    if head.logits is None:
        return
    logits = plan.tensors[head.logits].shape
    pixels = [1] * (len(shape) - 1) if head.kind == "class" else shape[:-1]
    if shape != [*pixels, 1] or logits[:-1] != pixels:
        raise ModelError(
            f"{where}: found classes of shape {shape} from logits {logits}, "
            f"expected {[*pixels, 1]} from {[*pixels, logits[-1]]}"
        )
    if not len(head.factors) == len(head.offsets) == (logits[-1] if head.factors else 0):
        raise ModelError(
            f"{where}: found {len(head.factors)} factors and {len(head.offsets)} offsets of "
            f"{logits[-1]} logits, expected one each, or none"
        )
    if head.best > logits[-1] or ((head.best or head.function) and not head.factors):
        raise ModelError(
            f"{where}: found the best {head.best} of {logits[-1]} classes by {len(head.factors)} "
            "factors, expected no more than there are"
        )
    low, high = ranges[head.tensor]
    if low < 0 or high >= logits[-1]:
        raise ModelError(f"{where}: its classes reach {low}..{high}, expected 0..{logits[-1] - 1}")


def _check_names(plan: Plan) -> None:
    """Names of tensors are keys of what a run returns, and so are those of heads."""
    heads = [head.name for head in plan.outputs]
    for name in heads:
        if not name or heads.count(name) > 1:
            raise ModelError(f"plan outputs: found {name!r:.80}, expected one name for each")
    seen: set[str] = set()
    for i, tensor in enumerate(plan.tensors):
        for name in tensor.names:
            if name in seen:
                raise ModelError(f"plan tensor {i}: the name {name!r:.80} is another tensor's too")
            seen.add(name)


def _check_unused(plan: Plan, constants: Mapping[str, npt.NDArray[Any]]) -> None:
    unused = constants.keys() - {name for step in plan.steps for name in step.constants.values()}
    if unused:
        raise ModelError(f"plan: constant {min(unused)!r:.80} is read by no step")


def _check_card(plan: Plan) -> None:
    """A card speaks of the network it lies with."""
    if plan.card is None:
        return
    channels = plan.tensors[plan.inputs[0]].channels
    if channels != plan.card.input.channels:
        raise ModelError(
            f"its card: found pictures of {plan.card.input.channels} channels, "
            f"expected {channels} as the network takes; it is another network's card"
        )
    labels = _labels(plan)
    if labels is not None and len(plan.card.classes) != labels:
        raise ModelError(
            f"its card: found {len(plan.card.classes)} class names, expected {labels} as the "
            "network finds; it is another network's card"
        )


def _check_classes(plan: Plan) -> None:
    """Names are of a network that finds classes, one for each."""
    if plan.classes is None:
        return
    count = len(plan.classes)
    if plan.card is not None:
        raise ModelError(f"found {count} class names beside a card, expected those of the card")
    if plan.classifier is None:
        raise ModelError(f"found {count} class names, expected none: the network finds no classes")
    labels = _labels(plan)
    if labels is not None and count != labels:
        raise ModelError(f"found {count} class names, expected {labels} as the network finds")


def _labels(plan: Plan) -> int | None:
    """Number of classes; None of a head without logits."""
    head = plan.classifier
    logits = None if head is None else head.logits
    return None if logits is None else plan.tensors[logits].channels
