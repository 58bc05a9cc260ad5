# SPDX-License-Identifier: Apache-2.0
"""What the page on Python functions says: their names, and paths as strings."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import andpop
import numpy as np
import pytest
from andpop.flows import api
from andpop.flows.cli import app
from PIL import Image

OTHER_NAMES = {"eval": "evaluate"}


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("pictures") / "a.png"
    Image.fromarray(np.arange(128 * 128, dtype=np.uint8).reshape(128, 128)).save(file)
    return str(file)


def test_every_command_is_a_function_of_the_package() -> None:
    for command in app.registered_commands:
        name = OTHER_NAMES.get(str(command.name), str(command.name))
        assert getattr(andpop, name) is getattr(api, name)
        assert name in dir(andpop)


def test_every_function_takes_strings_for_paths() -> None:
    functions = [f for f in vars(api).values() if getattr(f, "__module__", "") == api.__name__]
    assert len(functions) > 10
    for function in functions:
        given = [p.annotation for p in inspect.signature(function).parameters.values()]
        assert not [a for a in given if str(a).startswith("Path")], function


def test_paths_may_be_strings(tmp_path: Path, picture: str) -> None:
    packed = str(api.ZOO / "bi-shufflenet-neu.andpop")
    (one,) = andpop.infer(packed, picture)["predictions"]
    classes, logits = andpop.load(packed).run(np.asarray(Image.open(picture))[None, :, :, None])
    assert one["index"] == classes[0]
    assert one["logits"] == logits[0].tolist()
    folder = str(tmp_path / "surfaces")
    assert andpop.synthetic(folder, count=1, size=16)["pictures"] == 6
    assert andpop.evaluate(packed, folder)["n"] == 6
    with pytest.raises(ValueError, match="no such folder"):
        andpop.compare(str(tmp_path / "none"), picture)


def test_the_cpu_path_of_python_imports_no_pytorch(picture: str) -> None:
    packed = str(api.ZOO / "bi-shufflenet-neu.andpop")
    program = (
        "import sys, andpop\n"
        f"andpop.load({packed!r})\n"
        f"andpop.infer({packed!r}, {picture!r})\n"
        "print(*{'torch', 'onnx', 'qonnx', 'finn', 'brevitas'} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
