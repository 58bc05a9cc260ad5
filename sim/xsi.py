# SPDX-License-Identifier: Apache-2.0
"""Verilator standing behind ``finn.xsi``, so that FINN's own rtlsim execution needs no Vivado.

FINN's simulation engine is pure Python over a compiled module ``xsi`` with Kernel, Design and
Port. Here these three drive a Verilator model; the engine itself is FINN's, unchanged.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from . import verilator
from .finn_sources import adapt
from .model import Model, Port, SimulationError


class Kernel:
    """The simulator; Verilator's is part of each model."""

    def __init__(self, name: str) -> None:
        self.name = name


class DesignPort:
    """One port with a cached value: ``read`` fetches it, ``write_back`` drives it."""

    def __init__(self, design: Design, port: Port) -> None:
        self._design = design
        self._port = port
        self._value = 0

    def name(self) -> str:
        """Name of the port."""
        return self._port.name

    def width(self) -> int:
        """Width in bits."""
        return self._port.width

    def isInput(self) -> bool:
        """True for an input."""
        return self._port.is_input

    def isOutput(self) -> bool:
        """True for an output."""
        return not self._port.is_input

    def isInout(self) -> bool:
        """False: stream ports have one direction."""
        return False

    def hasUnknown(self) -> bool:
        """False: Verilator computes with two states."""
        return False

    def isZero(self) -> bool:
        """True when every bit of the cached value is 0."""
        return self._value == 0

    def read(self) -> DesignPort:
        """Fetch the port's value."""
        self._value = self._design.model.get(self._port.name)
        return self

    def write_back(self) -> None:
        """Drive the port with the cached value."""
        self._design.model.set(self._port.name, self._value)
        self._design.settled = False

    def as_bool(self) -> bool:
        """Bit 0 of the cached value."""
        return bool(self._value & 1)

    def as_unsigned(self) -> int:
        """The cached value as a number."""
        return self._value

    def as_binstr(self) -> str:
        """The cached value, one character per bit."""
        return f"{self._value:0{self._port.width}b}"

    def as_hexstr(self) -> str:
        """The cached value, one character per four bits."""
        return f"{self._value:0{-(-self._port.width // 4)}x}"

    as_hexstr_2state = as_hexstr

    def set(self, value: int) -> DesignPort:
        """Cache a number, cut to the port's width."""
        self._value = value & ((1 << self._port.width) - 1)
        return self

    def clear(self) -> DesignPort:
        """Cache 0."""
        return self.set(0)

    def set_binstr(self, value: str) -> DesignPort:
        """Cache a string of bits."""
        return self.set(int(value, 2))

    def set_hexstr(self, value: str) -> DesignPort:
        """Cache a string of hexadecimal digits."""
        return self.set(int(value, 16))


class Design:
    """A loaded model; its memories are read from the working directory."""

    def __init__(
        self, kernel: Kernel, design_lib: str, log_file: str | None, wdb_file: str | None
    ) -> None:
        self.model = Model(Path(design_lib).resolve())
        self.settled = False
        self._wave = wdb_file
        self._ports = {name: DesignPort(self, p) for name, p in self.model.ports.items()}
        self._open = True

    def close(self) -> None:
        """Free the model and finish its waveforms; idempotent."""
        self._open = False
        self.model.close()

    def is_open(self) -> bool:
        """True until ``close``."""
        return self._open

    def trace_all(self) -> None:
        """Write waveforms, as VCD, to the file named at construction."""
        if self._wave:
            self.model.open_vcd(Path(self._wave).resolve())

    def run(self, picoseconds: int) -> None:
        """Settle the ports driven since the last call, then let time pass."""
        if not self.settled:
            self.model.eval(picoseconds)
            self.settled = True
        else:
            self.model.wait(picoseconds)

    def num_ports(self) -> int:
        """Number of ports."""
        return len(self._ports)

    def getPort(self, name: str) -> DesignPort:
        """Return a port.

        Raises:
            RuntimeError: there is none of that name (FINN's engine asks and catches).
        """
        if name not in self._ports:
            raise RuntimeError(f"found no port {name}, expected one of {', '.join(self._ports)}")
        return self._ports[name]

    def ports(self) -> Iterator[DesignPort]:
        """All ports."""
        return iter(self._ports.values())


def locate_glbl() -> None:
    """FINN asks for Vivado's global reset module; Verilator needs none."""
    return None


def get_simkernel_so() -> str:
    """Name of the simulator kernel, for messages only."""
    return "verilator"


def compile_sim_obj(
    top_module_name: str,
    source_list: Sequence[str],
    sim_out_dir: Path,
    debug: bool = False,
    behav: bool = False,
    fifosim: bool = False,
) -> tuple[Path, Path]:
    """Build a model below ``sim_out_dir``, with the memory files of its sources beside it.

    Sources of FINN that Verilator refuses are adapted in a copy (``finn_sources``).

    Args:
        top_module_name: top module.
        source_list: Verilog and SystemVerilog files.
        sim_out_dir: existing folder.
        debug: compile waveforms in.
        behav: define FINN_SIMULATION.
        fifosim: FINN's wrapper for FIFO sizing; not supported here.

    Returns:
        ``sim_out_dir`` and the model's path in it, which holds ``xsim.dir`` as FINN expects.

    Raises:
        BuildError: Verilator refused a source.
        SimulationError: ``fifosim`` was asked for.
    """
    from finn_xsi.srcutil import order_pkg_first

    if fifosim:
        raise SimulationError(
            f"{top_module_name}: FINN's FIFO sizing needs Vivado; use andpop's own sizing"
        )
    sources = [Path(s) for s in order_pkg_first(list(source_list))]
    model = verilator.build(
        [adapt(source, sim_out_dir / "adapted") for source in sources],
        top_module_name,
        defines=("FINN_SIMULATION",) if behav else (),
        trace=debug,
    )
    # Sources name their memories by file or by prefix: all that lie beside them go along.
    for folder in {source.parent for source in sources}:
        for memory in folder.iterdir():
            if memory.suffix in (".mem", ".dat", ".hex"):
                shutil.copyfile(memory, sim_out_dir / memory.name)
    relative = Path("xsim.dir") / top_module_name / "xsimk.so"
    (sim_out_dir / relative).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(model, sim_out_dir / relative)
    return sim_out_dir, relative


def install() -> None:
    """Bind this backend into ``finn.xsi``; call it before importing ``finn.builder``."""
    module: Any = ModuleType("xsi")
    module.Kernel, module.Design, module.Port = Kernel, Design, DesignPort
    sys.modules["xsi"] = module
    import finn.xsi
    from finn_xsi import adapter, sim_engine

    # FINN's load_sim_obj looks these two up in its own module.
    adapter.get_simkernel_so = get_simkernel_so
    adapter.locate_glbl = locate_glbl
    bound = {
        "SimEngine": sim_engine.SimEngine,
        "locate_glbl": locate_glbl,
        "compile_sim_obj": compile_sim_obj,
        "get_simkernel_so": get_simkernel_so,
        "load_sim_obj": adapter.load_sim_obj,
        "reset_rtlsim": adapter.reset_rtlsim,
        "close_rtlsim": adapter.close_rtlsim,
        "rtlsim_multi_io": adapter.rtlsim_multi_io,
        "is_available": lambda: True,
    }
    for name, value in bound.items():
        setattr(finn.xsi, name, value)
