# SPDX-License-Identifier: Apache-2.0
"""Builds: a list of steps over one folder, resumable, skipped when unchanged, swapped in whole."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from ..hw import boards
from ..quant.checkpoint import replace_file
from ..quant.names import brief
from .errors import UsageError
from .folder import STATE, behind_links, beside, put_right, swap, writing
from .options import read_options

if TYPE_CHECKING:
    from ..hw.graph.pixels import Pixels

ROOT = Path(__file__).parent.parent
Progress = Callable[[str, int, int], None]
MOST_SIDE = 4096
"""Most rows or columns of an input, as a checkpoint's card has it."""
MOST_CYCLES = 10**12


def parse_size(text: str) -> tuple[int, int, int]:
    """Parse HxWxC.

    Raises:
        UsageError: anything else than three positive integers joined by x, sides too large.
    """
    parts = text.lower().split("x")
    # Longer numbers are out of every range, and Python reads only so many digits.
    if len(parts) != 3 or not all(p.isdecimal() and len(p) < 10 and int(p) > 0 for p in parts):
        raise UsageError(f"--input: found {brief(text)}, expected HxWxC such as 64x64x1")
    height, width, channels = (int(p) for p in parts)
    if max(height, width) > MOST_SIDE:
        raise UsageError(f"--input: found {brief(text)}, expected sides of at most {MOST_SIDE}")
    if channels not in (1, 3):
        raise UsageError(f"--input: found {channels} channels in '{text}', expected 1 or 3")
    return height, width, channels


def parse_numbers(text: str) -> tuple[float, ...]:
    """Parse numbers divided by commas; each may be a fraction such as 1/255.

    Raises:
        ValueError: something else, or a number that is not finite.
    """
    try:
        # Longer ones are no pixel's numbers, and fractions of thousands of digits take long.
        if any(len(part) > 40 for part in text.split(",")):
            raise ValueError
        row = tuple(float(Fraction(part.strip())) for part in text.split(","))
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise ValueError(
            f"found '{text:.60}', expected numbers such as 1/255 or 0.485,0.456,0.406"
        ) from error
    return row


def _as_text(value: Any) -> Any:
    """Numbers and lists of build.yaml, as the command line would give them."""
    if isinstance(value, list):
        return ",".join(str(part) for part in value)
    return str(value) if isinstance(value, (int, float)) else value


Numbers = Annotated[str | None, BeforeValidator(_as_text)]


class BuildConfig(BaseModel):
    """Options of a build: the command line's, or build.yaml's; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: str | None = None
    input_scale: Numbers = None
    input_mean: Numbers = None
    input_std: Numbers = None
    target_cycles: int | None = Field(default=None, ge=1, le=MOST_CYCLES)
    target_fps: float | None = Field(default=None, ge=1e-3, le=1e9, allow_inf_nan=False)
    clock_mhz: float = Field(default=100.0, ge=1e-3, le=1e4, allow_inf_nan=False)
    folding: str | None = None
    board: str = boards.DEFAULT
    until: str | None = None

    @field_validator("target_cycles", "target_fps", "clock_mhz", mode="before")
    @classmethod
    def _no_switch(cls, value: Any) -> Any:
        if isinstance(value, bool):  # which pydantic would take for 0 or 1
            raise ValueError(f"found {str(value).lower()}, expected a number")
        return value

    @field_validator("board")
    @classmethod
    def _known_board(cls, value: str) -> str:
        return boards.find(value).name

    @field_validator("folding")
    @classmethod
    def _a_path(cls, value: str | None) -> str | None:
        if value is not None and (not value or "\0" in value):
            raise ValueError(f"found {brief(value)}, expected the path of a file")
        return value

    @model_validator(mode="after")
    def _one_target(self) -> BuildConfig:
        given = [n for n in ("target_cycles", "target_fps", "folding") if getattr(self, n)]
        if len(given) > 1:
            raise ValueError(f"found {' and '.join(given)}, expected at most one of them")
        return self

    @model_validator(mode="after")
    def _pixel_numbers(self) -> BuildConfig:
        for name in ("input_scale", "input_mean", "input_std"):
            try:
                row = parse_numbers(getattr(self, name) or "1")
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
            if name != "input_mean" and min(row) <= 0:
                raise ValueError(f"{name}: found {min(row):g}, expected numbers above 0")
        if len(parse_numbers(self.input_scale or "1")) > 1:
            raise ValueError(f"input_scale: found {self.input_scale}, expected one number")
        return self

    @property
    def asks_for_pixels(self) -> bool:
        """Whether an option says what the network reads of a pixel."""
        return any((self.input_scale, self.input_mean, self.input_std))

    @property
    def pixels(self) -> Pixels:
        """What the network reads of a pixel by the options; pixel / 255 where they leave it out."""
        from ..hw.graph.pixels import Pixels

        return Pixels(
            parse_numbers(self.input_scale or "1/255")[0],
            parse_numbers(self.input_mean or "0"),
            parse_numbers(self.input_std or "1"),
            "as the options say",
        )

    @property
    def size(self) -> tuple[int, int, int] | None:
        """Input size (height, width, channels), None for the card's."""
        return parse_size(self.input) if self.input else None

    def cycles(self, height: int, width: int) -> int:
        """Target cycles per frame; 8 per input pixel unless told."""
        if self.target_cycles:
            return self.target_cycles
        if self.target_fps:
            return max(1, int(self.clock_mhz * 1e6 / self.target_fps))
        return 8 * height * width


def read_config(file: Path | None, options: dict[str, Any]) -> BuildConfig:
    """Merge build.yaml and command-line options (these win).

    Raises:
        UsageError: the file is no YAML mapping, or an option is unknown or out of range.
    """
    values: dict[str, Any] = {}
    where = "build options"
    if file is not None:
        where = str(file)
        values.update(read_options(file))
    values.update({k: v for k, v in options.items() if v is not None})
    try:
        config = BuildConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "options"
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            message = f"found no such option, expected one of {', '.join(BuildConfig.model_fields)}"
        elif first["type"] != "value_error":
            message = f"found {brief(first['input'])}: {message}"
        raise UsageError(f"{where}: {key}: {message}") from error
    if config.input is not None:
        parse_size(config.input)
    return config


@dataclass
class Context:
    """What a step works with: the folder it writes, the options, and where it reports progress."""

    folder: Path
    source: Path
    config: BuildConfig
    progress: Progress


@dataclass(frozen=True)
class Step:
    """One step: reads ``inputs`` and configuration ``keys``, writes ``outputs`` in the folder."""

    name: str
    run: Callable[[Context], None]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    keys: tuple[str, ...] = ()


def digest(path: Path) -> str:
    """SHA-256 over a file, or over names and contents of a folder's files."""
    state = hashlib.sha256()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        state.update(os.fsencode(file.relative_to(path)))
        with file.open("rb") as stream:
            state.update(hashlib.file_digest(stream, "sha256").digest())
    return state.hexdigest()


def code_digest() -> str:
    """Digest of andpop's own sources, so that a newer andpop redoes what an older one built."""
    state = hashlib.sha256()
    for room in ("quant", "models", "hw", "sim", "flows"):
        for file in sorted((ROOT / room).rglob("*")):
            if file.suffix in {".py", ".sv", ".svh", ".cpp", ".hpp", ".jinja", ".vlt"}:
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
    if "folding" in step.keys and values["folding"]:
        parts["folding"] = digest(Path(values["folding"]))
    for name in step.inputs:
        path = _input_path(context, name)
        if path.exists():
            parts[name] = digest(path)
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


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically."""
    replace_file(path, (json.dumps(value, indent=2) + "\n").encode())
