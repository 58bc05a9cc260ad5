# SPDX-License-Identifier: Apache-2.0
"""Folding: how many lanes every node gets, from its own stated cycles.

One pass for FINN's ops and ours: each states which attributes fold it, and what they divide
(`kernels.facts.FoldingRule`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnx import AttributeProto, NodeProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from ..boards import DEFAULT_BOARD
from ..kernels import register
from ..kernels.facts import FoldingRule
from ..kernels.memory import LUTS_PER_BRAM18, LUTS_PER_DSP
from ..kernels.ops import op_of
from .folding_file import Folding, FoldingError
from .fuse import of_fused
from .pair_roms import SHARED_ROM, shared_roms

STYLES = ("ram_style", "depth_trigger_bram", "depth_trigger_uram", "deep_pipeline", SHARED_ROM)
"""Attributes a folding file may set beside the folding itself: where memories go."""


@dataclass(frozen=True)
class _Foldable:
    """A node and how it may be folded."""

    op: Any
    """FINN's op with its `Facts`."""
    rule: FoldingRule

    @property
    def name(self) -> str:
        name: str = self.op.onnx_node.name
        return name

    def key(self) -> Hashable:
        """What nodes have in common that fold alike: all but names, tensors and insides."""
        node = self.op.onnx_node
        attributes = (a for a in node.attribute if a.type != AttributeProto.GRAPH)
        return node.op_type, *sorted(a.SerializeToString() for a in attributes)

    def cycles(self) -> int:
        return int(self.op.get_exp_cycles())

    def apply(self, values: Mapping[str, int | str]) -> None:
        for attribute, value in values.items():
            self.op.set_nodeattr(attribute, value)

    def values(self) -> dict[str, int]:
        attributes = [*self.rule.lanes, *(("parallel_window",) if self.rule.windows else ())]
        return {a: int(self.op.get_nodeattr(a)) for a in attributes}

    def chosen(self) -> dict[str, int | str]:
        """What folding sets: lanes, and the implementation where cycles depend on it."""
        return {**self.values(), **{a: str(self.op.get_nodeattr(a)) for a in self.rule.paces}}

    def choices(self) -> Iterator[list[dict[str, int | str]]]:
        """Groups of foldings; inside a group from cheap and slow to dear and fast."""
        paces = [{a: name} for a, names in self.rule.paces.items() for name in names]
        for pace in paces or [{}]:
            for group in self.lane_choices():
                yield [{**values, **pace} for values in group]

    def lane_choices(self) -> Iterator[list[dict[str, int]]]:
        """Groups of lanes, in the same order."""
        lanes = self.rule.lanes
        if "SIMD" in lanes and "PE" in lanes:
            for simd in self.rule.choices("SIMD"):
                yield [{"SIMD": simd, "PE": pe} for pe in self.rule.choices("PE")]
            return
        ((attribute, limit),) = lanes.items()
        window = {"parallel_window": 0} if self.rule.windows else {}
        group = [{attribute: n, **window} for n in self.rule.choices(attribute)]
        if self.rule.windows:
            group.append({attribute: limit, "parallel_window": 1})
        yield group


def cycles(model: ModelWrapper) -> dict[str, int]:
    """Return the stated cycles per frame of every node of a specialised graph."""
    register()
    return {n.name: int(getCustomOp(n).get_exp_cycles()) for n in model.graph.node}


def fold(
    model: ModelWrapper,
    target: int | Mapping[str, Mapping[str, Any]],
    part: str = DEFAULT_BOARD.part,
) -> ModelWrapper:
    """Fold every node of a specialised dataflow graph, in place.

    Args:
        model: specialised dataflow graph.
        target: cycles per frame that no node may exceed, or a folding (see `folding_file`).
        part: FPGA part for which ops estimate their LUTs, to compare foldings of equal speed.

    Returns:
        ``model``.

    Raises:
        FoldingError: the target is out of a node's reach, or the folding cannot be.
    """
    if isinstance(target, int):
        _fold_to_target(model, target, part)
    else:
        _apply_folding(model, target)
    for node in model.graph.node:
        getCustomOp(node).count_constants(model)
    return model


def folding_of(model: ModelWrapper) -> Folding:
    """Return the folding of a specialised graph, as `fold` takes it."""
    return {
        f.name: {**f.values(), **{a: f.op.get_nodeattr(a) for a in f.rule.options}, **_places(f.op)}
        for f in _foldables(model)
    }


def _places(op: Any) -> dict[str, str]:
    """Where memories lie that were told where."""
    found = {attribute: str(op.get_nodeattr(attribute)) for attribute in op.places}
    pair = str(op.get_nodeattr(SHARED_ROM)) if op.outside_roms() else ""
    told = {attribute: place for attribute, place in found.items() if place != "auto"}
    return {**told, **({SHARED_ROM: pair} if pair else {})}


def implementations(model: ModelWrapper) -> dict[str, tuple[str, dict[str, int]]]:
    """Return the ops that have a choice: node name -> (implementation in use, LUTs of each)."""
    return {f.name: (f.op.resolved(), f.op.costs()) for f in _foldables(model) if f.rule.options}


def write_folding(model: ModelWrapper, path: Path) -> None:
    """Write the graph's folding as FINN's folding JSON."""
    text = json.dumps({"Defaults": {}, **folding_of(model)}, indent=2)
    path.write_text(text + "\n", encoding="utf-8")


def _foldables(model: ModelWrapper) -> list[_Foldable]:
    register()
    return [foldable_of(node) for node in model.graph.node]


def foldable_of(node: NodeProto) -> _Foldable:
    """Return what may be folded of a node.

    Raises:
        FoldingError: its op is unknown, or has no lanes to choose.
    """
    try:
        op = op_of(node)
    except ValueError as error:
        raise FoldingError(str(error)) from error
    rule: FoldingRule = op.folding_rule()
    if not rule.lanes:
        raise FoldingError(
            f"{node.name}: op {node.op_type} has no lanes to choose, expected an op of "
            "docs/03_reference/dataflow.md"
        )
    return _Foldable(op, rule)


def _fold_to_target(model: ModelWrapper, target: int, part: str) -> None:
    if target < 1:
        raise FoldingError(f"found a target of {target} cycles per frame, expected 1 or more")
    foldables = _foldables(model)
    missed = []
    known: dict[Hashable, dict[str, int | str]] = {}
    for foldable in foldables:
        same = foldable.key()
        if same in known:
            foldable.apply(known[same])
            best = foldable.cycles()
        else:
            best = _cheapest(foldable, target, part)
            known[same] = foldable.chosen()
        if best > target:
            missed.append((best, foldable))
    if missed:
        best, foldable = max(missed, key=lambda m: m[0])
        others = f" ({len(missed) - 1} other nodes miss it too)" if len(missed) > 1 else ""
        raise FoldingError(
            f"{foldable.name}: cannot reach {target} cycles per frame; its best is {best} with "
            f"{_show(foldable.values())}{others}; set the target to {best} or more"
        )
    _align(model, {f.name: f for f in foldables})


def _cheapest(foldable: _Foldable, target: int, part: str) -> int:
    """Apply the cheapest folding that reaches ``target`` (or the fastest); return its cycles."""
    best: tuple[tuple[int, int, int], dict[str, int | str], int] | None = None
    for group in foldable.choices():
        for values in group:
            foldable.apply(values)
            cycles = foldable.cycles()
            if cycles <= target or values is group[-1]:
                lanes = math.prod(foldable.values().values())
                key = (max(cycles, target), _cost(foldable, part), lanes)
                if best is None or key < best[0]:
                    best = (key, values, cycles)
                break
    if best is None:
        raise FoldingError(f"{foldable.name}: found no folding, expected at least one")
    foldable.apply(best[1])
    return best[2]


def _cost(foldable: _Foldable, part: str) -> int:
    """What tells foldings of equal speed apart: LUTs and DSP blocks, of which more lanes may need
    fewer; of implementations with cycles of their own all they take."""
    op, rule = foldable.op, foldable.rule
    if len(rule.lanes) == 1 and not rule.paces:
        return 0
    logic = op.lut_estimation(part) + LUTS_PER_DSP * op.dsp_estimation(part)
    blocks = LUTS_PER_BRAM18 * op.bram_estimation(part) if rule.paces else 0
    return int(logic + blocks)


def _align(model: ModelWrapper, foldables: Mapping[str, _Foldable]) -> None:
    """Raise lanes until those of the two ends of every edge divide one another.

    A width converter between e.g. 4 and 6 lanes needs a barrel of multiplexers; between 4 and 8
    only a shift register. More lanes never make a node slower, so the target still holds.

    A sliding window reads in bursts and keeps its stated cycles only if these come at full rate:
    the border in front of it gets at least its lanes. So does what a concat reads, one pixel of
    either stream after the other.
    """
    edges = _edges(model)
    changed = True
    while changed:
        changed = False
        for (writer, out), (reader, into) in edges:
            a, b = foldables[writer], foldables[reader]
            lanes_a = int(a.op.get_folded_output_shape(out)[-1])
            lanes_b = int(b.op.get_folded_input_shape(into)[-1])
            low, high = sorted((lanes_a, lanes_b))
            if high % low == 0 and not (lanes_a < lanes_b and b.op.needs_full_rate(a.op)):
                continue
            writes = lanes_a < lanes_b
            for end, attribute in ((a, "PE"), (b, "SIMD")) if writes else ((b, "SIMD"), (a, "PE")):
                if _raise_lanes(end, attribute):
                    changed = True
                    break


def _raise_lanes(foldable: _Foldable, preferred: str) -> bool:
    """Give a node the next larger divisor of lanes at one of its ends; False at the limit."""
    attribute = preferred if preferred in foldable.rule.lanes else next(iter(foldable.rule.lanes))
    limit = foldable.rule.lanes[attribute]
    lanes = foldable.values()[attribute]
    if lanes == limit:
        return False
    foldable.apply({attribute: next(n for n in foldable.rule.choices(attribute) if n > lanes)})
    return True


def _edges(model: ModelWrapper) -> list[tuple[tuple[str, int], tuple[str, int]]]:
    """Return ((writer, output), (reader, input)) of every tensor between two nodes."""
    writers = {
        name: (node.name, i) for node in model.graph.node for i, name in enumerate(node.output)
    }
    return [
        (writers[name], (node.name, i))
        for node in model.graph.node
        for i, name in enumerate(node.input)
        if name in writers
    ]


def _apply_folding(model: ModelWrapper, folding: Mapping[str, Mapping[str, Any]]) -> None:
    foldables = {f.name: f for f in _foldables(model)}
    given, folding = folding, of_fused(folding, [f.op for f in foldables.values()])
    for name in folding:
        if name != "Defaults" and name not in foldables:
            raise FoldingError(
                f"{name}: found no such node in the graph, expected one of its "
                f"{len(foldables)} nodes, e.g. {next(iter(foldables))} (folding: {name})"
            )
    for name, foldable in foldables.items():
        values = {**_defaults(folding.get("Defaults", {}), foldable), **folding.get(name, {})}
        # A fused node may have been named by the node inside whose lanes it has.
        asked = name if name in given else foldable.op.leader() or name
        for attribute, value in values.items():
            where = f"(folding: {asked}.{attribute})"
            if asked != name:
                where = f"in an entry {name}, which stands for {asked}, or use --no-fuse {where}"
            _check_value(foldable, attribute, value, where)
        for attribute, value in values.items():
            foldable.op.set_nodeattr(attribute, value)
        if foldable.rule.options:
            foldable.op.resolved()
        set_now = foldable.values()
        if set_now.get("parallel_window") and set_now["SIMD"] != foldable.rule.lanes["SIMD"]:
            raise FoldingError(
                f"{name}: parallel_window=1 with SIMD={set_now['SIMD']}, expected "
                f"SIMD={foldable.rule.lanes['SIMD']} (all channels) (folding: {name}.SIMD)"
            )
    shared_roms(model)


def _defaults(defaults: Mapping[str, Any], foldable: _Foldable) -> dict[str, Any]:
    """Return FINN's "Defaults" for one node: attribute -> [value, ["all"] or op types, ...]."""
    chosen = {}
    known = foldable.op.get_nodeattr_types()
    for attribute, entry in defaults.items():
        if not isinstance(entry, list) or not entry or len(entry) % 2:
            raise _bad_default(attribute, entry)
        for value, ops in zip(entry[::2], entry[1::2], strict=True):
            if ops != "all" and not (
                isinstance(ops, list) and all(isinstance(op, str) for op in ops)
            ):
                raise _bad_default(attribute, entry)
            everybody = ops == "all" or "all" in ops
            if foldable.op.onnx_node.op_type in ops or (everybody and attribute in known):
                chosen[attribute] = value
    return chosen


def _bad_default(attribute: str, entry: Any) -> FoldingError:
    return FoldingError(
        f'Defaults.{attribute}: found {_brief(entry)}, expected [value, [op types or "all"], ...]'
    )


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _check_value(foldable: _Foldable, attribute: str, value: Any, where: str) -> None:
    if attribute in foldable.rule.lanes:
        limit, choices = foldable.rule.lanes[attribute], foldable.rule.choices(attribute)
        if isinstance(value, bool) or not isinstance(value, int) or value not in choices:
            shown = ",".join(map(str, choices if len(choices) <= 12 else choices[:5]))
            shown += "" if len(choices) <= 12 else f",...,{choices[-1]}"
            raise FoldingError(
                f"{foldable.name}: {limit} channels cannot be split over "
                f"{attribute}={_brief(value)}; use one of {shown} {where}"
            )
    elif attribute == "parallel_window" and foldable.rule.windows:
        if isinstance(value, bool) or not isinstance(value, int) or value not in (0, 1):
            raise FoldingError(
                f"{foldable.name}: found parallel_window={_brief(value)}, expected 0 or 1 {where}"
            )
    elif attribute in foldable.rule.options:
        if not isinstance(value, str) or value not in foldable.rule.options[attribute]:
            raise FoldingError(
                f"{foldable.name}: found {attribute}={_brief(value)}, expected one of "
                f"{', '.join(sorted(foldable.rule.options[attribute]))} {where}"
            )
    elif (
        attribute not in {*STYLES, *foldable.op.places}
        or attribute not in foldable.op.get_nodeattr_types()
    ):
        allowed = [*foldable.values(), *foldable.rule.options]
        raise FoldingError(
            f"{foldable.name}: found attribute {attribute}, expected {' or '.join(allowed)}; "
            f"FIFO depths belong into fifo.json {where}"
        )
    else:
        kind, _, _, *choices = foldable.op.get_nodeattr_types()[attribute]
        fits = isinstance(value, str) if kind == "s" else type(value) is int
        if not fits or (kind != "s" and not 0 <= value < 1 << 31):
            wanted = "a word" if kind == "s" else "a whole number from 0 to 2147483647"
            raise FoldingError(
                f"{foldable.name}: found {attribute}={_brief(value)}, expected {wanted} {where}"
            )
        if choices and choices[0] and value not in choices[0]:
            raise FoldingError(
                f"{foldable.name}: found {attribute}={_brief(value)}, expected one of "
                f"{', '.join(map(repr, sorted(choices[0])))} {where}"
            )


def _show(values: Mapping[str, int]) -> str:
    return ", ".join(f"{k}={v}" for k, v in values.items())
