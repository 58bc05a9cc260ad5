# SPDX-License-Identifier: Apache-2.0
"""Clock estimate of a netlist that is mapped but not placed: the longest path between registers.

Cell delays come from a `Family`; nets are assumed, as nothing is placed. The design's ports count
as registers of their own at the other end of a net, as they are in a network of kernels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from .netlist import Cell, Netlist, NetlistError, Pin


class NoPath(NetlistError):
    """A design has no path between two registers."""


Arc = tuple[str, int | None, str, int | None, float]
"""From a bit of an input port to a bit of an output port, in ns; None stands for every bit."""


@dataclass(frozen=True)
class Nets:
    """The assumed delay of a net: ``base`` and ``step`` for every further reader, up to ``most``.

    All in ns.
    """

    base: float
    step: float
    most: float

    def delay(self, readers: int) -> float:
        """Delay of a net in ns."""
        return min(self.most, self.base + self.step * max(0, readers - 1))

    def __str__(self) -> str:
        return (
            f"{self.base:g} ns a net and {self.step:g} ns for every further reader, "
            f"at most {self.most:g} ns"
        )


class Family(ABC):
    """Cell delays of a family of FPGAs, in ns."""

    name: str
    sources: str
    """Where the figures are from, for people."""
    nets: Nets
    register: tuple[float, float]
    """Clock to output and setup of a plain flip-flop: what stands at the ports of a design."""

    @abstractmethod
    def launches(self, cell: Cell) -> Iterable[tuple[str, float]]:
        """Output ports that start paths, and the delay from the clock."""

    @abstractmethod
    def arcs(self, cell: Cell) -> Iterable[Arc]:
        """Paths through the cell."""

    @abstractmethod
    def checks(self, cell: Cell) -> Iterable[tuple[str, float]]:
        """Input ports that end paths, and their setup time."""

    def inside(self, cell: Cell) -> float:
        """Shortest period of the paths between registers inside the cell."""
        return 0.0

    def entry(self, load: Pin) -> float:
        """What a signal from outside the slice passes before it reaches this pin."""
        return 0.0

    @abstractmethod
    def local(self, driver: Pin, load: Pin, registers: int) -> bool:
        """Whether this connection never leaves a slice; ``registers`` of the net's readers are
        flip-flops."""


@dataclass(frozen=True)
class Hop:
    """One step of a path: through a net into a cell, and through the cell.

    ``net`` and ``cell`` are delays in ns, ``at`` the sum up to here; ``name`` is that of the
    cell's output, or of what the path ends in.
    """

    type: str
    name: str
    net: float
    cell: float
    at: float

    def as_dict(self) -> Mapping[str, str | float]:
        """The stable JSON form."""
        return {
            "cell": self.type, "name": self.name, "net_ns": self.net, "cell_ns": self.cell,
            "at_ns": self.at,
        }  # fmt: skip


@dataclass(frozen=True)
class Timing:
    """The slowest path of a design."""

    period_ns: float
    hops: tuple[Hop, ...]
    """From the register that starts the path to the one that ends it."""

    @property
    def mhz(self) -> float:
        """The clock that the path allows."""
        return 1000.0 / self.period_ns

    @property
    def levels(self) -> int:
        """Cells between the two registers."""
        return max(0, len(self.hops) - 2)

    @property
    def ends(self) -> tuple[str, str]:
        """Where the path starts and where it ends."""
        return self.hops[0].name, self.hops[-1].name


@dataclass(frozen=True)
class _Step:
    """How the latest signal comes to a bit: from bit ``source`` through a net and a cell."""

    at: float
    source: int | None
    net: float
    cell: float


def analyse(netlist: Netlist, family: Family, nets: Nets | None = None) -> Timing:
    """Return the slowest path between two registers of ``netlist``.

    Args:
        nets: another assumption on nets than the family's.

    Raises:
        NetlistError: a cell is not known to the family, the cells form a loop without a register,
            or there is no path.
    """
    return _Analysis(netlist, family, nets or family.nets).worst()


class _Analysis:
    def __init__(self, netlist: Netlist, family: Family, nets: Nets) -> None:
        self._netlist = netlist
        self._family = family
        self._nets = nets
        self._steps: dict[int, _Step] = {}
        self._registers = {
            bit: sum(p.cell is not None and _is_register(p.cell) for p in pins)
            for bit, pins in netlist.loads.items()
        }
        self._arrive()

    def _net(self, bit: int, load: Pin) -> float:
        """Delay of the connection from the driver of ``bit`` to ``load``."""
        driver = self._netlist.drivers[bit]
        if self._family.local(driver, load, self._registers[bit]):
            return 0.0
        return self._nets.delay(len(self._netlist.loads[bit])) + self._family.entry(load)

    def _arrive(self) -> None:
        """Times of all bits, each after those that it depends on."""
        into: dict[int, list[tuple[int, float, float]]] = {}
        for bits in self._netlist.inputs.values():
            for bit in bits:
                if isinstance(bit, int):
                    self._steps[bit] = _Step(self._family.register[0], None, 0.0, 0.0)
        for cell in self._netlist.cells:
            for port, delay in self._family.launches(cell):
                for bit in cell.connections.get(port, ()):
                    if isinstance(bit, int):
                        self._steps[bit] = _Step(delay, None, 0.0, delay)
            for source, target, net, through in self._paths(cell):
                into.setdefault(target, []).append((source, net, through))
        for bit in self._order(into):
            for source, net, through in into[bit]:
                before = self._steps.get(source)
                if before is None:
                    continue
                at = before.at + net + through
                if bit not in self._steps or at > self._steps[bit].at:
                    self._steps[bit] = _Step(at, source, net, through)

    def _paths(self, cell: Cell) -> Iterator[tuple[int, int, float, float]]:
        """(source bit, target bit, net delay, cell delay) of each path through a cell."""
        for port, index, out, out_index, delay in self._family.arcs(cell):
            for i, source in enumerate(cell.connections.get(port, ())):
                if not isinstance(source, int) or index not in (None, i):
                    continue
                if source not in self._netlist.drivers:
                    continue
                net = self._net(source, Pin(cell, port, i))
                for j, target in enumerate(cell.connections.get(out, ())):
                    if isinstance(target, int) and out_index in (None, j):
                        yield source, target, net, delay

    def _order(self, into: dict[int, list[tuple[int, float, float]]]) -> list[int]:
        """The bits behind cells, each after the bits it depends on."""
        waiting = {bit: len(sources) for bit, sources in into.items()}
        readers: dict[int, list[int]] = {}
        for bit, sources in into.items():
            for source, _, _ in sources:
                if source in into:
                    readers.setdefault(source, []).append(bit)
                else:
                    waiting[bit] -= 1
        ready = [bit for bit, left in waiting.items() if not left]
        order = []
        while ready:
            order.append(bit := ready.pop())
            for reader in readers.get(bit, ()):
                waiting[reader] -= 1
                if not waiting[reader]:
                    ready.append(reader)
        if len(order) < len(into):
            bit = next(bit for bit, left in waiting.items() if left)
            raise NetlistError(
                f"{self._netlist.name}: found a loop of cells without a register through "
                f"{self._netlist.name_of(bit)}, expected a register in every loop"
            )
        return order

    def worst(self) -> Timing:
        """The path that ends last."""
        best: tuple[float, int, Pin, float, float] | None = None
        for bit, pin, setup in self._ends():
            step = self._steps.get(bit)
            if step is None:
                continue
            net = self._net(bit, pin)
            total = step.at + net + setup
            if best is None or total > best[0]:
                best = (total, bit, pin, net, setup)
        inner = max(
            ((self._family.inside(c), c) for c in self._netlist.cells),
            key=lambda found: found[0],
            default=None,
        )
        if inner is not None and inner[0] > (best[0] if best else 0.0):
            period, cell = inner
            name = next(
                (self._netlist.name_of(b) for p in sorted(cell.outputs)
                 for b in cell.connections.get(p, ()) if b in self._netlist.names),
                cell.name,
            )  # fmt: skip
            inside = f"registers inside of {name}"
            return Timing(
                period,
                (
                    Hop(cell.type, inside, 0.0, 0.0, 0.0),
                    Hop(cell.type, inside, 0.0, period, period),
                ),
            )
        if best is None:
            raise NoPath(f"{self._netlist.name}: found no path between two registers")
        total, bit, pin, net, setup = best
        if pin.cell is None:
            end = Hop("port", f"{pin.port}[{pin.index}]", net, setup, total)
        else:
            end = Hop(pin.cell.type, self._end_name(pin), net, setup, total)
        return Timing(total, (*self._trace(bit), end))

    def _ends(self) -> Iterator[tuple[int, Pin, float]]:
        for cell in self._netlist.cells:
            for port, setup in self._family.checks(cell):
                for index, bit in enumerate(cell.connections.get(port, ())):
                    if isinstance(bit, int):
                        yield bit, Pin(cell, port, index), setup
        for port, bits in self._netlist.outputs.items():
            for index, bit in enumerate(bits):
                if isinstance(bit, int):
                    yield bit, Pin(None, port, index), self._family.register[1]

    def _end_name(self, pin: Pin) -> str:
        """An end by what it drives: a register's own name tells more than its pin's."""
        cell = pin.cell
        assert cell is not None
        named = [
            self._netlist.names[bit]
            for port in sorted(cell.outputs)
            for bit in cell.connections.get(port, ())
            if isinstance(bit, int) and bit in self._netlist.names
        ]
        where = f"{pin.port}[{pin.index}]" if len(cell.connections[pin.port]) > 1 else pin.port
        return f"{named[0] if named else cell.name}.{where}"

    def _trace(self, bit: int) -> list[Hop]:
        hops = []
        at: int | None = bit
        while at is not None:
            step = self._steps[at]
            driver = self._netlist.drivers[at]
            kind = driver.cell.type if driver.cell else "port"
            hops.append(Hop(kind, self._netlist.name_of(at), step.net, step.cell, step.at))
            at = step.source
        return hops[::-1]


def _is_register(cell: Cell) -> bool:
    return cell.type.startswith("FD") or cell.type == "TRELLIS_FF"
