# SPDX-License-Identifier: Apache-2.0
"""Plain names for the nodes and tensors of a file from outside."""

from __future__ import annotations

import re
from collections import Counter

import onnx

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
"""What a node or tensor may be called: the name becomes a module, a file and a Tcl word."""


def rename(model: onnx.ModelProto, renamed: dict[str, str], notes: list[str]) -> Names:
    """Give every node and tensor a plain, unique name; return those of tensors.

    What was renamed is noted: new name -> name in the file, and a line each.
    """
    graph = model.graph
    graph.name = plain(graph.name or "graph")
    node_names = Names("node", renamed, notes)
    for i, node in enumerate(graph.node):
        node.name = node_names.fresh(node.name or f"{node.op_type}_{i}")
    tensor_names = Names("tensor", renamed, notes)
    values = [*graph.input, *graph.output, *graph.value_info]
    for named in (*graph.input, *graph.initializer):
        named.name = tensor_names.of(named.name)
    for node in graph.node:
        node.input[:] = [tensor_names.of(name) for name in node.input]
        node.output[:] = [tensor_names.of(name) for name in node.output]
    for value in (*graph.output, *graph.value_info):
        value.name = tensor_names.of(value.name)
    for annotation in graph.quantization_annotation:
        annotation.tensor_name = tensor_names.of(annotation.tensor_name)
    for value in values:
        for dim in value.type.tensor_type.shape.dim:
            if dim.HasField("dim_param"):
                dim.dim_param = plain(dim.dim_param)
    return tensor_names


class Names:
    """Plain names handed out in order of appearance."""

    def __init__(self, kind: str, renamed: dict[str, str], notes: list[str]) -> None:
        self._kind = kind
        self._renamed, self._notes = renamed, notes
        self._given: dict[str, str] = {}
        self._taken: Counter[str] = Counter()

    def of(self, name: str) -> str:
        """The plain name of ``name``: the same one each time; an empty name (absent) stays."""
        if not name:
            return ""
        if name not in self._given:
            self._given[name] = self.fresh(name)
        return self._given[name]

    def fresh(self, name: str) -> str:
        """A plain name nobody has yet."""
        stem = plain(name)
        made = stem
        while self._taken[made]:
            self._taken[stem] += 1
            suffix = f"_{self._taken[stem] - 1}"
            made = stem[: 64 - len(suffix)] + suffix
        self._taken[made] += 1
        if made != name:
            self._renamed[made] = name
            self._notes.append(f"renamed {self._kind} {show(name)} to {made}")
        return made


def plain(name: str) -> str:
    """Replace every character that a plain name may not hold and cut it to 64.

    Separators around the name go: ``/conv1/Conv`` becomes ``conv1_Conv``.
    """
    if NAME.fullmatch(name):
        return name
    word = re.sub(r"[^A-Za-z0-9_]", "_", name).strip("_")
    return (word if re.match(r"[A-Za-z]", word) else "_" + word)[:64]


def show(name: str) -> str:
    """A name from outside, safe to print: quoted, escaped, at most 80 characters."""
    text = ascii(name)
    return text if len(text) <= 80 else text[:77] + "..."
