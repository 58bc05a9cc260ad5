# SPDX-License-Identifier: Apache-2.0
"""Builds: a list of steps over one folder, resumable, skipped when unchanged, swapped in whole."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..quant.files import digest, write_json
from .config import BuildConfig
from .errors import UsageError
from .files import QONNX, BuildFiles
from .folder import STATE, behind_links, beside, put_right, swap, writing
from .progress import Progress

ROOT = Path(__file__).parent.parent


@dataclass
class Context:
    """What a step works with: the folder it writes, the options, and where it reports progress."""

    folder: Path
    source: Path
    config: BuildConfig
    progress: Progress

    @property
    def files(self) -> BuildFiles:
        """The files that the step reads and writes."""
        return BuildFiles(self.folder)


@dataclass(frozen=True)
class Step:
    """One step: reads ``inputs`` and configuration ``keys``, writes ``outputs`` in the folder."""

    name: str
    run: Callable[[Context], None]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    keys: tuple[str, ...] = ()


def code_digest() -> str:
    """Digest of andpop's own sources, so that a newer andpop redoes what an older one built."""
    state = hashlib.sha256()
    for room in ("quant", "models", "hw", "sim", "flows"):
        for file in sorted((ROOT / room).rglob("*")):
            if file.suffix in {".py", ".sv", ".svh", ".cpp", ".hpp", ".jinja", ".vlt", ".yaml"}:
                state.update(file.read_bytes())
    return state.hexdigest()


def run_build(
    steps: Sequence[Step], source: Path, out: Path, config: BuildConfig, progress: Progress
) -> list[dict[str, Any]]:
    """Run ``steps`` into ``out``; returns one row per step (step, seconds, skipped).

    Work happens in a hidden folder beside ``out`` that takes its place when every step is done
    and nobody reads the last build: a failed build leaves the last good one intact. What stopped
    for another reason than bad input is resumed by the next call. A link stays a link: what it
    points to is rebuilt.

    Raises:
        Busy: another command builds into ``out``.
        UsageError: ``out`` exists and is no build, or ``config.until`` names no step.
    """
    names = [step.name for step in steps]
    if config.until is not None and config.until not in names:
        raise UsageError(f"--until: found '{config.until}', expected one of {', '.join(names)}")
    out = behind_links(out)
    made = _make_folders(out.parent)
    try:
        with writing(out):
            return _build(steps, source, out, config, progress)
    finally:
        for folder in made:
            # What was made for a build that came to nothing goes again.
            with contextlib.suppress(OSError):
                folder.rmdir()


def _make_folders(folder: Path) -> list[Path]:
    """Make a folder and those above it; returns the new ones, innermost first."""
    new = [f for f in (folder, *folder.parents) if not f.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return new


def _build(
    steps: Sequence[Step], source: Path, out: Path, config: BuildConfig, progress: Progress
) -> list[dict[str, Any]]:
    """See ``run_build``; ``out`` is held."""

    def waiting() -> None:
        progress("build: waiting for the commands that read the last build", 0, 1)

    put_right(out, waiting)
    is_build = (out / STATE).is_file()
    if out.exists() and not is_build and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: exists and is not a build of andpop; choose another folder")
    staging = beside(out, "partial")
    try:
        if not staging.exists() and is_build:
            copy = beside(out, "copy")
            shutil.copytree(out, copy, symlinks=True)
            copy.rename(staging)
        staging.mkdir(exist_ok=True)
        _remove_unfinished(steps, staging)
        rows = _run_steps(steps, Context(staging, source, config, progress))
    except BaseException as error:
        shutil.rmtree(beside(out, "copy"), ignore_errors=True)
        # Bad input has nothing worth resuming; an interruption or a full disk has.
        if isinstance(error, ValueError) or not (staging / STATE).is_file():
            shutil.rmtree(staging, ignore_errors=True)
        raise
    swap(staging, out, waiting)
    return rows


def _read_state(folder: Path) -> dict[str, Any]:
    """What steps have been done by ``build.json``: none, if it is missing or damaged."""
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        return {name: {"key": s["key"], "outputs": dict(s["outputs"])} for name, s in state.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _remove_unfinished(steps: Sequence[Step], folder: Path) -> None:
    """Take away what a killed build has left by half, and what no step here writes any more."""
    state = _read_state(folder)
    written = {name for done in state.values() for name in done["outputs"]}
    names = {name for step in steps for name in step.outputs}
    _remove(folder, sorted(names ^ written))
    for name in (STATE, *names):
        for temporary in folder.glob(f".{name}.*"):
            temporary.unlink(missing_ok=True)


def _run_steps(steps: Sequence[Step], context: Context) -> list[dict[str, Any]]:
    state_file = context.folder / STATE
    state = _read_state(context.folder)
    code = code_digest()
    rows: list[dict[str, Any]] = []
    if context.config.until is not None:
        last = [step.name for step in steps].index(context.config.until)
        steps = steps[: last + 1]
    for number, step in enumerate(steps):
        context.progress(f"build: {step.name}", number, len(steps))
        began = time.perf_counter()
        key = _fingerprint(step, context, code)
        done = state.get(step.name)
        skipped = done is not None and done["key"] == key and _intact(context, done["outputs"])
        if not skipped:
            state.pop(step.name, None)
            try:
                step.run(context)
            except BaseException:
                _remove(context.folder, step.outputs)
                raise
            outputs = {
                name: digest(context.folder / name)
                for name in step.outputs
                if (context.folder / name).exists()
            }
            state[step.name] = {"key": key, "outputs": outputs}
            for earlier in state.values():
                # A later step may complete what an earlier one wrote (FIFO depths in rtl/).
                shared = earlier["outputs"].keys() & outputs.keys()
                earlier["outputs"].update({name: outputs[name] for name in shared})
            write_json(state_file, state)
        rows.append({"step": step.name, "seconds": time.perf_counter() - began, "skipped": skipped})
    context.progress("build", len(steps), len(steps))
    return rows


def _fingerprint(step: Step, context: Context, code: str) -> str:
    values = context.config.model_dump()
    parts: dict[str, Any] = {"code": code, "keys": {k: values[k] for k in step.keys}}
    for file in ("folding", "classes"):
        if file in step.keys and values[file]:
            parts[file] = digest(Path(values[file]))
    for name in step.inputs:
        path = _input_path(context, name)
        if path.exists():
            parts[name] = digest(path)
        if name == "SOURCE" and path.suffix == QONNX:
            from ..hw.graph.external_data import external_files  # needs ONNX, others do not

            parts |= {p.name: digest(p) for p in external_files(path) if p.is_file()}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _input_path(context: Context, name: str) -> Path:
    """Where an input of a step lies: SOURCE and CARD outside, everything else in the folder."""
    outside = {"SOURCE": context.source, "CARD": context.source.with_suffix(".json")}
    return outside.get(name, context.folder / name)


def _intact(context: Context, outputs: dict[str, str]) -> bool:
    paths = {context.folder / name: value for name, value in outputs.items()}
    return all(p.exists() and digest(p) == value for p, value in paths.items())


def _remove(folder: Path, names: Sequence[str]) -> None:
    """Take away what a failed step may have written by half."""
    for path in (folder / name for name in names):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
