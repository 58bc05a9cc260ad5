# SPDX-License-Identifier: Apache-2.0
"""Every kernel, every case: definition = golden = op execution = RTL, under back-pressure and
reset."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from andpop.sim import bench
from andpop.sim.bench import Frame, Plan
from andpop.sim.cases import Case
from comparisons import Comparisons
from definitions import evaluate
from kernel_cases import Built, build_op, kernel_cases, pack, port_list

RANDOM_FRAMES = 2 * len(bench.SEEDS)


def golden_of(kernel: str) -> ModuleType:
    """The golden model of a kernel."""
    return import_module(f"andpop.hw.kernels.{kernel}.golden")


def golden(kernel: str, case: Case, streamed: list[Any]) -> list[Any]:
    """Outputs of the golden model for one frame of streamed inputs."""
    return list(golden_of(kernel).run(inputs_of(case, streamed), case.attrs))


def inputs_of(case: Case, streamed: list[Any]) -> list[Any]:
    """All inputs of the node for one frame of streamed inputs."""
    values, initializers = iter(streamed), iter(case.make_initializers())
    return [next(values if o.streamed else initializers) for o in case.operands]


def frames_of(case: Case) -> list[list[Any]]:
    """Random frames (two for each seed of the bench), then the worst-case frames."""
    frames = []
    for seed in bench.SEEDS:
        rng = np.random.default_rng(seed)
        frames += [case.random_frame(rng) for _ in range(2)]
    return frames + case.worst_frames()


@pytest.mark.parametrize(
    ("kernel", "case"),
    # Quick enough for all cases, those marked as long for their RTL too.
    [pytest.param(*p.values, id=p.id) for p in kernel_cases()],
)
def test_golden_and_op_execution_equal_the_definition(
    kernel: str, case: Case, compared: Comparisons
) -> None:
    """The definition shares no code with the golden, which op execution only calls."""
    built = build_op(case)
    for frame in frames_of(case):
        expected = evaluate(case.op_type, inputs_of(case, frame), case.attrs)
        for got in (golden(kernel, case, frame), built.execute(frame)):
            assert len(got) == len(expected)
            for e, g in zip(expected, got, strict=True):
                compared.arrays(e, g, case.name)


@pytest.mark.sim
@pytest.mark.parametrize(("kernel", "case"), kernel_cases())
def test_rtl_equals_golden(
    kernel: str, case: Case, tmp_path: Path, record_property: Any, compared: Comparisons
) -> None:
    built = build_op(case)
    folder = tmp_path / "rtl"
    sources = built.generate(folder)
    plan = make_plan(kernel, case, built)
    bench_module = f"andpop.hw.kernels.{kernel}.tb"
    modules = [bench_module] if find_spec(bench_module) else []
    top = built.op.get_nodeattr("gen_top_module")
    result = bench.run_plan(plan, sources, top, tmp_path / "run", data=folder, modules=modules)
    compared.count(result.values, result.differing)
    for name in ("interval", "latency"):
        record_property(name, getattr(result, name))


def make_plan(kernel: str, case: Case, built: Built) -> Plan:
    """Turn the frames of a case into words; outputs come from golden."""
    op = built.op
    streamed = [i for i, o in enumerate(case.operands) if o.streamed]
    inputs, outputs = port_list(op, streamed)
    frames = []
    for values in frames_of(case):
        expected = golden(kernel, case, values)
        frames.append(
            Frame(
                [
                    pack(v, op.get_folded_input_shape(i), op.get_input_datatype(i))
                    for i, v in zip(streamed, values, strict=True)
                ],
                [
                    pack(v, op.get_folded_output_shape(i), op.get_output_datatype(i))
                    for i, v in enumerate(expected)
                ],
            )
        )
    words, cycles = len(frames[0].inputs[0]), int(op.get_exp_cycles())
    phases = bench.phases_of(RANDOM_FRAMES, len(frames) - RANDOM_FRAMES, words, cycles)
    return Plan(case.name, cycles, inputs, outputs, frames, phases)
