# SPDX-License-Identifier: Apache-2.0
"""What random networks read of a pixel: a mean and a std, asked for or by nodes of the file."""

from __future__ import annotations

import numpy as np
from andpop.hw.graph.pixels import Pixels
from foreign_graphs import Net


def _kind(seed: int) -> tuple[np.random.Generator, str]:
    rng = np.random.default_rng([seed, 1])
    kinds = ("mean", "means", "stds", "nodes", "node", "Pad", *["plain"] * 8)
    return rng, kinds[rng.integers(len(kinds))]


def pixels_of_seed(seed: int, channels: int) -> Pixels | None:
    """What the options say for a seed; None where they are left out."""
    rng, kind = _kind(seed)
    if kind == "mean":
        return Pixels(1 / 255, (round(float(rng.uniform(0.1, 0.9)), 4),), (0.226,))
    if kind == "means":
        return Pixels(1 / 255, tuple(np.round(rng.uniform(0, 1, channels), 3).tolist()), (0.25,))
    if kind == "stds":
        stds = (0.5, 0.25, 0.125)[:channels]
        return Pixels(1 / 255, tuple(np.round(rng.uniform(0, 1, channels), 2).tolist()), stds)
    return None


def front(net: Net, seed: int) -> tuple[str, tuple[int, int]]:
    """Nodes in front of the first layer; returns what it reads, its rows and columns."""
    rng, kind = _kind(seed)
    _, channels, height, width = net.shape
    shape = (1, channels, 1, 1)
    if kind == "nodes":
        x = net.op("Sub", ["x", net.constant(rng.uniform(0.1, 0.9, shape))])
        return net.op("Div", [x, net.constant(np.full(shape, 0.226))]), (height, width)
    if kind == "node":
        return net.op("Add", ["x", net.constant(rng.uniform(-0.9, -0.1, shape))]), (height, width)
    if kind == "Pad":
        x = net.op("Sub", ["x", net.constant(rng.uniform(0.1, 0.9))])
        top, left, bottom, right = (int(n) for n in rng.integers(0, 3, 4))
        pads = net.constant([0, 0, top, left, 0, 0, bottom, right], np.int64)
        return net.op("Pad", [x, pads]), (height + top + bottom, width + left + right)
    return "x", (height, width)
