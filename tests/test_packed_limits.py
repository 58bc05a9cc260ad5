# SPDX-License-Identifier: Apache-2.0
"""Packed models that ask for too much memory or time; runs that are told to end."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from andpop.flows.errors import INTERRUPTED
from andpop.hw.cpu import engine
from andpop.hw.cpu.engine import Engine, instruction_sets
from andpop.hw.cpu.plan import MAX_TENSOR_BYTES
from packed_files import ZOO, geometry, head, refusal, seal, sealed
from packed_files import single as single_step
from PIL import Image


def limited(
    code: str, *arguments: object, gigabytes: float = 3
) -> subprocess.CompletedProcess[str]:
    """Run a Python program within so much address space."""

    def limit() -> None:
        size = int(gigabytes * (1 << 30))
        resource.setrlimit(resource.RLIMIT_AS, (size, size))

    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit,
        timeout=120,
    )


sanitized = pytest.mark.skipif(
    "ANDPOP_SANITIZED" in os.environ, reason="AddressSanitizer reserves the address space"
)


@sanitized
def test_a_shape_bomb_is_refused_by_its_declared_size(tmp_path: Path) -> None:
    header, arrays = single_step("cast", [([1 << 14, 1 << 14, 8], "UINT8", "u8")],
                                 [([1 << 14, 1 << 14, 8], "i32")])  # fmt: skip
    path = sealed(tmp_path, header, arrays)
    began = time.perf_counter()
    assert f"expected at most {MAX_TENSOR_BYTES}" in refusal(path)
    assert time.perf_counter() - began < 1
    code = "import sys; from andpop.hw.cpu.engine import Engine; Engine.load(sys.argv[1])"
    assert "expected at most" in limited(code, path).stderr.splitlines()[-1]


@sanitized
def test_running_out_of_memory_is_one_line(tmp_path: Path) -> None:
    side = 1 << 13
    header, arrays = single_step(
        "cast", [([side, side, 2], "UINT8", "u8")], [([side, side, 2], "i32")]
    )
    code = (
        "import sys, numpy as np; from andpop.hw.cpu.engine import Engine, ModelError\n"
        "e = Engine.load(sys.argv[1])\n"
        "try: e.intermediates(np.zeros((2, *e.input_shape), np.uint8), threads=2)\n"
        "except ModelError as error: print(error)"
    )
    done = limited(code, sealed(tmp_path, header, arrays), gigabytes=1.7)
    assert "out of memory with 2 pictures on 2 threads" in done.stdout, done.stderr


def bomb(folder: Path) -> Path:
    """Write a small packed model that computes for minutes."""
    side, kernel = 1024, 512
    rest = side - kernel + 1
    header, arrays = single_step(
        "max_pool", [([side, side, 1], "UINT8", "u8")], [([rest, rest, 1], "u8")],
        geometry(side, side, kernel),
    )  # fmt: skip
    plan = header["plan"]
    for i in range(40):
        plan["tensors"].append({"names": [f"copy{i}"], "shape": [rest, rest, 1],
                                "datatype": "UINT8", "storage": "u8"})  # fmt: skip
        plan["steps"].append({**plan["steps"][0], "outputs": [2 + i]})
    plan["tensors"] += [
        {"names": ["sum"], "shape": [1, 1, 1], "datatype": "INT32", "storage": "i32"},
        {"names": ["class"], "shape": [1, 1, 1], "datatype": "INT32", "storage": "i32"},
    ]
    plan["steps"] += [
        {"op": "sum_pool", "node": "s", "inputs": [41], "outputs": [42], "attributes": {},
         "constants": {}},
        {"op": "argmax", "node": "a", "inputs": [42], "outputs": [43], "attributes": {},
         "constants": {}},
    ]  # fmt: skip
    plan["outputs"] = [head(plan["tensors"], 43, classes=True)]
    return sealed(folder, header, arrays)


RUN_LONG = """
import signal, sys, time
import numpy as np
from andpop.hw.cpu.engine import Engine

# A job in the background inherits that SIGINT is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

engine = Engine.load(sys.argv[1])
pictures = np.random.default_rng(0).integers(0, 256, (3, *engine.input_shape), dtype=np.uint8)
print("ready", flush=True)
try:
    engine.run(pictures, threads=int(sys.argv[2]))
except KeyboardInterrupt:
    print(time.time())
    small = Engine.load(sys.argv[3])
    print(small.intermediates(np.full((1, *small.input_shape), 7, np.uint8))["out0"].max())
"""


@pytest.mark.parametrize("isa", instruction_sets())
@pytest.mark.parametrize("threads", [1, 3])
def test_ctrl_c_ends_a_run_within_a_second(tmp_path: Path, threads: int, isa: str) -> None:
    header, arrays = single_step("pad", [([1, 1, 1], "UINT8", "u8")], [([3, 3, 1], "u8")],
                                 geometry(1, 1, 1, 1))  # fmt: skip
    small = tmp_path / "small.andpop"
    small.write_bytes(seal(header, arrays))
    with subprocess.Popen(
        [sys.executable, "-c", RUN_LONG, bomb(tmp_path), str(threads), small],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "ANDPOP_ISA": isa},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.3)
        assert process.poll() is None
        sent = time.time()
        process.send_signal(signal.SIGINT)
        ended, value = process.communicate(timeout=60)[0].split()
    assert float(ended) - sent < 1
    assert value == "7"


def test_what_any_signal_handler_raises_ends_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise TimeoutError("time is up")

    model = Engine.load(bomb(tmp_path))
    shape = (2, *model.input_shape)
    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        began = time.perf_counter()
        with pytest.raises(TimeoutError, match="time is up"):
            model.run(np.zeros(shape, np.uint8), threads=2)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.perf_counter() - began < 1.2


def test_ctrl_c_prints_one_line(tmp_path: Path, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine._engine.Network, "run", interrupt, raising=True)
    picture = tmp_path / "a.png"
    Image.new("L", (128, 128), 90).save(picture)
    code, out, err = run("infer", ZOO, "--images", picture, "--json")
    assert (code, out) == (INTERRUPTED, "")
    assert err == "andpop: interrupted; run the same command again to resume\n"
