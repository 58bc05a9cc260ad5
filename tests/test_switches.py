# SPDX-License-Identifier: Apache-2.0
"""Options of the program: made from fields, shown for one network, told in one page."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import typer
from andpop.flows.cli import app
from andpop.flows.cli.networks import as_config
from andpop.flows.cli.reference import reference
from andpop.flows.cli.switches import of_dataclass, of_model
from andpop.flows.errors import BAD_INPUT, OK, UsageError
from andpop.models import registry
from program import Run
from pydantic import BaseModel, Field

PAGE = Path(__file__).parent.parent / "docs/03_reference/options.md"


class Bases(BaseModel):
    """A model in a model; two fields under one flag."""

    m: int = Field(default=4, description="Number M.", json_schema_extra={"flag": "--pa"})
    n: int = Field(default=5, description="Number N.", json_schema_extra={"flag": "--pa"})
    levels: Literal["free", "linear"] = Field(default="free", description="Levels.")


class Toy(BaseModel):
    """A configuration with a field of every kind."""

    channels: int = Field(default=1, description="Channels.")
    width: float = Field(default=1.0, description="Multiplier of the channels.")
    left: tuple[int, ...] = Field(default=(5,), description="Kernels.")
    depth: Literal[3, 4] = Field(default=4, description="Pools.")
    shortcut: bool = Field(default=True, description="The shortcut.")
    bits: int | None = Field(default=None, description="Bits.")
    pa: Bases | None = Field(default=None, description="Bases in place of bits.")


def test_a_field_is_a_switch() -> None:
    switches = {switch.flag: switch for switch in of_model(Toy, leave_out=("channels",))}
    assert list(switches) == ["--width", "--left", "--depth", "--shortcut", "--bits", "--pa",
                              "--levels"]  # fmt: skip
    assert (switches["--width"].kind, switches["--width"].default) == (float, 1.0)
    assert (switches["--depth"].kind, switches["--depth"].metavar) == (int, "3|4")
    assert (switches["--bits"].kind, switches["--bits"].default) == (int, None)
    assert switches["--pa"].paths == (("pa", "m"), ("pa", "n"))
    assert (switches["--pa"].help, switches["--pa"].metavar) == ("Number M. Number N.", "M,N")
    assert switches["--levels"].panel == "Bases in place of bits, if one of these is given"


def test_switches_set_their_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "names", lambda: ("toy",))

    def config(**given: Any) -> dict[str, Any]:
        return as_config("toy", lambda _: of_model(Toy), given)

    assert config(left="5,3", shortcut=False) == {"left": (5, 3), "shortcut": False}
    assert config(pa="8,7", levels="linear") == {"pa": {"m": 8, "n": 7, "levels": "linear"}}
    assert config(strange=3) == {"strange": 3}
    with pytest.raises(UsageError, match="--left: found 'x', expected whole numbers"):
        config(left="x")
    with pytest.raises(UsageError, match="--pa: found '4', expected M,N such as 4,5"):
        config(pa="4")


def test_a_recipe_is_told_by_its_docstring() -> None:
    @dataclass
    class Recipe:
        """A recipe.

        Attributes:
            epochs: epochs that come
                first.
            learning_rate: Adam's.

        Raises:
            ValueError: never.
        """

        epochs: int = 8
        learning_rate: float = 0.1

    epochs, rate = of_dataclass(Recipe, {"epochs": 9}, flag=lambda name: f"--{name[:5]}")
    assert (epochs.flag, epochs.default, epochs.help) == ("--epoch", 9, "Epochs that come first.")
    assert (rate.flag, rate.default, rate.help) == ("--learn", 0.1, "Adam's.")


@pytest.mark.parametrize("command", ["count", "train"])
def test_help_shows_the_switches_of_one_network(command: str, run: Run) -> None:
    shown = {name: run(command, name, "--help")[1] for name in ("bi-shufflenet", "u-binet")}
    assert "--conv1-kernel" in shown["bi-shufflenet"] and "--monotone" not in shown["bi-shufflenet"]
    assert "--monotone" in shown["u-binet"] and "--conv1-kernel" not in shown["u-binet"]
    assert all("default: 4,5" in text for text in shown.values())
    general = re.sub(r"\s+", " ", run(command, "--help")[1])
    assert "--monotone" not in general and "--conv1-kernel" not in general
    assert all(name in general for name in registry.names())
    assert f"andpop {command} NETWORK --help" in general


def test_help_shows_the_recipe_of_the_network(run: Run) -> None:
    def default(network: str) -> str:
        text = re.sub(r"[\s│]+", " ", run("train", network, "--help")[1])
        found = re.search(r"--real-epochs .*?default: (\d+)", text)
        assert found is not None
        return found[1]

    assert (default("bi-shufflenet"), default("u-binet")) == ("0", "40")


def test_arguments_come_in_any_order(run: Run) -> None:
    words = ("--input", "64x64x1", "--k", "2", "--monotone")
    first = run("count", "u-binet", *words, "--json")
    assert first[0] == OK
    assert run("count", *words, "u-binet", "--json")[1] == first[1]
    assert run("count", "--json", *words[2:], "u-binet", *words[:2])[1] == first[1]


def test_fields_given_together_are_one_switch(run: Run) -> None:
    size = ("--input", "32x32x1", "--json")
    plain, pa, wide = (
        json.loads(run("count", "bi-shufflenet", *size, *words)[1])
        for words in ((), ("--pa", "4,5"), ("--pa", "8,7"))
    )
    assert plain["bops"] < pa["bops"] < wide["bops"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("u-binet", "--width", "2"), "u-binet: config.width: found 2.0: Extra inputs"),
        (("u-binet", "--width", "2"), "not permitted; it has weight_bits, base, depth, k, kind"),
        (("bi-shufflenet", "--k", "2"), "bi-shufflenet: config.k: found 2: Extra inputs"),
        (("--k", "2", "nonet"), "found network 'nonet', expected one of"),
        (("bi-shufflenet", "--left", "x"), "--left: found 'x', expected whole numbers with commas"),
        (("bi-shufflenet", "--pool", "m"), "config.pool: found 'm': Input should be 'max'"),
        (("bi-shufflenet", "--pa", "4,5,6"), "--pa: found '4,5,6', expected M,N such as 4,5"),
        (("--k", "2"), "Missing argument"),
        (("u-binet", "bi-shufflenet"), "Got unexpected extra argument"),
    ],
)
def test_a_switch_that_cannot_be_is_refused(words: tuple[str, ...], message: str, run: Run) -> None:
    code, _, err = run("count", *words, "--input", "64x64x1")
    assert code == BAD_INPUT
    assert message in err and len(err.splitlines()) == 1


def options() -> Iterator[tuple[str, Any]]:
    """Every option and argument of every command and network, with the command's name."""
    program: Any = typer.main.get_command(app)
    for name, command in program.commands.items():
        yield from ((name, p) for p in command.params)
        for network in registry.names() if hasattr(command, "of_network") else ():
            yield from ((name, p) for p in command.of_network(network, ()).params)


def test_every_option_says_what_it_is() -> None:
    for command, option in options():
        where, text = f"{command} {option.name}: {option.help}", option.help or ""
        assert text[:1].isupper(), where
        assert text.endswith("."), where
        assert all(len(part.split()) <= 35 for part in re.split(r"(?<=[.;])\s", text)), where


def test_the_page_of_options_is_that_of_the_program() -> None:
    assert PAGE.read_text() == reference(), (
        f"run: python -m andpop.flows.cli.reference docs/03_reference/{PAGE.name}"
    )


def test_the_program_starts_without_heavy_packages() -> None:
    program = (
        "import sys\n"
        "sys.argv = ['andpop', '--help']\n"
        "from andpop.flows import cli\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'brevitas', 'onnx', 'qonnx', 'finn', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'found {heavy} imported' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
