# SPDX-License-Identifier: Apache-2.0
"""Tasks: one object from training to report, found by name and by heads, without PyTorch."""

from __future__ import annotations

import subprocess
import sys

import pytest
from andpop.quant import tasks
from andpop.quant.tasks.task import Task


@pytest.mark.parametrize("task", tasks.TASKS, ids=lambda task: task.name)
def test_a_task_is_found_by_its_name_and_by_its_heads(task: Task) -> None:
    assert tasks.named(task.name) is task
    assert tasks.of_heads(task.heads) is task


def test_unknown_tasks_are_named() -> None:
    with pytest.raises(ValueError, match="found task 'speech', expected one of classification"):
        tasks.named("speech")
    assert tasks.of_heads(["class", "raw"]) is None


@pytest.mark.parametrize("module", ["quant.tasks", "flows.runners", "flows.commands.infer"])
def test_the_cpu_path_imports_neither_pytorch_nor_onnx(module: str) -> None:
    heavy = ("torch", "brevitas", "onnx", "qonnx", "finn", "matplotlib")
    program = f"import sys, andpop.{module}; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
