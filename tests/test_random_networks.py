# SPDX-License-Identifier: Apache-2.0
"""Random networks of other people's constructs: exact on every backend, and none refused."""

from __future__ import annotations

from pathlib import Path

from andpop.flows.errors import explain
from andpop.hw.cpu.engine import Engine
from andpop.hw.cpu.pack import compile_graph, fused_tensors
from andpop.hw.graph.executor import GoldenExecutor
from andpop.hw.graph.lowering import lower
from andpop.hw.graph.verify import extreme_pictures
from comparisons import Comparisons
from foreign_graphs import accepted
from random_networks import network

SEEDS = 30
MANY = 500
SIMULATED = 3


def check(seed: int, folder: Path, compared: Comparisons) -> str:
    """Build the network of a seed in memory and compare; returns why it was refused, or nothing.

    QONNX in exact arithmetic against the golden model (`verify`), then the CPU engine against it,
    at every tensor that exists.
    """
    proto, said = network(seed)
    try:
        _, cleaned, _ = accepted(proto, folder)
    except ValueError as error:
        told = explain(error)
        return f"seed {seed} ({said}): {told[1] if told else repr(error)}"
    lowered = lower(cleaned)
    golden = GoldenExecutor(lowered)
    engine = Engine(*compile_graph(lowered.model, "random", None))
    pictures = extreme_pictures(*golden.shapes[golden.input][1:], noise=3)
    found = engine.intermediates(pictures)
    hidden = fused_tensors(lowered.model)
    for at, wanted in golden.chunks(pictures, "all"):
        for name, values in wanted.items():
            if name not in hidden:
                compared.arrays(values, found[name][at], f"seed {seed} ({said}): {name}")
    return ""


def sweep(seeds: range, folder: Path, compared: Comparisons) -> None:
    refused = [why for seed in seeds if (why := check(seed, folder, compared))]
    print(f"{len(seeds)} random networks, {len(refused)} refused")
    assert not refused, "\n".join(refused)


def test_random_networks_are_exact(tmp_path: Path, compared: Comparisons) -> None:
    sweep(range(SEEDS), tmp_path, compared)
