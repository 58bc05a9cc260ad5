# SPDX-License-Identifier: Apache-2.0
"""Ops that can be computed in several ways, one of which costs least."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from .base import Kernel
from .costs import Structure, Usage
from .facts import FoldingRule
from .memory import LUTS_PER_BRAM18

IMPLEMENTATION = "implementation"
"""Node attribute that names the implementation, or says ``auto``: the cheapest of the fastest."""


def implementation_attribute(names: tuple[str, ...], required: bool = True) -> tuple[Any, ...]:
    """The FINN nodeattr type of ``implementation``."""
    return ("s", required, "auto", {"auto", *names})


class ChosenKernel(Kernel):
    """A kernel with an attribute ``implementation``; the folding may set it.

    Subclasses put `implementation_attribute` among their ``attributes``.
    """

    paced: ClassVar[bool] = False
    """Whether implementations differ in cycles: folding to a target then chooses among them."""

    @abstractmethod
    def structures(self) -> Mapping[str, Structure]:
        """What the node is made of with each implementation that can compute it."""

    def usage(self) -> dict[str, Usage]:
        """What each of these takes."""
        return {name: self.cost_of(found) for name, found in self.structures().items()}

    def way(self) -> str:
        return self.resolved()

    def cycles_per_word(self, implementation: str) -> int:
        """Cycles that an implementation takes for a word of its output."""
        return 1

    def refusal(self, wanted: str) -> str:
        """Say why ``wanted`` cannot compute the node, what can, and what to do."""
        return (
            f"found implementation {wanted}, expected one of {', '.join(self.usage())}; "
            "use one of these or auto"
        )

    def costs(self) -> dict[str, int]:
        """Estimated LUTs of each implementation, a BRAM18 counted as `LUTS_PER_BRAM18`."""
        return {
            name: found.lut + LUTS_PER_BRAM18 * found.bram18 for name, found in self.usage().items()
        }

    def resolved(self) -> str:
        """The implementation in use: the attribute's, or where that says ``auto`` the cheapest of
        those that take the fewest cycles.

        Raises:
            ValueError: the implementation asked for cannot compute the node.
        """
        wanted, costs = str(self.get_nodeattr(IMPLEMENTATION)), self.costs()
        if wanted == "auto":
            return min(costs, key=lambda name: (self.cycles_per_word(name), costs[name]))
        if wanted not in costs:
            raise ValueError(f"{self.onnx_node.name}: {self.refusal(wanted)}")
        return wanted

    def folding_rule(self) -> FoldingRule:
        """The lanes, and the implementation as an option."""
        allowed = frozenset(self.get_nodeattr_types()[IMPLEMENTATION][3])
        paces = {IMPLEMENTATION: tuple(self.usage())} if self.paced else {}
        return replace(super().folding_rule(), options={IMPLEMENTATION: allowed}, paces=paces)
