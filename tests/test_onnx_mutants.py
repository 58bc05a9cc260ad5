# SPDX-License-Identifier: Apache-2.0
"""Damaged and nonsensical ONNX files: accepted, or refused in one line; nothing else, and soon."""

from __future__ import annotations

import random
import time
import warnings
from collections import Counter
from functools import cache
from pathlib import Path

import onnx
import pytest
from andpop.hw.graph.clean import clean
from andpop.hw.graph.loader import ModelError, load
from andpop.hw.graph.lowering import lower
from andpop.hw.graph.qonnx_graph import LoweringError
from andpop.hw.graph.verify import verify
from foreign_graphs import GRAPHS
from graph_mutants import mutant
from qonnx_block import block, pa_network

SEEDS = [*GRAPHS, block, lambda: pa_network(0)]
SECONDS = 20
"""Most processor time for one of these small files."""


@cache
def seed_graph(number: int) -> onnx.ModelProto:
    return SEEDS[number]()


def outcomes(first: int, count: int, folder: Path, compare: bool = False) -> Counter[str]:
    """Try ``count`` mutants from the seed ``first`` on; count how they end.

    Anything else than an accepted graph or one of the two refusals is raised, with its seed.
    """
    path = folder / "mutant.onnx"
    found: Counter[str] = Counter()
    for seed in range(first, first + count):
        path.write_bytes(mutant(seed_graph(seed % len(SEEDS)), random.Random(seed)))
        began = time.process_time()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", RuntimeWarning)  # A number that overflowed.
                network = clean(load(path).model)
                graph = lower(network)
                if compare:
                    verify(network, graph, noise=1)
            found["accepted"] += 1
        except (ModelError, LoweringError) as error:
            assert "\n" not in str(error) and len(str(error)) < 800, (seed, str(error))
            found[type(error).__name__] += 1
        except Exception as error:
            raise AssertionError(f"mutant {seed}: {error!r}") from error
        assert time.process_time() - began < SECONDS, seed
    return found


def test_mutants_are_accepted_or_refused_in_one_line(tmp_path: Path) -> None:
    found = outcomes(0, 600, tmp_path)
    # Each way out is taken often: the mutants are neither all broken nor all harmless.
    assert min(found[end] for end in ("accepted", "ModelError", "LoweringError")) > 60


@pytest.mark.parametrize("seed", [103_838, 109_148, 201_846])
def test_mutants_that_ended_in_an_error_once(seed: int, tmp_path: Path) -> None:
    """A sign of codes less a number below all; pixels less a mean of a denominator beyond 2**63;
    codes beyond 2**63."""
    assert outcomes(seed, 1, tmp_path, compare=True).total() == 1


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_many_mutants_are_exact_or_refused_in_one_line(tmp_path: Path) -> None:
    found = outcomes(100_000, 10_000, tmp_path, compare=True)
    print(dict(found))
    assert found["accepted"] > 1000
