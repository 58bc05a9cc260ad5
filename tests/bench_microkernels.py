# SPDX-License-Identifier: Apache-2.0
"""Time every microkernel of the lists: python tests/bench_microkernels.py [operation ...]."""

from __future__ import annotations

import sys

import numpy as np
from microkernels import KERNELS, PROBLEMS

SHAPES = [(32, 16), (16, 64), (8, 256)]
"""Side of a square picture and channels."""

ROUNDS = 50


def main(wanted: list[str]) -> None:
    """Print microseconds of the fastest run, for each microkernel and problem."""
    for op, make in PROBLEMS.items():
        if wanted and op not in wanted:
            continue
        for side, channels in SHAPES:
            for problem in make(np.random.default_rng(0), side, channels):
                shapes = " ".join(f"{s}{list(v.shape)}" for s, v in problem.inputs)
                times = [
                    f"{k.name} {1e6 * problem.network([k.name]).time(inputs, ROUNDS):.1f}"
                    for k in KERNELS
                    for inputs in [problem.packed_inputs()]
                    if k.op == op
                ]
                text = f"{op}: {shapes} -> {problem.output[1].shape[1]}: {', '.join(times)} us"
                sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
