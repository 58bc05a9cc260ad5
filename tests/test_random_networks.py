# SPDX-License-Identifier: Apache-2.0
"""Random networks of other people's constructs: exact on every backend, and none refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from andpop.flows import api
from andpop.flows.errors import explain
from andpop.hw.cpu.engine import Engine
from andpop.hw.cpu.pack import compile_graph, fused_tensors
from andpop.hw.graph.executor import GoldenExecutor
from andpop.hw.graph.lowering import lower
from andpop.hw.graph.pixels import Pixels
from andpop.hw.graph.verify import extreme_pictures
from comparisons import Comparisons
from foreign_graphs import accepted, save
from qonnx.core.modelwrapper import ModelWrapper
from random_inputs import pixels_of_seed
from random_networks import network

SEEDS = range(30)
MANY = range(500)
SIMULATED = (57, 184, 231, 354)
"""Seeds whose hardware is simulated as well in the short tests; the long ones simulate every
tenth."""
BACKENDS = ("qonnx", "golden", "cpu", "rtl")


def read_by(proto: onnx.ModelProto, seed: int) -> Pixels | None:
    """What the options of a seed's build say of a pixel."""
    return pixels_of_seed(seed, proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value)


def check(seed: int, folder: Path, compared: Comparisons) -> str:
    """Build the network of a seed in memory and compare; returns why it was refused, or nothing.

    QONNX in exact arithmetic against the golden model (`verify`), then the CPU engine against it,
    at every tensor that exists.
    """
    proto, said = network(seed)
    try:
        _, cleaned, _ = accepted(proto, folder, read_by(proto, seed))
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
    sweep(SEEDS, tmp_path, compared)


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_many_random_networks_are_exact(tmp_path: Path, compared: Comparisons) -> None:
    sweep(MANY, tmp_path, compared)


def simulate(seed: int, folder: Path, compared: Comparisons) -> None:
    """Build a network as a user does, and compare all backends."""
    proto, layers = network(seed)
    pixels = read_by(proto, seed)
    options = {} if pixels is None else {"input_mean": pixels.mean, "input_std": pixels.std}
    said = {name: ",".join(map(str, row)) for name, row in options.items()}
    api.build(save(proto, folder), folder / "build", target_cycles=4096, **said)
    golden = GoldenExecutor(ModelWrapper(str(folder / "build" / "lowered.onnx")))
    pictures = extreme_pictures(*golden.shapes[golden.input][1:], noise=2, seed=seed)
    np.save(folder / "pictures.npy", pictures)
    result = api.compare(folder / "build", folder / "pictures.npy", BACKENDS)
    assert [row["backend"] for row in result["backends"]] == ["qonnx", "cpu", "rtl"], layers
    assert all(row["pictures"] == len(pictures) for row in result["backends"])
    compared.count(result["values_compared"], result["values_differing"])


@pytest.mark.sim
@pytest.mark.parametrize("seed", SIMULATED)
def test_random_hardware_is_exact(seed: int, tmp_path: Path, compared: Comparisons) -> None:
    simulate(seed, tmp_path, compared)


@pytest.mark.full
@pytest.mark.sim
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", MANY[::10])
def test_more_random_hardware_is_exact(seed: int, tmp_path: Path, compared: Comparisons) -> None:
    simulate(seed, tmp_path, compared)
