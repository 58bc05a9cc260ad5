# SPDX-License-Identifier: Apache-2.0
"""A small network on a fake board: project, golden model, streams packed and unpacked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from andpop.hw.boards import find
from andpop.hw.graph.clean import clean
from andpop.hw.graph.executor import run
from andpop.hw.graph.folding import fold
from andpop.hw.graph.heads import Head, heads_of
from andpop.hw.graph.lowering import lower
from andpop.hw.graph.specialise import specialise
from andpop.hw.rtl.simulate import emit
from andpop.hw.rtl.top_info import TapInfo, TopInfo
from andpop.hw.targets.zynq import Project, emit_project
from andpop.hw.targets.zynq.deploy import Content, write_deploy
from andpop.quant.grid import IntArray, type_format
from andpop.sim.network import pack_words, unpack_words
from board_model import Frames, ModelBoard
from dataflow_graphs import GraphBuilder
from fake_pynq import FakeDevice, Hardware
from qonnx.core.modelwrapper import ModelWrapper
from two_heads import three_heads

CLASSES = ("crazing", "inclusion", "patches", "pitted", "scratches")


def classifier() -> ModelWrapper:
    """Five classes of pictures of 6x6 pixels."""
    g = GraphBuilder(3)
    x = g.input((1, 6, 6, 1), "UINT8")
    x = g.windows(g.pad(x, [1] * 4), [3, 3], [2, 2])
    x = g.epilogue(g.int_mvu(x, 4))
    x = g.requant(g.global_pool(x), 5)
    x = g.int_mvu(x, 5, bias=g.rng.integers(-1000, 1000, 5))
    return fold(specialise(ModelWrapper(g.model([g.label(x)]))), 100)


def several() -> ModelWrapper:
    """A class per pixel, scaled logits and signs, of pictures of 8x8 pixels."""
    graph = lower(clean(three_heads()), heads={"scaled": "map", "signs": "raw"})
    return fold(specialise(graph), 200)


@dataclass(frozen=True)
class Deployed:
    """A network with its project; FIFOs unsized."""

    model: ModelWrapper
    info: TopInfo
    project: Project

    @staticmethod
    def of(model: ModelWrapper, folder: Path, data_bits: int = 64) -> Deployed:
        """Emit a folded graph and its project, with ports to memory of that width."""
        info = emit(model, folder / "rtl", find("pynq-z2"))
        deployed = Deployed(model, info, emit_project(folder, find("pynq-z2"), None, data_bits))
        deployed.write()
        return deployed

    def write(self) -> list[str]:
        """Write the folder for the board."""
        (self.deploy / "andpop.bit").write_bytes(b"no bits")
        pictures = self.pictures(3, 1)
        kinds = [head.kind for head in self.heads]
        content = Content(
            "tiny", "classification" if "class" in kinds else "masks", CLASSES, self.heads,
            "bilinear", pictures, self.golden(pictures),
        )  # fmt: skip
        return write_deploy(self.project, content)

    @property
    def heads(self) -> list[Head]:
        """The heads of the graph."""
        if len(self.info.outputs) > 1:
            return heads_of(self.model.model)
        return [Head("label", "class", self.info.outputs[0].tensor)]

    @property
    def deploy(self) -> Path:
        """The folder for the board; the bit file is made up."""
        return (self.project.folder / self.project.bitstream).parent

    @property
    def settings(self) -> dict[str, Any]:
        """What drivers read."""
        path = self.project.folder / self.project.settings
        settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return settings

    def pictures(self, count: int, seed: int = 4) -> npt.NDArray[np.uint8]:
        """Draw pictures (N, H, W, C)."""
        shape = (count, *self.info.input.shape[1:])
        return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)

    def golden(self, pictures: npt.NDArray[np.uint8]) -> list[IntArray]:
        """Return what every head gives."""
        found = run(self.model, pictures)
        return [np.asarray(found[tap.tensor]) for tap in self.info.outputs]

    def frames(self, frames: Frames) -> Sequence[Frames]:
        """Do as the network does, from frames in memory to frames in memory."""
        outputs = self.info.outputs
        if not len(frames):
            return [np.zeros((0, _bytes(tap)), np.uint8) for tap in outputs]
        values = _unpack(self.info.input, frames).astype(np.uint8)
        return [_pack(t, v) for t, v in zip(outputs, self.golden(values), strict=True)]

    def model_board(self, **faults: Any) -> ModelBoard:
        """Return the board with the golden model between its DMAs."""
        sizes = [_bytes(tap) for tap in (self.info.input, *self.info.outputs)]
        return ModelBoard(self.project.build_hash, self.frames, sizes, **faults)

    def device(self, hardware: Hardware) -> FakeDevice:
        """Return the device in front of a board."""
        heads = [f"odma{i}" for i in range(len(self.info.outputs))]
        return FakeDevice(hardware, ["control0", "idma0", *heads])


def _bytes(tap: TapInfo) -> int:
    return tap.words * -(-tap.width // 8)


def _pack(tap: TapInfo, values: IntArray) -> Frames:
    bits, _ = type_format(tap.datatype)
    packed = pack_words(values.reshape(len(values), -1), bits, tap.lanes)
    return packed.reshape(len(values), -1)


def _unpack(tap: TapInfo, frames: Frames) -> IntArray:
    bits, signed = type_format(tap.datatype)
    words = frames.reshape(len(frames) * tap.words, -1)
    return unpack_words(words, bits, tap.lanes, signed).reshape(len(frames), *tap.shape[1:])
