# SPDX-License-Identifier: Apache-2.0
"""SignedThresholding: the search's memories equal golden, choice of implementation, refusals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from andpop.hw.kernels.memory import LUTS_PER_BRAM18, least_rom_cost
from andpop.hw.kernels.signed_thresholding import cases
from andpop.hw.kernels.signed_thresholding.golden import signed_thresholding
from andpop.hw.kernels.signed_thresholding.op import (
    search_entries,
    search_stages,
    search_tables,
)
from andpop.quant.grid import IntArray, limits, type_format
from andpop.sim.cases import Case
from comparisons import Comparisons
from kernel_cases import build_op
from qonnx.core.datatype import DataType

CODED = [case for case in cases.SMOKE + cases.FULL if case.attrs["encoding"] == "code"]


def searched(tables: Sequence[IntArray], offsets: IntArray) -> IntArray:
    """Codes (C, V) of inputs (C, V), given as offsets from the smallest one, by a binary search
    as the RTL does it; an index outside its table raises."""
    index = np.zeros_like(offsets)
    for table in tables[:-1]:
        index = 2 * index + (offsets > np.take_along_axis(table, index, 1))
    return np.take_along_axis(tables[-1], index, 1)


def written_tables(case: Case) -> list[IntArray]:
    """The tables (C, entries) that the memory images of a case's search hold."""
    built = build_op(replace(case, attrs={**case.attrs, "implementation": "search"}))
    images = built.op.memories(built.model)
    pe, steps = case.attrs["PE"], case.attrs["numSteps"]
    assert len(images) == pe * (search_stages(steps) + 1)
    tables = []
    for stage in range(search_stages(steps) + 1):
        lanes = [images[f"SignedThresholding_0_table_{stage}_{p}.mem"].split() for p in range(pe)]
        words = np.array([[int(word, 16) for word in lane] for lane in lanes])
        folded = words.reshape(pe, -1, search_entries(steps, stage))
        tables.append(folded.transpose(1, 0, 2).reshape(-1, folded.shape[2]))
    return tables


@pytest.mark.parametrize("case", CODED, ids=lambda c: c.name)
def test_the_memories_of_a_search_hold_golden(case: Case, compared: Comparisons) -> None:
    low, high = limits(*type_format(case.attrs["inputDataType"]))
    thresholds, steps, base = case.make_initializers()
    # Every input of narrow types; of wide ones the neighbourhood of every threshold, and the ends.
    near = np.unique(thresholds + np.arange(-1, 2)[:, None, None])
    x = np.arange(low, high + 1) if high - low < 1 << 12 else np.r_[low, near, high]
    x = x.clip(low, high)
    found = searched(written_tables(case), np.tile(x - low, (len(thresholds), 1)))
    expected = signed_thresholding(
        np.tile(x[:, None], (1, len(thresholds))), thresholds, steps, base
    )
    target = DataType[case.output_types[0]]
    signs = np.where(found > target.max(), 1 << target.bitwidth(), 0)
    compared.arrays(expected.T, found - signs)


@pytest.mark.parametrize("steps", range(1, 40))
def test_tables_have_as_many_entries_as_their_index_takes_values(steps: int) -> None:
    thresholds = np.arange(1, steps + 1)[None, :]
    ones, none = np.ones_like(thresholds), np.zeros(1, dtype=np.int64)
    tables = search_tables(thresholds, ones, none, 0, steps)
    x = np.arange(steps + 1)[None, :]
    assert np.array_equal(searched(tables, x), x)
    index = x
    for stage in reversed(range(search_stages(steps) + 1)):
        assert tables[stage].shape == (1, search_entries(steps, stage)) == (1, index.max() + 1)
        index = index // 2


def altered(case: Case, attrs: Mapping[str, Any]) -> Any:
    """The op of the case with other attributes."""
    return build_op(replace(case, attrs={**case.attrs, **attrs})).op


@pytest.mark.parametrize("case", cases.SMOKE + cases.FULL, ids=lambda c: c.name)
def test_auto_takes_the_cheapest_that_has_the_encoding(case: Case) -> None:
    op = altered(case, {"implementation": "auto"})
    costs = op.costs()
    assert ("search" in costs) == (case.attrs["encoding"] == "code")
    assert costs[op.resolved()] == min(costs.values())
    for name in costs:
        op.set_nodeattr("implementation", name)
        assert op.resolved() == name
        stated = op.lut_estimation("") + LUTS_PER_BRAM18 * op.bram_estimation("")
        assert stated == costs[name]


def test_few_thresholds_are_compared_and_many_are_searched() -> None:
    auto = {"NumChannels": 64, "PE": 1, "inputDataType": "INT16", "weightDataType": "INT16"}
    found = [altered(CODED[0], {**auto, "implementation": "auto", "numSteps": n}) for n in (1, 327)]
    assert [op.resolved() for op in found] == ["parallel", "search"]


def test_a_node_that_does_not_say_is_auto() -> None:
    case = CODED[0]
    attrs = {key: value for key, value in case.attrs.items() if key != "implementation"}
    assert build_op(replace(case, attrs=attrs)).op.get_nodeattr("implementation") == "auto"


def test_a_search_streams_codes_alone() -> None:
    case = next(c for c in cases.SMOKE if c.attrs["encoding"] == "onehot")
    message = "^SignedThresholding_0: found implementation search with encoding onehot, expected"
    with pytest.raises(ValueError, match=message):
        altered(case, {"implementation": "search"}).resolved()


@pytest.mark.parametrize(
    ("width", "depth", "expected"),
    [
        (20, 1, (0, 0)),
        (20, 3, (8, 0)),  # eight columns can differ
        (62, 64, (62, 0)),
        (14, 384, (112, 0)),
        (14, 704, (0, 1)),
        (4, 1344, (128, 0)),
        (14, 1344, (0, 2)),
    ],
)
def test_memories_lie_where_they_are_cheaper(
    width: int, depth: int, expected: tuple[int, int]
) -> None:
    assert least_rom_cost(width, depth) == expected
