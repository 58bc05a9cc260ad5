# SPDX-License-Identifier: Apache-2.0
"""The backends behind one interface: pictures in, integer tensors by dataflow name out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnx
from qonnx.core.modelwrapper import ModelWrapper

from ..hw.graph.builder import boundaries
from ..hw.graph.executor import GoldenExecutor
from ..hw.graph.float32 import settle
from ..hw.graph.nodewise import Nodewise
from ..hw.graph.reference import Reference, classes
from ..hw.rtl import simulate as rtl
from ..quant.tasks.task import Outputs
from .compare import Tally, combine
from .coverage import coverage, output_alone
from .errors import CheckFailed, UsageError
from .files import BuildFiles
from .heads import graph_heads, outputs_of
from .models import CpuModel
from .progress import Progress, frames

IntArray = npt.NDArray[np.int64]
Pictures = npt.NDArray[np.uint8]


class Backend(Protocol):
    """Runs pictures and returns what it knows of the dataflow graph's tensors: those that
    ``coverage`` states for its name, no more and no less."""

    name: str

    def run(self, pictures: Pictures) -> Mapping[str, IntArray]:
        """(N, H, W, C) uint8 -> tensor name -> (N, ...) integers."""


class Golden:
    """The golden model: every other backend is compared with it."""

    name = "golden"

    def __init__(self, files: BuildFiles) -> None:
        model = ModelWrapper(str(files.dataflow))
        self.model: onnx.ModelProto = model.model
        self._executor = GoldenExecutor(model)
        self.heads = graph_heads(self.model)
        self.order = self._executor.tensors
        self.bits = {name: int(model.get_tensor_datatype(name).bitwidth()) for name in self.order}

    def run(self, pictures: Pictures) -> dict[str, IntArray]:
        """All streamed tensors."""
        parts = [part for _, part in self._executor.chunks(pictures, "all")]
        return {name: np.concatenate([part[name] for part in parts]) for name in self.order}

    def outputs(self, pictures: Pictures) -> Outputs:
        """What every head gives, alone: in little memory."""
        parts = [part for _, part in self._executor.chunks(pictures)]
        tensors = {h.tensor: np.concatenate([p[h.tensor] for p in parts]) for h in self.heads}
        return outputs_of(self.heads, tensors)


class Cpu:
    """The C++ engine."""

    name = "cpu"

    def __init__(self, cpu: CpuModel) -> None:
        self._engine = cpu.engine

    def run(self, pictures: Pictures) -> dict[str, IntArray]:
        """Every tensor that exists on the CPU (what convolutions read through does not)."""
        return self._engine.intermediates(pictures)


class Torch:
    """The frozen PyTorch network, observed at its layer boundaries."""

    name = "torch"

    def __init__(self, files: BuildFiles) -> None:
        if not files.checkpoint.is_file():
            raise UsageError(
                f"{files.folder}: was built from a QONNX file, so there is no torch backend; "
                "use --backends qonnx,golden,cpu,rtl"
            )
        from ..models.build import load_network

        self._net, _ = load_network(files.checkpoint)
        dataflow = onnx.load(files.dataflow, load_external_data=False)
        self._boundaries = boundaries(dataflow)
        self._heads = graph_heads(dataflow)

    def run(self, pictures: Pictures) -> dict[str, IntArray]:
        """Signs, accumulators, epilogues, level codes, pools, logits, class indices or masks."""
        from ..quant.capture import capture

        values = capture(self._net, pictures, {b.reference for b in self._boundaries})
        codes = {
            b.tensor: b.codes(values[b.reference])
            for b in self._boundaries
            if b.reference in values
        }
        # The networks end in logits; what their users take of them is the largest (per pixel).
        for head in self._heads:
            if head.logits:
                codes[head.tensor] = codes[head.logits].argmax(axis=-1)[..., None]
        return codes


class Qonnx:
    """QONNX's own execution of model.qonnx.onnx in float32, node by node, one picture at a time.

    Every node reads the exact tensors (`reference.Reference`), so its rounding is its own: where
    its result lies within float32's bound of the exact one (`float32.settle`), it is that one;
    anything else is a difference and stays what QONNX found.
    """

    name = "qonnx"

    def __init__(self, files: BuildFiles) -> None:
        network = onnx.load(files.qonnx, load_external_data=False)
        dataflow = onnx.load(files.dataflow, load_external_data=False)
        self._boundaries = boundaries(dataflow)
        self._picture = dataflow.graph.input[0].name
        results = [value.name for value in network.graph.output]
        heads = zip(results, graph_heads(dataflow), strict=True)
        self._picked = {name: head.tensor for name, head in heads if head.logits}
        self._reference = Reference(network)
        self._opsets = network.opset_import
        self._execute = Nodewise(network)

    def run(self, pictures: Pictures) -> dict[str, IntArray]:
        """Every tensor of the QONNX graph that the dataflow graph has too, and the class index.

        Raises:
            CheckFailed: a node's result is not the exact one, and no boundary would show it.
        """
        rows: dict[str, list[IntArray]] = {}
        for picture in pictures:
            for name, codes in self._run_one(picture[None]).items():
                rows.setdefault(name, []).append(codes)
        return {name: np.concatenate(row) for name, row in rows.items()}

    def _run_one(self, picture: Pictures) -> dict[str, IntArray]:
        pairs = {b.reference: b for b in self._boundaries if b.tensor != self._picture}
        codes: dict[str, IntArray] = {self._picture: picture.astype(np.int64)}
        for node, tensors in self._reference.walk(picture):
            inputs = {name: tensors[name].values for name in node.input if name}
            for name, found in self._execute(node, inputs).items():
                values, wrong = settle(node, tensors, name, found, self._opsets)
                shown = False
                if name in pairs and values.shape == tensors[name].codes.shape:
                    pair = pairs[name]
                    codes[pair.tensor] = pair.nearest(values)
                    shown = bool(np.any(codes[pair.tensor] != pair.codes(tensors[name].values)))
                if name in self._picked:
                    found_classes = classes(values)
                    axes = (*found_classes.shape, *(1,) * (4 - found_classes.ndim))
                    codes[self._picked[name]] = found_classes.reshape(axes)
                if wrong.any() and not shown:
                    raise CheckFailed(_off(node, tensors[name].values, found, wrong))
        return codes


def _off(
    node: onnx.NodeProto,
    exact: npt.NDArray[Any],
    found: npt.NDArray[Any],
    wrong: npt.NDArray[np.bool_],
) -> str:
    where = f"qonnx, {node.name} ({node.op_type})"
    if exact.shape != found.shape:
        return f"{where}: found shape {found.shape}, expected {exact.shape}"
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    return (
        f"{where}: {int(wrong.sum())} of {wrong.size} values differ by more than float32 rounds, "
        f"the first at {at}: found {found[at]:.9g}, expected {exact[at]:.9g}"
    )


class Rtl:
    """The whole network in Verilator, every stream captured."""

    name = "rtl"

    def __init__(self, files: BuildFiles, progress: Progress) -> None:
        if not (files.rtl / "top.json").is_file():
            raise UsageError(f"{files.folder}: has no RTL; build it without --until")
        self._folder = files.rtl
        self._progress = progress
        self.last: rtl.SimResult | None = None

    @property
    def figures(self) -> dict[str, Any] | None:
        """Cycles and speed of the last run, None before the first."""
        return None if self.last is None else cycle_figures(self.last)

    def run(self, pictures: Pictures) -> dict[str, IntArray]:
        """Every stream of the network, and the class index."""
        with frames(self._progress, "rtl with capture", len(pictures)) as progress:
            self.last = rtl.simulate(self._folder, pictures, capture=True, progress=progress)
        return self.last.tensors


def open_backend(name: str, files: BuildFiles, cpu: CpuModel, progress: Progress) -> Backend:
    """Return a backend other than golden by its name.

    Args:
        name: "cpu", "torch", "qonnx" or "rtl".
        files: the build.
        cpu: its CPU model.
        progress: where the simulation says how far it is.

    Raises:
        UsageError: the build lacks what the backend needs.
    """
    if name == "rtl":
        return Rtl(files, progress)
    if name == "cpu":
        return Cpu(cpu)
    return Torch(files) if name == "torch" else Qonnx(files)


def simulate(
    files: BuildFiles,
    pictures: Pictures,
    names: Sequence[str],
    capture: bool,
    progress: Progress,
) -> tuple[dict[str, Any], Outputs]:
    """See ``flows.api.simulate``; returns what every head gave, too."""
    golden = Golden(files)
    backend = Rtl(files, progress)
    with frames(progress, "rtl", len(pictures)) as report:
        run = rtl.simulate(files.rtl, pictures, progress=report)
    alone = output_alone("rtl", golden.model, "only the output was compared (--no-capture)")
    tally = Tally(alone, golden.bits)
    expected = golden.run(pictures)
    tally.add(expected, run.outputs, names)
    tallies = [tally]
    divergence: dict[str, Any] | None = None
    if capture or tally.values_differing:
        layers = Tally(coverage("rtl", golden.model), golden.bits)
        layers.add(expected, backend.run(pictures), names)
        tallies.append(layers)
        divergence = _explain(files, backend, pictures, layers)
    result = combine(tallies)
    # The output comes out of both runs: it counts once, but what differs in either is told.
    seen = tallies[-1].summary()
    figures = {
        "images": run.images,
        "values_compared": seen["values_compared"],
        "values_differing": result["values_differing"],
        **cycle_figures(run),
        "build_seconds": run.build_seconds,
        "first_divergence": divergence or result["first_divergence"],
        "layers": tallies[-1].layers(),
        "layers_total": seen["layers_total"],
        "not_covered": seen["not_covered"],
    }
    return figures, outputs_of(golden.heads, run.outputs)


def cycle_figures(run: rtl.SimResult) -> dict[str, Any]:
    """Return latency, interval and simulation speed."""
    names = ("cycles_per_frame", "interval", "sim_cycles_per_second")
    return {name: getattr(run, name) for name in names}


def _explain(
    files: BuildFiles,
    backend: Rtl,
    pictures: Pictures,
    layers: Tally,
) -> dict[str, Any] | None:
    """The first divergence with its cycle, a waveform of the cycles before it, and the command."""
    first = layers.first
    if first is None or backend.last is None:
        return None
    where = (first.picture_index, *first.index)
    node, cycle = rtl.locate(files.rtl, backend.last, first.layer, where)
    waveform = files.folder / "divergence.vcd"
    rtl.waveform(files.rtl, pictures, cycle, waveform)
    return {
        **first.as_json(),
        "node": node,
        "cycle": cycle,
        "waveform": str(waveform),
        "reproduce": f"andpop simulate {files.folder} --images PICTURES --count {len(pictures)}",
    }
