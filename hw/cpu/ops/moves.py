# SPDX-License-Identifier: Apache-2.0
"""Steps that move values without arithmetic: casts, borders, windows, splits and joins."""

from __future__ import annotations

from ..packer import Node, Packer
from ..plan import MAX_AXIS, ModelError
from ..windows import Geometry
from .site import Check, Range, Site, union

WHOLE = ("u8", "i8", "i32")
"""Storages whose channels are whole bytes: what moves single channels reads no other."""


def shared_storage(p: Packer, inputs: list[int]) -> str:
    """Return the storage in which tensors of one datatype are joined byte by byte."""
    # An accumulator is kept wide whatever its datatype.
    if any(p.at(i).storage == "i32" for i in inputs):
        return "i32"
    storage = p.types[inputs[0]].storage
    return "u8" if storage == "bits" else storage


def check_cast(s: Site) -> list[Range]:
    """The same integers in another storage, which has to hold them."""
    s.arity((1,), 1)
    s.attributes(())
    s.same()
    return s.ranges


def _border(s: Site) -> dict[str, int]:
    """Check a picture that gets a border; returns its geometry."""
    s.arity((1,), 1)
    g = s.geometry()
    s.stores(s.outputs[0], s.inputs[0].storage)
    for axis in ("y", "x"):
        for name in ("kernel", "stride", "dilation"):
            s.within(f"{name}_{axis}", 1, 1)
    s.size(s.outputs[0], s.outputs[0].pixels, s.inputs[0].channels)
    return g


def pad(p: Packer, node: Node, index: int, out: int, geometry: Geometry) -> None:
    """Add a border of code 0."""
    p.step("pad", node.name, [index], [out], geometry.attributes())


def check_pad(s: Site) -> list[Range]:
    """A border of code 0."""
    _border(s)
    return [union(s.ranges[0], (0, 0))]


def reflect(p: Packer, node: Node, index: int, out: int, geometry: Geometry) -> None:
    """Add a border that mirrors the picture, its outermost pixels not repeated."""
    p.step("reflect", node.name, [index], [out], geometry.attributes())


def check_reflect(s: Site) -> list[Range]:
    """A border that mirrors the picture."""
    g = _border(s)
    for name, size in (
        ("pad_top", g["height"]),
        ("pad_bottom", g["height"]),
        ("pad_left", g["width"]),
        ("pad_right", g["width"]),
    ):
        s.within(name, 0, size - 1)
    return s.ranges


def crop(p: Packer, node: Node, index: int, out: int, sides: list[int]) -> None:
    """Take [top, left, bottom, right] pixels off a picture."""
    height, width, _ = p.at(index).shape
    names = ("top", "left", "bottom", "right")
    attributes = {"height": height, "width": width, **dict(zip(names, sides, strict=True))}
    p.step("crop", node.name, [index], [out], attributes)


def check_crop(s: Site) -> list[Range]:
    """The middle of a picture."""
    s.arity((1,), 1)
    names = ("height", "width", "top", "left", "bottom", "right")
    height, width, top, left, bottom, right = s.attributes(names)
    for name in ("height", "width"):
        s.within(name, 1, MAX_AXIS)
    for name, size in (("top", height), ("left", width), ("bottom", height), ("right", width)):
        s.within(name, 0, size - 1)
    rows, columns = height - top - bottom, width - left - right
    if min(rows, columns) < 1:
        raise ModelError(f"{s.where}: nothing is left of {height}x{width} pixels")
    s.stores(s.outputs[0], s.inputs[0].storage)
    s.picture(s.inputs[0], height, width, s.inputs[0].channels)
    s.picture(s.outputs[0], rows, columns, s.inputs[0].channels)
    return s.ranges


def interleave(p: Packer, node: Node, index: int, out: int) -> None:
    """Spread four groups of channels over the pixels of squares of 2x2."""
    height, width, _ = p.at(index).shape
    p.step("interleave", node.name, [index], [out], {"height": height, "width": width})


def check_interleave(s: Site) -> list[Range]:
    """Four groups of channels become the pixels of a square."""
    s.arity((1,), 1)
    height, width = s.attributes(("height", "width"))
    for name in ("height", "width"):
        s.within(name, 1, MAX_AXIS)
    s.stores(s.inputs[0], *WHOLE)
    s.stores(s.outputs[0], s.inputs[0].storage)
    s.picture(s.inputs[0], height, width, 4 * s.outputs[0].channels)
    s.picture(s.outputs[0], 2 * height, 2 * width, s.outputs[0].channels)
    return s.ranges


def upsample(p: Packer, node: Node, index: int, out: int, scale: list[int], phases: int) -> None:
    """Make a rectangle of every pixel, or of its phases."""
    height, width, _ = p.at(index).shape
    attributes = {"height": height, "width": width, "scale_y": scale[0], "scale_x": scale[1]}
    p.step("upsample", node.name, [index], [out], {**attributes, "phases": phases})


def check_upsample(s: Site) -> list[Range]:
    """Pixels become rectangles; phases are whole bytes."""
    s.arity((1,), 1)
    names = ("height", "width", "scale_y", "scale_x", "phases")
    height, width, rows, columns, phases = s.attributes(names)
    for name in names[:4]:
        s.within(name, 1, MAX_AXIS)
    s.within("phases", 0, 2)
    if phases:
        s.stores(s.inputs[0], *WHOLE)
    s.stores(s.outputs[0], s.inputs[0].storage)
    places = rows * columns if phases else 1
    s.picture(s.inputs[0], height, width, places * s.outputs[0].channels)
    s.picture(s.outputs[0], rows * height, columns * width, s.outputs[0].channels)
    return s.ranges


def windows(p: Packer, node: Node, index: int, out: int, geometry: Geometry) -> None:
    """Add the sliding window as a tensor, where no product takes it in."""
    p.step("windows", node.name, [index], [out], geometry.attributes())


def check_windows(s: Site) -> list[Range]:
    """The sliding window as a tensor."""
    s.arity((1,), 1)
    g = s.geometry()
    for name in ("pad_top", "pad_left", "pad_bottom", "pad_right"):
        s.within(name, 0, 0)
    s.stores(s.inputs[0], *WHOLE)
    s.stores(s.outputs[0], s.inputs[0].storage)
    channels = g["kernel_y"] * g["kernel_x"] * s.inputs[0].channels
    s.size(s.outputs[0], s.outputs[0].pixels, channels)
    return s.ranges


def split(p: Packer, node: Node, index: int, outs: list[int]) -> None:
    """Share out the channels of a tensor."""
    p.step("split", node.name, [index], outs)


def check_split(s: Site) -> list[Range]:
    """Channels of one tensor shared out to several."""
    s.arity((1,), len(s.outputs))
    s.attributes(())
    for tensor in s.outputs:
        s.stores(s.inputs[0], *WHOLE)
        s.stores(tensor, s.inputs[0].storage)
        s.along(s.inputs[0], tensor)
    if sum(t.channels for t in s.outputs) != s.inputs[0].channels:
        raise ModelError(
            f"{s.where}: found outputs of {[t.channels for t in s.outputs]} channels, "
            f"expected {s.inputs[0].channels} together"
        )
    return s.ranges * len(s.outputs)


def concat(p: Packer, node: Node, inputs: list[int], out: int) -> None:
    """Put the channels of tensors behind one another."""
    p.step("concat", node.name, inputs, [out])


def check_concat(s: Site) -> list[Range]:
    """Channels of several tensors behind one another."""
    s.arity((max(len(s.inputs), 1),), 1)
    s.attributes(())
    s.stores(s.inputs[0], *WHOLE)
    for tensor in s.inputs:
        s.stores(tensor, s.inputs[0].storage)
        s.along(s.inputs[0], tensor)
    s.stores(s.outputs[0], s.inputs[0].storage)
    s.along(s.inputs[0], s.outputs[0])
    s.size(s.outputs[0], s.inputs[0].pixels, sum(t.channels for t in s.inputs))
    return [union(*s.ranges)]


def shuffle(p: Packer, node: Node, left: int, right: int, out: int) -> None:
    """Take the channels of two tensors in turn."""
    p.step("shuffle", node.name, [left, right], [out])


def check_shuffle(s: Site) -> list[Range]:
    """Channels of two tensors in turn."""
    s.arity((2,), 1)
    s.attributes(())
    for tensor in (*s.inputs, *s.outputs):
        s.stores(s.inputs[0], *WHOLE)
        s.stores(tensor, s.inputs[0].storage)
        s.along(s.inputs[0], tensor)
    s.size(s.inputs[1], s.inputs[0].pixels, s.inputs[0].channels)
    s.size(s.outputs[0], s.inputs[0].pixels, 2 * s.inputs[0].channels)
    return [union(*s.ranges)]


OPS: dict[str, Check] = {
    "cast": check_cast,
    "pad": check_pad,
    "reflect": check_reflect,
    "crop": check_crop,
    "interleave": check_interleave,
    "upsample": check_upsample,
    "windows": check_windows,
    "split": check_split,
    "concat": check_concat,
    "shuffle": check_shuffle,
}
