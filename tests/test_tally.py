# SPDX-License-Identifier: Apache-2.0
"""Comparison of backends, value by value: what is counted, and what is named first."""

from __future__ import annotations

import numpy as np
from andpop.flows.compare import Tally, bit_pattern
from andpop.flows.coverage import Coverage
from andpop.hw.graph.builder import DataflowBuilder
from andpop.quant.tasks.task import shaped


def test_counts_values_on_either_side_and_names_the_first_layer() -> None:
    builder = DataflowBuilder("two", "a", (1, 1, 1, 3))
    (b,) = builder.add("IntMvu", "b", [builder.picture], [((1, 1, 1, 4), "INT8")], {})
    stated = Coverage("cpu", builder.finish(b).model, ["a", b.name], "")
    want = {"a": np.zeros((2, 1, 1, 3), int), b.name: np.arange(8).reshape(2, 1, 1, 4)}
    have = {name: value.copy() for name, value in want.items()}
    tally = Tally(stated, bits={"a": 4, b.name: 8})
    tally.add(want, have, ["x.png", "y.png"])
    assert (tally.values_compared, tally.values_differing, tally.first) == (14, 0, None)
    have[b.name][1, 0, 0, 2] -= 7
    tally.add(want, have, ["x.png", "y.png"])
    assert tally.values_differing == 1
    assert tally.first is not None and tally.first.layer == b.name
    have["a"][1, 0, 0, 1] += 1
    tally.add(want, have, ["x.png", "y.png"])
    assert tally.values_differing == 3
    first = tally.first
    assert (first.layer, first.index, first.expected, first.got) == ("a", (0, 0, 1), 0, 1)
    assert (first.picture, first.picture_index, first.got_bits) == ("y.png", 5, "0001")


def test_bit_patterns_are_twos_complement() -> None:
    assert [bit_pattern(v, 4) for v in (-8, -1, 0, 7)] == ["1000", "1111", "0000", "0111"]


def test_classes_of_pictures_and_of_pixels() -> None:
    assert shaped("class", np.array([3, 1]).reshape(2, 1, 1, 1)).tolist() == [3, 1]
    masks = np.arange(12).reshape(2, 2, 3, 1)
    assert shaped("class_map", masks).tolist() == masks[..., 0].tolist()
