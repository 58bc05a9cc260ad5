# SPDX-License-Identifier: Apache-2.0
"""Write a stitched graph as a folder of SystemVerilog with one plain top, ready to simulate.

The folder can be moved: every path in it is relative to it, so simulations run with it as
working directory. Identical graphs give identical bytes.

    andpop_top.sv         the top: ap_clk, ap_rst_n, s_axis_0_*, m_axis_0_* (one more per head)
    fifo_depths_pkg.sv    depth of every FIFO, for synthesis
    sim_depths_pkg.sv     the same package with the storage used in simulation (capacity is set
                          at run time, so sizing and the final run share one build)
    lib/                  sources shared by nodes
    <node>/               wrapper, generated sources and memories of a node
    top.json              what a test bench needs to know (TopInfo)
    stitched.onnx         the graph itself
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from finn.custom_op.fpgadataflow.hwcustomop import HWCustomOp
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from onnx import GraphProto, NodeProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from ..boards import DEFAULT_BOARD, Board
from ..graph.elasticity import joining
from ..graph.insert_streams import input_endpoint, output_endpoint, sizing_depth
from ..kernels.base import HW, MEMORY_SUFFIXES
from ..kernels.ops import facts_of
from .emit_roms import SOURCE, place_roms, rom_ports, write_images
from .taps import Taps
from .top_info import EmitError, FifoInfo, NodeInfo, TopInfo

HERE = Path(__file__).parent
TOP = "andpop_top"
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
BUILD_ATTRIBUTES = ("code_gen_dir_ipgen", "ipgen_path", "ip_path")


class FifoMemory(NamedTuple):
    """The memory of a FIFO."""

    words: int
    block: bool = False
    """It lies in block RAM."""
    bank: int = 0
    """Words of a bank of it; 0 where it is one."""


def emit_top(
    model: ModelWrapper, folder: Path, board: Board = DEFAULT_BOARD, clock_mhz: float | None = None
) -> TopInfo:
    """Generate every node's RTL and the top into ``folder`` (created; an old one is replaced).

    Args:
        model: stitched graph from ``insert_streams``; its nodes' build folders are left empty.
        folder: where the RTL goes.
        board: board that it is written for.
        clock_mhz: clock that it is to run at; None for the board's own.

    Raises:
        EmitError: a node is not an RTL op, its name is no identifier, a source is missing, or
            two sources of one name differ.
    """
    clock_mhz = clock_mhz or board.clock_mhz
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    folder = folder.resolve()
    library = _Library(folder)
    instances: list[dict[str, Any]] = []
    fifos: list[FifoInfo] = []
    depths: dict[str, FifoMemory] = {}
    nodes: list[NodeInfo] = []
    wires: dict[str, dict[str, Any]] = {}
    graph = model.model.graph
    constants = {t.name for t in graph.initializer}
    joins = joining(graph)
    names: dict[str, str] = {graph.input[0].name: "s_axis_0"}
    taps = Taps(graph)
    library.add(HW / "rtl/stream_tap.sv")
    roms = place_roms(model)
    write_images(model, roms, folder)
    if roms:
        library.add(HW / SOURCE)

    for node in graph.node:
        if not IDENTIFIER.fullmatch(node.name):
            raise EmitError(
                f"node {node.name!r}: not a Verilog identifier; expected letters, digits and _"
            )
        if not node.op_type.endswith("_rtl"):
            raise EmitError(
                f"{node.name}: op {node.op_type} has no RTL backend; specialise the graph first"
            )
        op = getCustomOp(node)
        if facts_of(node.op_type).is_fifo:
            for source in op.sources:
                library.add(HW / source)
            waits = _reader(graph, node) in joins
            info = _fifo_info(op, len(fifos), waits)
            fifos.append(info)
            depths[info.name] = _fifo_memory(op)
            names[node.output[0]] = info.name
            wires[info.name] = {"width": info.width, "padded": info.width}
            read, written = names[node.input[0]], info.name
            instances.append(
                {
                    "fifo": info, "module": op.module, "input": read, "output": written,
                    "half_rate": op.get_nodeattr("half_rate"),
                }
            )  # fmt: skip
            continue
        build = folder / node.name
        build.mkdir()
        op.set_nodeattr("code_gen_dir_ipgen", str(build))
        op.generate_hdl(model, board.part, 1000.0 / clock_mhz)
        module = op.get_nodeattr("gen_top_module")
        sources = [Path(f) for f in op.get_rtl_file_list(abspath=True)]
        library.add_all(sources, build)
        _make_relative(build, folder)
        outside = rom_ports(roms, node.name)
        instance = _instance(op, module, sources, constants, names, wires, outside)
        instances.append(instance)
        for attribute in BUILD_ATTRIBUTES:
            op.set_nodeattr(attribute, "")
        if not facts_of(node.op_type).on_edge:
            nodes.append(NodeInfo(node.name, node.op_type, int(op.get_exp_cycles())))
            instance["first_tap"] = taps.add_node(op, names)

    environment = Environment(
        loader=FileSystemLoader(HERE), undefined=StrictUndefined, keep_trailing_newline=True,
        trim_blocks=True, lstrip_blocks=True, autoescape=False,
    )  # fmt: skip
    text = environment.get_template("andpop_top.sv.j2").render(
        top=TOP, instances=instances, wires=wires, input=taps.found[0],
        results=[
            {"name": names[value.name], "width": taps.found[taps.number(value.name)].width}
            for value in graph.output
        ],
        taps=taps.instances, roms=roms,
    )  # fmt: skip
    (folder / f"{TOP}.sv").write_text(text, encoding="ascii")
    storage = {f.name: FifoMemory(f.storage) for f in fifos}
    (folder / "sim_depths_pkg.sv").write_text(depths_package(storage), encoding="ascii")
    clash = library.defined & {i["module"] for i in instances if i["fifo"] is None}
    if clash:
        raise EmitError(f"node {min(clash)} has the name of a library module; rename the node")
    files = library.files
    top = TopInfo(
        TOP,
        ("fifo_depths_pkg.sv", *files, f"{TOP}.sv"),
        ("sim_depths_pkg.sv", *files, f"{TOP}.sv"),
        tuple(fifos),
        tuple(taps.found),
        tuple(nodes),
        tuple(
            sorted(
                f.relative_to(folder).as_posix()
                for f in folder.glob("*/*")
                if f.suffix in MEMORY_SUFFIXES
            )
        ),
        tuple(taps.number(value.name) for value in graph.output),
        board.name,
        clock_mhz,
    )
    (folder / "top.json").write_text(json.dumps(asdict(top), indent=1) + "\n", encoding="utf-8")
    model.save(str(folder / "stitched.onnx"))
    (folder / "fifo_depths_pkg.sv").write_text(depths_package(depths), encoding="ascii")
    return top


def set_depths(folder: Path, depths: dict[str, int]) -> None:
    """Put new FIFO depths into an emitted folder: its depth package and its graph.

    The simulation's storage, and with it the simulation's build, stays as it is.
    """
    model = ModelWrapper(str(folder / "stitched.onnx"))
    found = {}
    for node in model.graph.node:
        if facts_of(node.op_type).is_fifo:
            op = getCustomOp(node)
            op.set_nodeattr("depth", depths[node.name])
            found[node.name] = _fifo_memory(op)
    model.save(str(folder / "stitched.onnx"))
    (folder / "fifo_depths_pkg.sv").write_text(depths_package(found), encoding="ascii")


def _fifo_memory(op: Any) -> FifoMemory:
    return FifoMemory(int(op.get_nodeattr("depth")), op.block_ram(), op.bank_words())


def depths_package(depths: dict[str, FifoMemory]) -> str:
    """Return the package that holds the depth of every FIFO, and how its words lie."""
    lines = [
        "// SPDX-License-Identifier: Apache-2.0",
        "// Generated by andpop: words of every FIFO; whether in block RAM, in which banks.",
        "package fifo_depths_pkg;",
    ]
    for name, memory in depths.items():
        lines.append(f"  parameter int unsigned {name} = {memory.words};")
        lines.append(f"  parameter bit {name}_block = {int(memory.block)};")
        lines.append(f"  parameter int unsigned {name}_bank = {memory.bank};")
    return "\n".join([*lines, "endpackage"]) + "\n"


class _Library:
    """The sources of a folder in compile order: packages first, shared files once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._packages: list[str] = []
        self._others: list[str] = []
        self._origin: dict[str, Path] = {}
        self.defined: set[str] = set()
        (folder / "lib").mkdir()

    @property
    def files(self) -> tuple[str, ...]:
        return (*self._packages, *self._others)

    def add_all(self, sources: Iterable[Path], build: Path) -> None:
        """Register a node's sources; those outside its build folder are copied to lib/."""
        for source in sources:
            if not source.is_file():
                raise EmitError(f"{build.name}: RTL source {source} does not exist")
            if source.parent == build:
                self._others.append(f"{build.name}/{source.name}")
            else:
                self.add(source)

    def add(self, source: Path) -> None:
        """Copy a shared source to lib/ unless it is there."""
        known = self._origin.get(source.name)
        if known is not None:
            if known != source and known.read_bytes() != source.read_bytes():
                raise EmitError(
                    f"found two different sources named {source.name}: {known}, {source}"
                )
            return
        self._origin[source.name] = source
        shutil.copyfile(source, self._folder / "lib" / source.name)
        text = source.read_text(encoding="utf-8")
        self.defined |= set(re.findall(r"^\s*(?:module|package)\s+(\w+)", text, re.M))
        is_package = re.search(r"^\s*package\s+\w+", text, re.M) and "endmodule" not in text
        (self._packages if is_package else self._others).append(f"lib/{source.name}")


def _reader(graph: GraphProto, fifo: NodeProto) -> str:
    """Return the node that reads a FIFO, behind its width converter; "" for the graph output."""
    readers = {name: node for node in graph.node for name in node.input}
    reader = readers.get(fifo.output[0])
    while reader is not None and facts_of(reader.op_type).on_edge:
        reader = readers.get(reader.output[0])
    return "" if reader is None else reader.name


def _fifo_info(op: HWCustomOp, number: int, waits: bool) -> FifoInfo:
    end = output_endpoint(op, 0)
    return FifoInfo(number, op.onnx_node.name, end.words, end.width, sizing_depth(end.words, waits))


def _make_relative(build: Path, folder: Path) -> None:
    """Rewrite the strings that name memories so that they are relative to ``folder``.

    FINN's wrappers hold "./prefix" or absolute paths, and a prefix may stand for several files.
    """
    memories = [f.name for f in build.iterdir() if f.suffix in MEMORY_SUFFIXES]

    def replace(match: re.Match[str]) -> str:
        path = match.group(1)
        name = path.removeprefix(f"{build}/").removeprefix("./")
        if name and any(m.startswith(name) for m in memories):
            return f'"{build.name}/{name}"'
        return match.group(0)

    for source in build.iterdir():
        if source.suffix not in (".v", ".sv"):
            continue
        text = source.read_text(encoding="utf-8")
        changed = re.sub(r'"([^"\n]+)"', replace, text)
        if str(folder) in changed:
            raise EmitError(f"{source}: holds an absolute path; the RTL folder could not be moved")
        source.write_text(changed, encoding="utf-8")


def _instance(
    op: HWCustomOp,
    module: str,
    sources: list[Path],
    constants: set[str],
    names: dict[str, str],
    wires: dict[str, dict[str, Any]],
    outside: list[tuple[str, str]],
) -> dict[str, Any]:
    """Connections of one node: streams to their wires, memories outside, other inputs to 0."""
    node = op.onnx_node
    interfaces = op.get_verilog_top_module_intf_names()
    padded = {**dict(interfaces["s_axis"]), **dict(interfaces["m_axis"])}
    ports: list[tuple[str, str]] = [("ap_clk", "ap_clk"), ("ap_rst_n", "ap_rst_n")]
    for i, tensor in enumerate(node.input):
        if not tensor or tensor in constants:
            continue
        name, end = f"in{i}_V", input_endpoint(op, i)
        wire = names[tensor]
        pad = padded[name] - end.width
        data = f"{wire}_data[{end.width - 1}:0]"
        ports += [
            (f"{name}_TVALID", f"{wire}_valid"),
            (f"{name}_TREADY", f"{wire}_ready"),
            (f"{name}_TDATA", f"{{{pad}'b0, {data}}}" if pad else data),
        ]
    for i, tensor in enumerate(node.output):
        name, end = f"out{i}_V", output_endpoint(op, i)
        wire = f"{node.name}_out{i}"
        names[tensor] = wire
        wires[wire] = {"width": end.width, "padded": padded[name]}
        ports += [
            (f"{name}_TVALID", f"{wire}_valid"),
            (f"{name}_TREADY", f"{wire}_ready"),
            (f"{name}_TDATA", f"{wire}_data"),
        ]
    ports += outside
    connected = {port for port, _ in ports}
    inputs = _input_ports(module, sources)
    given = {p for p, _ in ports if not p.endswith("_o") and "out" not in p and "TREADY" not in p}
    missing = sorted(given - inputs)
    if missing:
        raise EmitError(f"{node.name}: module {module} has no input {missing[0]}")
    ports += [(port, "'0") for port in sorted(inputs - connected)]
    name = f"u_{node.name}"
    return {"fifo": None, "module": module, "name": name, "ports": ports, "first_tap": None}


def _input_ports(module: str, sources: list[Path]) -> set[str]:
    """Names of the input ports of ``module``, found in the one source that defines it."""
    for source in sources:
        text = source.read_text(encoding="utf-8")
        found = re.search(rf"\bmodule\s+{module}\b(.*?)\bendmodule", text, re.S)
        if found:
            body = re.sub(r"//[^\n]*|/\*.*?\*/|\(\*.*?\*\)", "", found.group(1), flags=re.S)
            return set(re.findall(r"\binput\s+(?:wire\s+|logic\s+)?(?:\[[^\n]*\]\s*)?(\w+)", body))
    raise EmitError(f"module {module} is not defined in any of its sources")
