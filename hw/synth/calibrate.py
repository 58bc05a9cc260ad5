# SPDX-License-Identifier: Apache-2.0
"""Fits the tables of costs to what Yosys maps: ``python -m andpop.hw.synth.calibrate`` (``make
calibrate``).

Every case of every kernel is synthesised, and every node of the builds that are named. Logic and
flip-flops of a table are a sum over the counts of `Structure`, each number zero or more. What
memories and DSP blocks take is known and subtracted first. Smoke cases and nodes of networks count
more than the odd shapes of other cases.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...sim.cases import Case
from ..kernels import KERNELS
from ..kernels.costs import FITTED, TABLE_FILE, Structure, tables
from .measure import Point, measure
from .network import synthesise_network

ROUNDS = 40
"""Fits, each with the weights that the one before leaves."""
DIGITS = 4
"""Digits of a number in a table."""
NEAR = 8.0
"""LUTs or flip-flops off by which nobody minds."""
SHARE = 0.1
"""Share of the whole off by which nobody minds."""
SHARED = "search"
"""What tables of a core begin with that several kernels hold: they are fitted together."""

log = logging.getLogger(__name__)
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """What one point says of a table."""

    label: str
    weight: float
    structure: Structure
    found: dict[str, float]
    """LUTs of logic and flip-flops that the table has to explain."""
    whole: dict[str, int]
    """All of them."""


def sample(point: Point, weight: float) -> Sample:
    """Return what a point says."""
    structure, usage = point.op.structure(), point.usage
    logic = usage.lut - usage.lutram - structure.luts
    found = {"lut": logic, "srl": usage.lutram - structure.lutram, "ff": usage.ff - structure.ffs}
    whole = {"lut": usage.lut, "srl": usage.lut, "ff": usage.ff}
    return Sample(point.label, weight, structure, found, whole)


def fit(samples: Sequence[Sample], resource: str) -> dict[str, float]:
    """Return what one of each count takes, by least squares with numbers of zero or more."""
    from scipy.optimize import nnls

    names = list(dict.fromkeys(name for s in samples for name in s.structure.counts))
    counts = np.array([[s.structure.counts.get(n, 0.0) for n in names] for s in samples], float)
    found = np.array([s.found[resource] for s in samples], float)
    allowed = np.array([max(NEAR, SHARE * s.whole[resource]) for s in samples])
    given = np.array([s.weight for s in samples])
    heavy = given / given.max()
    best: tuple[tuple[float, float], Floats] | None = None
    # A little of every number: of equal fits the smallest.
    scales = np.maximum(counts.max(axis=0), 1.0)
    # Points far off count more, so that none is; or less, where contents make one unlike others.
    for robust in (False, True):
        weights = given
        for _ in range(ROUNDS):
            rows = np.sqrt(weights)[:, None] * counts / allowed[:, None]
            system = np.vstack([rows, np.diag(1e-3 * scales / allowed.max())])
            target = np.concatenate([np.sqrt(weights) * found / allowed, np.zeros(len(names))])
            numbers, _ = nnls(system, target)
            off = np.abs(counts @ numbers - found) / allowed
            # What is beyond the allowed decides, where nothing is all of it.
            key = (float(heavy @ np.clip(off - 1, 0, 1)), float(heavy @ np.minimum(off, 2) ** 2))
            if best is None or key < best[0]:
                best = (key, numbers)
            weights = given / (1 + off**2) if robust else weights * (0.5 + off)
            weights = weights / weights.mean()
    assert best is not None
    return {
        name: float(f"{number:.{DIGITS}g}")
        for name, number in zip(names, best[1], strict=True)
        if number > 0
    }


def calibrate(kernel: str, samples: Iterable[Sample], folder: Path) -> None:
    """Write the tables of a kernel into its folder and log how far off they are."""
    groups: dict[str, list[Sample]] = {}
    for one in samples:
        groups.setdefault(one.structure.table, []).append(one)
    # A table without points stays: a way to compute that costs nothing would always be taken.
    found = {**tables(folder)} | {
        table: {resource: fit(group, resource) for resource in FITTED}
        for table, group in groups.items()
    }
    found = dict(sorted(found.items()))
    text = json.dumps(found, indent=1) + "\n"
    (folder / TABLE_FILE).write_text(text, encoding="ascii")
    tables.cache_clear()
    log.info("%s: %d points, %d tables", kernel, sum(map(len, groups.values())), len(groups))


def folder_of(kernel: str) -> Path:
    """The folder of a kernel."""
    return Path(__file__).parent.parent / "kernels" / kernel


def cases_of(kernel: str, which: str) -> list[Case]:
    """The smoke or the full cases of a kernel."""
    found: list[Case] = getattr(import_module(f"..kernels.{kernel}.cases", __package__), which)
    return list(found)


def progress(stage: str, done: int, total: int) -> None:
    """Log how far it is."""
    log.info("%s: %d of %d", stage, done, total)


def main(kernels: Sequence[str], builds: Sequence[Path]) -> None:
    """Renew the tables of some kernels."""
    points: dict[str, list[Sample]] = {kernel: [] for kernel in kernels}
    for which, weight in (("SMOKE", 3.0), ("FULL", 1.0)):
        cases = [(kernel, case) for kernel in kernels for case in cases_of(kernel, which)]
        for point in measure(cases, progress):
            points[point.label.split()[0]].append(sample(point, weight))
    for build in builds:
        rows = synthesise_network(build / "rtl", node=None, primitives=True, progress=progress)
        for row in rows:
            if row.node is None:
                continue
            kernel = type(row.node).__module__.split(".")[-2]
            if kernel in points:
                point = Point(f"{build.name} {row.name}", row.node, row.usage)
                points[kernel].append(sample(point, 3.0))
    shared = [s for samples in points.values() for s in samples if _is_shared(s.structure.table)]
    for kernel, samples in points.items():
        own = [s for s in samples if not _is_shared(s.structure.table)]
        if any(_is_shared(table) for table in tables(folder_of(kernel))):
            own += shared
        if own:
            calibrate(kernel, own, folder_of(kernel))


def _is_shared(table: str) -> bool:
    """Whether a table is that of a core which several kernels hold."""
    return table.startswith(SHARED)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kernels", nargs="*", help="only these kernels")
    parser.add_argument("--build", nargs="*", type=Path, default=[], help="folders of builds")
    arguments = parser.parse_args()
    main(arguments.kernels or list(KERNELS), arguments.build)
