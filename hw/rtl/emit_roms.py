# SPDX-License-Identifier: Apache-2.0
"""Write the memories of constants that two nodes share: their images, and what connects them."""

from __future__ import annotations

from pathlib import Path

from qonnx.core.modelwrapper import ModelWrapper

from ..graph.pair_roms import SharedRom, shared_roms
from ..kernels.base import hex_memory
from ..kernels.ops import op_of

SOURCE = "rtl/shared_rom.sv"


def place_roms(model: ModelWrapper) -> list[SharedRom]:
    """Tell every node of a pair where its words lie; return the memories.

    Raises:
        FoldingError: see `shared_roms`.
    """
    roms = shared_roms(model)
    nodes = {node.name: node for node in model.graph.node}
    for end in (0, 1):
        for name in {rom.nodes[end] for rom in roms}:
            own = [rom for rom in roms if rom.nodes[end] == name]
            op = op_of(nodes[name])
            op.set_nodeattr("rom_first", [end * rom.parts[0].depth for rom in own])
            op.set_nodeattr("rom_space", [rom.space for rom in own])
    return roms


def write_images(model: ModelWrapper, roms: list[SharedRom], folder: Path) -> None:
    """Write the image of every memory, ``<name>/<name>.mem``."""
    nodes = {node.name: node for node in model.graph.node}
    words = {name: op_of(nodes[name]).outside_words(model) for rom in roms for name in rom.nodes}
    for rom in roms:
        (folder / rom.name).mkdir()
        both = [
            word
            for name, part in zip(rom.nodes, rom.parts, strict=True)
            for word in words[name][op_of(nodes[name]).outside_roms().index(part)]
        ]
        image = folder / rom.name / f"{rom.name}.mem"
        image.write_text(hex_memory(both, rom.width), encoding="ascii")


def rom_ports(roms: list[SharedRom], node: str) -> list[tuple[str, str]]:
    """Connections of a node's instance to the wires of the memories it shares."""
    ports = []
    for rom in roms:
        for name, part in zip(rom.nodes, rom.parts, strict=True):
            if name == node:
                wire = f"{node}_{part.name}"
                ports.append((f"{part.name}_address_o", f"{wire}_address"))
                ports.append((f"{part.name}_word_i", f"{wire}_word[{part.width - 1}:0]"))
                if part.on_demand:
                    ports.append((f"{part.name}_next_o", f"{wire}_next"))
    return ports
