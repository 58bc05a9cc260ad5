# SPDX-License-Identifier: Apache-2.0
"""What every kernel's FINN op shares: streams, golden execution, generated skins.

A kernel's ``op.py`` describes its streams, cycles and RTL parameters; everything FINN asks for
beyond that is derived here, once.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from finn.custom_op.fpgadataflow import register_custom_op as register_abstract
from finn.custom_op.fpgadataflow.hwcustomop import HWCustomOp
from finn.custom_op.fpgadataflow.rtl import register_custom_op as register_rtl
from finn.custom_op.fpgadataflow.rtlbackend import RTLBackend
from qonnx.core.datatype import BaseDataType, DataType

from ...quant.grid import IntArray, container
from ..boards import has_slice_cells
from .facts import Facts
from .skin import Core, Parameters, Port, Wire, skin

Golden = Callable[[Sequence[IntArray], Mapping[str, Any]], list[IntArray]]

HW = Path(__file__).parent.parent
"""The ``hw`` package: RTL sources are named relative to it."""
MEMORY_SUFFIXES = (".dat", ".mem", ".hex")
"""Ends of the names of files that RTL reads with $readmemh."""


@dataclass(frozen=True)
class Stream:
    """One AXI stream: a tensor of ``shape`` (channels last), ``lanes`` elements per word.

    Element i of a word sits at bits ``i*w .. i*w + w-1``; words follow the tensor in C order.
    """

    datatype: str
    shape: tuple[int, ...]
    lanes: int

    @property
    def dtype(self) -> BaseDataType:
        """The QONNX datatype."""
        return DataType[self.datatype]

    @property
    def folded(self) -> tuple[int, ...]:
        """Shape with the last axis split into words of ``lanes`` elements."""
        return (*self.shape[:-1], self.shape[-1] // self.lanes, self.lanes)

    @property
    def words(self) -> int:
        """Words per frame."""
        return math.prod(self.folded[:-1])

    @property
    def width(self) -> int:
        """Bits of a word, unpadded."""
        return int(self.dtype.bitwidth()) * self.lanes


@dataclass(frozen=True)
class Replacement:
    """What can stand in the place of a node that has one stream in and one out."""

    op_type: str
    """The RTL op, ``<Op>_rtl``."""
    attributes: Mapping[str, Any]
    constants: Mapping[str, tuple[IntArray, str]]
    """Name -> integers and their datatype, in the order of the inputs behind the stream."""


def node_attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Return a node's ONNX attributes as plain Python values (str, int, float, list); graphs stay
    what they are."""
    out: dict[str, Any] = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            value = value.decode()
        elif not isinstance(value, (str, int, float, onnx.GraphProto)):
            value = [v.decode() if isinstance(v, bytes) else v for v in value]
        out[attribute.name] = value
    return out


class Kernel(HWCustomOp, Facts):
    """Abstract FINN op described by its streams.

    Subclasses give ``attributes`` (FINN nodeattr types), ``input_streams``, ``output_streams``,
    ``cycles`` and ``golden`` (the ``run`` of their golden.py, wrapped in ``staticmethod``).
    """

    attributes: Mapping[str, tuple[Any, ...]] = {}
    golden: Golden

    @abstractmethod
    def input_streams(self) -> list[Stream]:
        """Streams of the node inputs that are streamed, in node input order."""

    @abstractmethod
    def output_streams(self) -> list[Stream]:
        """Streams of the node outputs."""

    @abstractmethod
    def cycles(self) -> int:
        """Stated steady-state cycles per frame (initiation interval of a frame)."""

    def get_nodeattr_types(self) -> dict[str, Any]:
        return {**super().get_nodeattr_types(), **self.attributes}

    def attrs(self) -> dict[str, Any]:
        """The kernel's own attributes as plain values, as golden.run takes them."""
        values = {name: self.get_nodeattr(name) for name in self.attributes}
        return {k: list(v) if isinstance(v, np.ndarray) else v for k, v in values.items()}

    def get_exp_cycles(self) -> int:
        return self.cycles()

    def get_input_datatype(self, ind: int = 0) -> BaseDataType:
        return self.input_streams()[ind].dtype

    def get_output_datatype(self, ind: int = 0) -> BaseDataType:
        return self.output_streams()[ind].dtype

    def get_normal_input_shape(self, ind: int = 0) -> tuple[int, ...]:
        return self.input_streams()[ind].shape

    def get_normal_output_shape(self, ind: int = 0) -> tuple[int, ...]:
        return self.output_streams()[ind].shape

    def get_folded_input_shape(self, ind: int = 0) -> tuple[int, ...]:
        return self.input_streams()[ind].folded

    def get_folded_output_shape(self, ind: int = 0) -> tuple[int, ...]:
        return self.output_streams()[ind].folded

    def get_instream_width(self, ind: int = 0) -> int:
        streams = self.input_streams()
        return streams[ind].width if ind < len(streams) else 0

    def get_outstream_width(self, ind: int = 0) -> int:
        return self.output_streams()[ind].width

    def get_number_output_values(self) -> Any:
        words = [s.words for s in self.output_streams()]
        return words[0] if len(words) == 1 else {f"out{i}": n for i, n in enumerate(words)}

    def make_shape_compatible_op(self, model: Any) -> onnx.NodeProto:
        node = super().make_const_shape_op(self.get_normal_output_shape())
        node.output[:] = self.onnx_node.output
        return node

    def infer_node_datatype(self, model: Any) -> None:
        self.verify_node()
        for name, stream in zip(self.onnx_node.output, self.output_streams(), strict=True):
            model.set_tensor_datatype(name, stream.dtype)

    def read_constants(self, model: Any) -> None:
        """Copy into attributes what the op must know of its initializers without the model."""

    def verify_node(self) -> None:
        """Nothing beyond what the streams state."""

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        run_golden(self, type(self).golden, self.attrs(), context)


def run_golden(
    op: HWCustomOp, golden: Golden, attrs: Mapping[str, Any], context: dict[str, Any]
) -> None:
    """Execute ``golden`` on an ONNX execution context (`grid.container`s of integers)."""
    node = op.onnx_node
    inputs = []
    for name in node.input:
        value = np.asarray(context[name], dtype=np.float64)
        if not np.array_equal(value, np.rint(value)):
            raise ValueError(f"{node.name}: input {name} holds values that are not integers")
        inputs.append(value.astype(np.int64))
    for name, result in zip(node.output, golden(inputs, attrs), strict=True):
        context[name] = container(result)


class RtlKernel(RTLBackend, Facts):
    """RTL backend whose AXI-Stream skin is generated from the op's streams.

    Subclasses give ``module`` (the core to instantiate), ``sources`` (files relative to ``hw``),
    ``in_ports`` and ``out_ports`` where they differ (see `skin.Core`), ``rtl_parameters`` and,
    where the core reads memories, ``memories``. Under one of FINN's own abstract ops they also give
    ``golden``, which replaces FINN's execution, and its `Facts`. ``primitives``: see `skin.Core`.
    """

    golden: Golden
    module: str
    sources: tuple[str, ...]
    primitives: bool = False
    in_ports: tuple[str, ...] = ("in",)
    out_ports: tuple[str, ...] = ("out",)

    @abstractmethod
    def rtl_parameters(self) -> Parameters:
        """Parameters of the core; strings are quoted."""

    def memories(self, model: Any) -> dict[str, str]:
        """Files the core reads with $readmemh: name -> content. Names start with the node's."""
        return {}

    def lut_estimation(self, fpgapart: str) -> int:
        """LUTs of logic and memory; see `Facts.stated`, as for the others."""
        return self.stated().lut

    def bram_estimation(self, fpgapart: str) -> int:
        """18 Kbit blocks."""
        return self.stated().bram18

    def dsp_estimation(self, fpgapart: str) -> int:
        """DSP blocks."""
        return self.stated().dsp

    def uram_estimation(self, fpgapart: str) -> int:
        """None."""
        return 0

    def get_nodeattr_types(self) -> dict[str, Any]:
        return super().get_nodeattr_types()

    def get_exp_cycles(self) -> int:
        """Stated cycles as a plain int, which some of FINN's ops do not give."""
        return int(super().get_exp_cycles())

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        """Run the golden, or the Verilog with the streamed inputs if ``exec_mode`` is rtlsim."""
        if self.get_nodeattr("exec_mode") != "rtlsim":
            run_golden(self, type(self).golden, node_attributes(self.onnx_node), context)
            return
        names = self.onnx_node.input
        initializers = [name for i, name in enumerate(names) if self.get_instream_width(i) == 0]
        del names[len(names) - len(initializers) :]
        try:
            super().execute_node(context, graph)
        finally:
            names.extend(initializers)

    def generate_hdl(self, model: Any, fpgapart: str, clk: float) -> None:
        folder = Path(self.get_nodeattr("code_gen_dir_ipgen"))
        folder.mkdir(parents=True, exist_ok=True)
        self.set_nodeattr("gen_top_module", self.onnx_node.name)
        for name, content in self.memories(model).items():
            (folder / name).write_text(content, encoding="ascii")
        (folder / f"{self.onnx_node.name}.v").write_text(self.skin(fpgapart), encoding="ascii")
        self.set_nodeattr("ipgen_path", str(folder))
        self.set_nodeattr("ip_path", str(folder))

    def code_generation_ipgen(self, model: Any, fpgapart: str, clk: float) -> None:
        """For FINN's block design, which joins streams alone: memories lie in the node itself."""
        if self.reads_outside():
            self.set_nodeattr("shared_rom", "")
        self.generate_hdl(model, fpgapart, clk)

    def reads_outside(self) -> bool:
        """Whether `outside_roms` lie outside."""
        return bool(self.outside_roms() and self.get_nodeattr("shared_rom"))

    def rom_wires(self) -> list[Wire]:
        """The ports of the core at `outside_roms`."""
        roms = self.outside_roms()
        spaces = self.get_nodeattr("rom_space") if self.reads_outside() else [1] * len(roms)
        wires = []
        for rom, space in zip(roms, spaces, strict=True):
            wires += [Wire(f"{rom.name}_address_o", int(space))]
            wires += [Wire(f"{rom.name}_word_i", rom.width)]
            wires += [Wire(f"{rom.name}_next_o", 1)] if rom.on_demand else []
        return wires

    def skin(self, part: str) -> str:
        """Return the Verilog skin with FINN's port names around the core, for a part.

        Memories are read as "./...", which FINN and Vivado's project put a folder before.
        """
        own = f"{self.onnx_node.name}_"
        parameters = {
            name: f"./{value}" if isinstance(value, str) and value.startswith(own) else value
            for name, value in self.rtl_parameters().items()
        }
        interfaces = self.get_verilog_top_module_intf_names()
        return skin(
            self.onnx_node.name,
            Core(
                self.module,
                parameters,
                self.in_ports,
                self.out_ports,
                self.primitives and has_slice_cells(part),
                bool(self.taps()),
                self.rom_wires(),
                self.reads_outside(),
            ),
            [
                Port(name, padded, self.get_instream_width(i))
                for i, (name, padded) in enumerate(interfaces["s_axis"])
            ],
            [
                Port(name, padded, self.get_outstream_width(i))
                for i, (name, padded) in enumerate(interfaces["m_axis"])
            ],
        )

    def get_rtl_file_list(self, abspath: bool = False) -> list[str]:
        wrapper = f"{self.get_nodeattr('gen_top_module')}.v"
        if not abspath:
            return [*(Path(s).name for s in self.sources), wrapper]
        folder = Path(self.get_nodeattr("code_gen_dir_ipgen"))
        return [*(str(HW / s) for s in self.sources), str(folder / wrapper)]

    def code_generation_ipi(self) -> list[str]:
        folder, top = (
            Path(self.get_nodeattr("code_gen_dir_ipgen")),
            self.get_nodeattr("gen_top_module"),
        )
        memories = sorted(str(f) for f in folder.iterdir() if f.suffix in MEMORY_SUFFIXES)
        return [
            *(f"add_files -norecurse {f}" for f in self.get_rtl_file_list(abspath=True) + memories),
            f"create_bd_cell -type module -reference {top} {self.onnx_node.name}",
        ]


def require_divisor(node: str, total: int, what: str, attribute: str, value: int) -> None:
    """Refuse a folding that does not divide its axis.

    Raises:
        ValueError: ``value`` is not a positive divisor of ``total``.
    """
    if value < 1 or total % value:
        divisors = ",".join(str(d) for d in range(1, total + 1) if total % d == 0)
        raise ValueError(
            f"{node}: {total} {what} cannot be split over {attribute}={value}; "
            f"use one of {divisors} (folding: {node}.{attribute})"
        )


def hex_memory(words: Sequence[int], width: int) -> str:
    """Return $readmemh text: one word of ``width`` bits per line."""
    digits = -(-width // 4)
    mask = (1 << width) - 1
    return "\n".join(f"{int(w) & mask:0{digits}x}" for w in words) + "\n"


def part_memories(prefix: str, words: Sequence[int], parts: Sequence[int]) -> dict[str, str]:
    """Return the image of memories side by side by name, ``parts`` having the bits of each:
    ``<prefix>.mem`` of one, else ``<prefix>_<part>.mem``."""
    images, first = {}, 0
    for number, bits in enumerate(parts):
        name = f"{prefix}_{number}.mem" if len(parts) > 1 else f"{prefix}.mem"
        images[name] = hex_memory([int(word) >> first for word in words], bits)
        first += bits
    return images


def pack_lanes(values: npt.ArrayLike, bits: int) -> list[int]:
    """Pack (words, lanes) integers into one Python int per word, lane 0 in the low bits."""
    mask = (1 << bits) - 1
    return [
        sum((int(v) & mask) << (i * bits) for i, v in enumerate(row)) for row in np.asarray(values)
    ]


def register_op(op: type[HWCustomOp]) -> None:
    """Register one op class with FINN, as abstract op or as RTL backend."""
    if issubclass(op, RTLBackend):
        register_rtl(op)
    else:
        register_abstract(op)
