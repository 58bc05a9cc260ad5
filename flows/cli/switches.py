# SPDX-License-Identifier: Apache-2.0
"""Options made from fields: of a configuration model (pydantic), of a recipe (dataclass).

A field is one option. Its name with dashes is the flag, its description the help, its default the
default. ``json_schema_extra={"flag": "--pa"}`` gives another flag; fields with the same flag are
given together, with commas. A field that is a model itself stands for the fields in it.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import wraps
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer
from pydantic import BaseModel

from ..errors import UsageError

Path = tuple[str, ...]
"""Name of a field, below the names of the fields that hold its model."""


@dataclass(frozen=True)
class Switch:
    """One option and the fields that it sets.

    Attributes:
        flag: e.g. ``"--left"``.
        paths: the fields, more than one where a value has several parts.
        kind: type of the value, or of each part of it.
        many: True for a value of parts with commas, of any number where there is one field.
        default: value without the option, None where leaving it out has a meaning of its own.
        help: what it is.
        metavar: what the help shows in the place of a value; None for the type.
        panel: heading it stands under in the help; empty for that of its command.
    """

    flag: str
    paths: tuple[Path, ...]
    kind: type
    many: bool
    default: Any
    help: str
    metavar: str | None = None
    panel: str = ""

    @property
    def name(self) -> str:
        """The option as the name of a parameter."""
        return self.flag.removeprefix("--").replace("-", "_")

    def parameter(self, panel: str, hidden: bool) -> inspect.Parameter:
        """Return the option as a parameter of a command's function."""
        kind, default = (str if self.many else self.kind), self.default
        if self.many and default is not None:
            default = ",".join(map(str, default))
        if hidden or default is None:
            kind, default = kind | None, None  # type: ignore[assignment]
        flags = [self.flag]
        if self.kind is bool:
            flags = [f"{self.flag}/--no-{self.flag.removeprefix('--')}"]
        option = typer.Option(
            *flags,
            help=self.help,
            metavar=self.metavar,
            hidden=hidden,
            rich_help_panel=self.panel or panel,
        )
        keyword = inspect.Parameter.KEYWORD_ONLY
        return inspect.Parameter(
            self.name, keyword, default=default, annotation=Annotated[kind, option]
        )

    def values(self, given: Any) -> Iterator[tuple[Path, Any]]:
        """Yield each field and the value for it.

        Raises:
            UsageError: parts that are no numbers, or not as many as fields.
        """
        if not self.many:
            yield self.paths[0], given
            return
        example = ",".join(map(str, self.default)) if len(self.paths) > 1 else "3,3"
        try:
            parts = tuple(self.kind(part) for part in given.split(","))
        except ValueError as error:
            raise UsageError(
                f"{self.flag}: found '{given}', expected whole numbers with commas such as "
                f"{example}"
            ) from error
        if len(self.paths) == 1:
            yield self.paths[0], parts
        elif len(parts) == len(self.paths):
            yield from zip(self.paths, parts, strict=True)
        else:
            raise UsageError(
                f"{self.flag}: found '{given}', expected {self.metavar} such as {example}"
            )


def of_model(model: type[BaseModel], leave_out: Sequence[str] = ()) -> list[Switch]:
    """Return the switches of a configuration model, in the order of its fields.

    Args:
        model: fields with descriptions and defaults; a model in it becomes the switches of that.
        leave_out: names of fields that are no switches.
    """
    found: dict[str, Switch] = {}
    for name, field in model.model_fields.items():
        if name in leave_out:
            continue
        kind = _without_none(field.annotation)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            panel = f"{(field.description or name).rstrip('.')}, if one of these is given"
            made = [
                replace(s, paths=tuple((name, *path) for path in s.paths), panel=panel)
                for s in of_model(kind)
            ]
        else:
            extra = field.json_schema_extra
            flag = extra.get("flag") if isinstance(extra, dict) else None
            made = [_switch(name, kind, field.default, field.description or "", flag)]
        for switch in made:
            before = found.get(switch.flag)
            found[switch.flag] = switch if before is None else _joined(before, switch)
    return list(found.values())


def of_dataclass(
    recipe: type,
    defaults: Mapping[str, Any],
    leave_out: Sequence[str] = (),
    flag: Callable[[str], str] = lambda name: "",
) -> list[Switch]:
    """Return the switches of a dataclass, told about by the ``Attributes`` of its docstring.

    Args:
        recipe: the dataclass; every field has a default.
        defaults: those that differ from the fields' own.
        leave_out: names of fields that are no switches.
        flag: name of a field -> its flag, "" for the name with dashes.
    """
    hints, told = get_type_hints(recipe), _attributes(recipe)
    return [
        _switch(
            field.name,
            _without_none(hints[field.name]),
            defaults.get(field.name, field.default),
            told.get(field.name, ""),
            flag(field.name),
        )
        for field in fields(recipe)
        if field.name not in leave_out
    ]


def _attributes(documented: type) -> dict[str, str]:
    """Return what a docstring says about each attribute, as sentences."""
    told: dict[str, str] = {}
    name = ""
    _, _, section = (inspect.getdoc(documented) or "").partition("Attributes:\n")
    for line in section.splitlines():
        if not line.startswith(" " * 4):
            break
        if line[4] != " ":
            name, _, line = line.strip().partition(": ")
        told[name] = f"{told.get(name, '')} {line.strip()}".strip()
    return {name: text[:1].upper() + text[1:] for name, text in told.items()}


def with_options(
    function: Callable[..., None], own: Sequence[Switch], others: Sequence[Switch], panel: str
) -> Callable[..., None]:
    """Return a command whose ``**given`` takes switches; those of ``others`` are not in the help.

    ``function`` gets those that were given on the command line, by the names of their parameters.
    """
    signature = inspect.signature(function, eval_str=True)
    first = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    options = [s.parameter(panel, False) for s in own]
    flags = {s.flag for s in own}
    hidden = {s.flag: s.parameter(panel, True) for s in others if s.flag not in flags}
    switches = {p.name for p in (*options, *hidden.values())}

    @wraps(function)
    def call(context: typer.Context, **values: Any) -> None:
        def left_out(name: str) -> bool:
            source = context.get_parameter_source(name)
            return source is None or source.name == "DEFAULT"

        function(**{k: v for k, v in values.items() if k not in switches or not left_out(k)})

    context = inspect.Parameter(
        "context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
    )
    first = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in first]
    call.__signature__ = inspect.Signature([context, *first, *options, *hidden.values()])  # type: ignore[attr-defined]
    return call


def _switch(name: str, kind: Any, default: Any, help_text: str, flag: object) -> Switch:
    """Return the switch of one field."""
    metavar, many = None, False
    if get_origin(kind) is Literal:
        metavar = "|".join(map(str, get_args(kind)))
        kind = type(get_args(kind)[0])
    elif get_origin(kind) is tuple:
        kind, many = get_args(kind)[0], True
        metavar = f"<{kind.__name__}>,..."
    flag = str(flag) if flag else "--" + name.replace("_", "-")
    return Switch(flag, ((name,),), kind, many, default, help_text, metavar)


def _joined(first: Switch, second: Switch) -> Switch:
    """Return the switch of fields that are given together."""
    paths = (*first.paths, *second.paths)
    before = first.default if len(first.paths) > 1 else (first.default,)
    return replace(
        first,
        paths=paths,
        many=True,
        default=(*before, second.default),
        help=" ".join(part for part in (first.help, second.help) if part),
        metavar=",".join(path[-1].upper() for path in paths),
    )


def _without_none(annotation: Any) -> Any:
    """Return X of ``X | None``."""
    if get_origin(annotation) in (Union, types.UnionType):
        (annotation,) = (part for part in get_args(annotation) if part is not type(None))
    return annotation
