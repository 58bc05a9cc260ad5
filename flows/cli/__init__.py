# SPDX-License-Identifier: Apache-2.0
"""The ``andpop`` program: one file per command in ``commands``, what they share beside it."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import threading
import warnings
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import NoReturn

import typer

from ...models import registry
from ..errors import BAD_INPUT, INTERRUPTED, OK, explain, one_line
from . import commands
from .networks import network_command
from .options import Group
from .terminal import err, say

app = typer.Typer(
    name="andpop",
    help="Binary neural networks on edge hardware: one trained network, one integer dataflow "
    "graph, four ways to run it, no differing bit between them.\n\n"
    "Start with: andpop demo",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _modules() -> list[ModuleType]:
    """Return the modules of the commands, group by group."""
    found = [
        import_module(f"{commands.__name__}.{module.name}")
        for module in iter_modules(commands.__path__)
    ]
    groups = list(Group)
    return sorted(found, key=lambda module: groups.index(module.GROUP))


def _add(module: ModuleType) -> None:
    name, function, cls, epilog = module.__name__.rpartition(".")[2], module.command, None, None
    if hasattr(module, "switches"):
        cls, function = network_command(function, module.switches)
        epilog = (
            f"Networks: {', '.join(registry.names())}. `andpop {name} NETWORK --help` shows the "
            "switches of one, each with its default."
        )
    app.command(name, cls=cls, epilog=epilog, rich_help_panel=module.GROUP.value)(function)


for _module in _modules():
    _add(_module)


def _end(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)


def main() -> None:
    """Run the program; turns errors a user can act on into one line and the right exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a letter of a name gets its number, not a traceback.
            stream.reconfigure(errors="backslashreplace")
    logging.basicConfig(level=os.environ.get("ANDPOP_LOG", "ERROR").upper())
    if not sys.warnoptions:
        # Hints of libraries to their programmers; python -W default shows them again.
        warnings.simplefilter("ignore")
    if threading.current_thread() is threading.main_thread():
        # As Ctrl-C, it raises: tools that were started are ended on the way out.
        signal.signal(signal.SIGTERM, _end)
    try:
        code = app(prog_name="andpop", standalone_mode=False)
    except typer.Exit as stop:
        code = stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        code = _report(error)
    if code == INTERRUPTED:  # Typer makes an exit of Ctrl-C, and prints nothing
        say("andpop: interrupted; run the same command again to resume", err)
    sys.exit(code if isinstance(code, int) else OK)


def _report(error: Exception) -> int:
    if isinstance(error, typer.TyperException):
        if not sys.argv[1:]:
            err.print(error.format_message())  # the help page
        else:
            context = getattr(error, "ctx", None)
            command = "andpop" if context is None else context.command_path
            say(
                f"andpop: {one_line(error.format_message()).rstrip('.')}; see {command} --help", err
            )
        return BAD_INPUT
    known = explain(error)
    if known is None:
        raise error
    say(f"andpop: {known[1]}", err)
    return known[0]
