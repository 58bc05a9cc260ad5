# SPDX-License-Identifier: Apache-2.0
"""A kernel is its folder and its line in the list: nothing else of the product knows its name."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from andpop.hw.kernels import KERNELS, backends

ROOT = Path(__file__).parent.parent
KERNEL_ROOM = "hw/kernels"
SUFFIXES = (".py", ".sv", ".svh", ".v", ".j2", ".vlt")
ROOMS = ("hw", "flows", "sim")
"""Rooms that see kernels. ``models`` and ``quant`` may import neither: a network's blocks have
names of their own, and some are those of kernels."""
ENGINE = ("hw/cpu/src/", "hw/cpu/ops/")
"""The engine's operations, in C++ and beside it in Python, have names of their own."""
LOWERING = ("hw/graph/lower/", "hw/graph/lowering.py", "hw/graph/epilogue_pattern.py")
"""Handlers make the nodes of a graph."""
PASSES = {
    "fm_padding": ("hw/cpu/windows.py",),
    "sliding_window": ("hw/cpu/windows.py",),
    "duplicate_streams": ("hw/graph/builder.py", "hw/graph/insert_streams.py"),
    "epilogue": ("hw/kernels/serial_epilogue.py",),
    "streaming_data_width_converter": ("hw/graph/insert_streams.py",),
    "stream_link": ("hw/graph/insert_streams.py",),
    "streaming_fifo": ("hw/graph/insert_streams.py", "hw/targets/zynq/"),
}
"""Kernels that belong to every graph: the pass that inserts each, or asks for it; a kernel with a
core for others: what they share of it in Python; and those that a product on the CPU takes in."""

PARTS = {
    "epilogue": (
        "hw/kernels/serial_epilogue.py", "hw/kernels/binary_block/", "hw/kernels/shared_engine/",
    )
}  # fmt: skip
"""Kernels whose core others hold inside themselves, and where that is said."""

PATTERN_FILES = ("/fuse.py", "/share.py", "/block_fusion.py", "/replace.py")
"""Files that say which ops of the graph a fused kernel takes in; the last is what blocks share."""


def op_types() -> dict[str, str]:
    """Kernel -> its op type in the graph."""
    folders = {op.__module__.split(".")[-2]: name for name, op in backends().items()}
    return {kernel: folders[kernel] for kernel in KERNELS}


def sources() -> list[Path]:
    """Every source of the product, in the rooms that see kernels."""
    return [
        file
        for room in ROOMS
        for file in sorted((ROOT / room).rglob("*"))
        if file.suffix in SUFFIXES and not relative(file).startswith(ENGINE)
    ] + [ROOT / "setup.py", ROOT / "Makefile"]


def relative(file: Path) -> str:
    """Path in the repository."""
    return file.relative_to(ROOT).as_posix()


def allowed(file: str, kernel: str) -> bool:
    """Whether a file may name a kernel: a fused one's pattern names the ops that it takes in."""
    if file.startswith(f"{KERNEL_ROOM}/") and file.endswith(PATTERN_FILES):
        return True
    own = (f"{KERNEL_ROOM}/{kernel}/", f"{KERNEL_ROOM}/__init__.py", *LOWERING)
    inside = PARTS.get(kernel, ())
    return file.startswith((*own, *inside, *PASSES.get(kernel, ())))


def named() -> list[tuple[str, str]]:
    """(file, kernel) wherever a file names a kernel that it may not name."""
    found = []
    for file in sources():
        text = file.read_text(encoding="utf-8")
        for kernel, op in op_types().items():
            # A kernel's cpu.py calls operations of the engine, which have names of their own.
            words = op if file.name == "cpu.py" else f"{kernel}|{op}"
            named_here = re.search(rf"(?<![A-Za-z0-9_])(?:{words})(?![a-z0-9]|_view)", text)
            if named_here and not allowed(relative(file), kernel):
                found.append((relative(file), kernel))
    return found


def test_a_kernel_is_named_in_its_folder_and_where_its_nodes_are_made() -> None:
    assert named() == []


def test_a_kernel_imports_no_other_kernel() -> None:
    for kernel in KERNELS:
        for file in (ROOT / KERNEL_ROOM / kernel).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.level == 2:
                    first = (node.module or "").partition(".")[0]
                    assert first not in KERNELS, f"{relative(file)}:{node.lineno}: {first}"


def test_shared_parts_import_no_kernel() -> None:
    for file in (ROOT / KERNEL_ROOM).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == 1:
                assert (node.module or "").partition(".")[0] not in KERNELS, relative(file)


@pytest.mark.full
@pytest.mark.parametrize("kernel", ["stream_crop"])
def test_a_tree_without_a_kernel_lints(kernel: str, tmp_path: Path) -> None:
    tree = tmp_path / "andpop"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.py", "*.pyi", "*.toml"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for name in listed:
        gone = name.startswith((f"{KERNEL_ROOM}/{kernel}/", "tests/"))
        if not gone and (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tree / name)
    kernels = tree / KERNEL_ROOM / "__init__.py"
    text = kernels.read_text(encoding="utf-8")
    line = f'    "{kernel}",\n'
    assert text.count(line) == 1
    kernels.write_text(text.replace(line, ""), encoding="utf-8")
    (tree / ".cache" / "src").mkdir(parents=True)
    (tree / ".cache" / "src" / "andpop").symlink_to("../..")
    tools = Path(sys.executable).parent
    environment = {**os.environ, "PYTHONPATH": str(tree / ".cache" / "src")}
    for command in (
        [tools / "ruff", "check", "."],
        [tools / "ruff", "format", "--check", "."],
        [sys.executable, "-m", "mypy", "-p", "andpop"],
        [tools / "lint-imports", "--no-cache"],
    ):
        done = subprocess.run(
            command, cwd=tree, capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == 0, done.stdout + done.stderr
