# SPDX-License-Identifier: Apache-2.0
"""Runs pytest again and again in forks of one process that has loaded the heavy libraries.

Loading them takes longer than most tests. andpop itself is loaded by each fork anew. Jobs come as
lines of JSON on standard input: arguments, a file for what pytest prints, and a limit in seconds
or null. The answer is a line with the exit status, negative for a signal, or null for no end.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

LIBRARIES = (
    "pytest", "numpy", "torch", "onnx", "onnxruntime", "brevitas.nn", "qonnx.core.onnx_exec",
    "qonnx.core.modelwrapper", "qonnx.transformation.infer_shapes", "finn.core.onnx_exec",
    "finn.custom_op.fpgadataflow.hwcustomop",
)  # fmt: skip


def child(job: dict[str, Any]) -> None:
    """Become the process that runs the tests; never returns."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.setsid()
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.path[0] = str(Path.cwd())
    import pytest

    code = int(pytest.main(job["arguments"]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def wait(pid: int, limit: float | None) -> int | None:
    """Return the status of a fork; None where it was stopped at its limit."""
    end = math.inf if limit is None else time.monotonic() + limit
    try:
        while time.monotonic() < end:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                pid = 0
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        return None
    finally:
        if pid:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def main() -> None:
    """Answer jobs until there are no more."""
    # Libraries print where they like: the answers get a channel of their own.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for name in LIBRARIES:
        import_module(name)
    assert not any(name.split(".")[0] == "andpop" for name in sys.modules)
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            child(job)
        answers.write(json.dumps(wait(pid, job["limit"])) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
