# SPDX-License-Identifier: Apache-2.0
"""The table of what can be built is that of the patterns."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
from andpop.hw.graph import constructs
from andpop.hw.graph.lower import PATTERNS, handlers
from andpop.hw.kernels import KERNELS

PAGE = Path(__file__).parent.parent / "docs" / "03_reference" / "foreign_networks.md"


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_says_what_it_builds(name: str) -> None:
    module = import_module(f"andpop.hw.graph.lower.{name}")
    said = {op for construct in module.BUILDS for op in construct.ops}
    assert said == set(module.HANDLERS) or (
        name == "adding" and said == {"Add", "Sub", "Sum", "Mean"}
    )
    assert {k for construct in module.BUILDS for k in construct.kernels} <= {*KERNELS}


def test_the_page_has_the_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    table = constructs.table()
    assert f"{constructs.BEGIN}\n{table}\n{constructs.END}" in page, "run make constructs"
    assert all(f"`{op}`" in table for op in handlers())
