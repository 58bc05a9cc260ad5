# SPDX-License-Identifier: Apache-2.0
"""Whole networks in Verilator: exact at every edge, sized, stuck when starved, faults located."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from andpop.hw.graph.executor import run
from andpop.hw.graph.fifo_sizing import SizingError, load_depths, round_depth, save_depths
from andpop.hw.graph.folding import fold
from andpop.hw.kernels import register
from andpop.hw.rtl.simulate import (
    NetworkStuck,
    SimResult,
    Sizing,
    compare,
    emit,
    simulate,
    size_fifos,
    waveform,
)
from andpop.hw.rtl.top_info import TopInfo
from andpop.quant.grid import accumulator_bounds, signed_bits
from onnx import TensorProto, helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper

IntArray = npt.NDArray[np.int64]
DOMAIN = "finn.custom_op.fpgadataflow.rtl"
STREAM_BITS, GUARD_BITS, BN_BITS = 4, 4, 9
"""Fraction bits: of the residual streams, added in front of RPReLU, of acc * m."""


class Net:
    """Builds a dataflow graph with random integers, one layer per call; tensors are names."""

    def __init__(self, height: int, width: int, channels: int, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.shapes: dict[str, tuple[int, ...]] = {"picture": (1, height, width, channels)}
        self.types: dict[str, str] = {"picture": "UINT8"}
        self.constants: dict[str, tuple[IntArray, str]] = {}

    def add(
        self, op: str, name: str, inputs: list[str], shapes: list[tuple[int, ...]], dtype: str,
        constants: dict[str, tuple[IntArray, str]] | None = None, **attributes: Any,
    ) -> list[str]:  # fmt: skip
        """Append one node; return its output tensors."""
        outputs = [f"{name}_out{i}" for i in range(len(shapes))]
        for output, shape in zip(outputs, shapes, strict=True):
            self.shapes[output], self.types[output] = shape, dtype
        for key, value in (constants or {}).items():
            self.constants[f"{name}_{key}"] = value
        names = [*inputs, *(f"{name}_{key}" for key in constants or {})]
        self.nodes.append(
            helper.make_node(
                f"{op}_rtl", names, outputs, name=f"{name}_{op}", domain=DOMAIN,
                backend="fpgadataflow", **attributes,
            )
        )  # fmt: skip
        return outputs

    def windows(self, x: str, name: str, kernel: int, stride: int, pad: int) -> str:
        """Padding with code 0 and im2col; nothing for a 1x1 kernel of stride 1."""
        if kernel == 1 and stride == 1:
            return x
        _, h, w, c = self.shapes[x]
        dtype = self.types[x]
        if pad:
            (x,) = self.add(
                "FMPadding", f"{name}_pad", [x], [(1, h + 2 * pad, w + 2 * pad, c)], dtype,
                ImgDim=[h, w], Padding=[pad] * 4, NumChannels=c, SIMD=1, inputDataType=dtype,
            )  # fmt: skip
            _, h, w, c = self.shapes[x]
        oh, ow = (h - kernel) // stride + 1, (w - kernel) // stride + 1
        (x,) = self.add(
            "ConvolutionInputGenerator", f"{name}_win", [x],
            [(1, oh, ow, kernel * kernel * c)], dtype,
            ConvKernelDim=[kernel] * 2, Stride=[stride] * 2, Dilation=[1, 1], IFMChannels=c,
            IFMDim=[h, w], OFMDim=[oh, ow], SIMD=1, parallel_window=0, depthwise=0,
            inputDataType=dtype, outputDataType=dtype,
        )  # fmt: skip
        return x

    def int_mvu(self, x: str, name: str, out: int, bias: bool = False) -> str:
        """8-bit weights."""
        *lead, mw = self.shapes[x]
        weights = self.rng.integers(-127, 128, (mw, out))
        constants: dict[str, tuple[IntArray, str]] = {"weights": (weights, "INT8")}
        b = self.rng.integers(-1000, 1001, out) if bias else np.zeros(out, dtype=np.int64)
        if bias:
            constants["bias"] = (b, "INT11")
        dtype = DataType[self.types[x]]
        low, high = accumulator_bounds(weights, int(dtype.min()), int(dtype.max()), b)
        bits = signed_bits(int(max(-low.min(), high.max())))
        return self.add(
            "IntMvu", name, [x], [(*lead, out)], f"INT{bits}", constants, MW=mw, MH=out, SIMD=1,
            PE=1, numInputVectors=list(lead), inputDataType=self.types[x], weightDataType="INT8",
            outputDataType=f"INT{bits}",
        )[0]  # fmt: skip

    def epilogue(self, acc: str, name: str, shortcut: str | None = None) -> str:
        """BN, shortcut, RPReLU; the multiplier is scaled so that outputs use their range."""
        *lead, c = self.shapes[acc]
        bits = int(DataType[self.types[acc]].bitwidth())
        shift = max(0, bits - 14) if shortcut is None else 0
        scale = max(1, 1 << max(0, STREAM_BITS + BN_BITS + 2 - min(bits, 14)))
        rows = [
            self.rng.integers(max(1, min(scale // 2, 255)), min(scale, 511) + 1, c)
            * self.rng.choice([-1, 1], c),
            self.rng.integers(-20000, 20001, c),
            self.rng.integers(-300, 301, c),
            self.rng.integers(-128, 128, c),
            self.rng.integers(-300, 301, c),
        ]
        width = STREAM_BITS + BN_BITS
        inputs = [acc] if shortcut is None else [acc, shortcut]
        return self.add(
            "Epilogue", name, inputs, [(*lead, c)], "INT8",
            {"params": (np.stack(rows), "INT32")},
            NumChannels=c, PE=1, numInputVectors=list(lead), accDataType=self.types[acc],
            hasShortcut=int(shortcut is not None), accShift=shift, shortcutShift=BN_BITS,
            preShift=width - STREAM_BITS - GUARD_BITS, slopeShift=6, outShift=GUARD_BITS,
            accBits=14, preBits=14, outputDataType="INT8",
        )[0]  # fmt: skip

    def pool(self, x: str, name: str, kernel: int, pad: list[int]) -> str:
        """Max pool of stride 2."""
        _, h, w, c = self.shapes[x]
        oh = (h + pad[0] + pad[2] - kernel) // 2 + 1
        ow = (w + pad[1] + pad[3] - kernel) // 2 + 1
        return self.add(
            "StreamMaxPool", name, [x], [(1, oh, ow, c)], self.types[x], NumChannels=c, PE=1,
            ImgDim=[h, w], KernelDim=[kernel] * 2, Stride=[2, 2], Padding=pad, OutDim=[oh, ow],
            inputDataType=self.types[x],
        )[0]  # fmt: skip

    def fork(self, x: str, name: str, count: int = 2) -> list[str]:
        *lead, c = self.shapes[x]
        return self.add(
            "DuplicateStreams", name, [x], [self.shapes[x]] * count, self.types[x], NumChannels=c,
            PE=1, NumOutputStreams=count, inputDataType=self.types[x], numInputVectors=list(lead),
        )  # fmt: skip

    def block(
        self, x: str, name: str, out: int, kernel: int, stride: int, shortcut: str | None
    ) -> str:
        """One 1-bit block; ``shortcut="same"`` forks the input."""
        if shortcut == "same":
            x, shortcut = self.fork(x, f"{name}_fork")
        *lead, c = self.shapes[x]
        thresholds = self.rng.integers(-40, 41, (c, 1))
        (bits,) = self.add(
            "Thresholding", f"{name}_sign", [x], [self.shapes[x]], "BINARY",
            {"thresholds": (thresholds, "INT8")}, NumChannels=c, PE=1, numSteps=1,
            inputDataType="INT8", weightDataType="INT8", outputDataType="BINARY", ActVal=0,
            numInputVectors=list(lead),
        )  # fmt: skip
        bits = self.windows(bits, name, kernel, stride, kernel // 2)
        *lead, mw = self.shapes[bits]
        accumulator = f"INT{signed_bits(mw)}"
        (acc,) = self.add(
            "XnorMvu", f"{name}_mvu", [bits], [(*lead, out)], accumulator,
            {"weights": (self.rng.integers(0, 2, (mw, out)), "BINARY")}, MW=mw, MH=out, SIMD=1,
            PE=1, numInputVectors=list(lead), outputDataType=accumulator,
        )  # fmt: skip
        return self.epilogue(acc, f"{name}_epi", shortcut)

    def join(self, left: str, right: str, name: str) -> str:
        *lead, c = self.shapes[left]
        return self.add(
            "ShuffleConcat", name, [left, right], [(*lead, 2 * c)], "INT8", NumChannels=c, PE=1,
            inputDataType="INT8", numInputVectors=list(lead),
        )[0]  # fmt: skip

    def down(self, x: str, name: str, out: int) -> str:
        """Down-sampling unit of Bi-ShuffleNet."""
        ci, h = self.shapes[x][-1], out // 2
        left, right, skip = self.fork(x, f"{name}_fork", 3)
        left = self.block(left, f"{name}_l1", ci, 5, 2, None)
        _, height, width, _ = self.shapes[x]
        skip = self.pool(skip, f"{name}_skip", 2, [0, 0, height % 2, width % 2])
        left = self.block(left, f"{name}_l2", h, 1, 1, skip)
        right = self.block(right, f"{name}_r1", h, 1, 1, None)
        right = self.block(right, f"{name}_r2", h, 3, 1, None)
        right = self.block(right, f"{name}_r3", h, 3, 2, None)
        right = self.block(right, f"{name}_r4", h, 1, 1, None)
        return self.join(left, right, f"{name}_join")

    def basic(self, x: str, name: str) -> str:
        """Basic unit of Bi-ShuffleNet."""
        *lead, c = self.shapes[x]
        left, right = self.add(
            "StreamingSplit", f"{name}_split", [x], [(*lead, c // 2)] * 2, "INT8", SIMD=1,
            ChannelsPerStream=[c // 2] * 2, inputDataType="INT8", numInputVectors=list(lead),
        )  # fmt: skip
        for i, kernel in enumerate((1, 3, 3, 1)):
            right = self.block(right, f"{name}_r{i + 1}", c // 2, kernel, 1, "same")
        return self.join(left, right, f"{name}_join")

    def head(self, x: str, out: int, classes: int) -> str:
        """conv5, global pool, classifier, class index."""
        x = self.epilogue(self.int_mvu(x, "conv5", out), "conv5_epi")
        _, h, w, c = self.shapes[x]
        total = DataType.get_smallest_possible(-128 * h * w).name
        (x,) = self.add(
            "GlobalAccPool", "pool", [x], [(1, 1, 1, c)], total, NumChannels=c, PE=1,
            inputDataType="INT8", numInputVectors=[1, h, w],
        )  # fmt: skip
        (x,) = self.add(
            "ShiftRequant", "mean", [x], [(1, 1, 1, c)], "INT8", NumChannels=c, PE=1,
            numInputVectors=[1, 1, 1], inputDataType=total, outputDataType="INT8",
            shift=max(0, math.ceil(math.log2(h * w))),
        )  # fmt: skip
        x = self.int_mvu(x, "fc", classes, bias=True)
        return self.add(
            "LabelSelect", "class", [x], [(1, 1, 1, 1)], "UINT8", Labels=classes, PE=1, K=1,
            inputDataType=self.types[x], outputDataType="UINT8", numInputVectors=[1, 1, 1],
        )[0]  # fmt: skip

    def model(self, output: str) -> ModelWrapper:
        """The graph, batch 1."""
        info = {
            name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in self.shapes.items()
        }
        inner = [v for name, v in info.items() if name not in ("picture", output)]
        graph = helper.make_graph(
            self.nodes, "dataflow", [info["picture"]], [info[output]], value_info=inner
        )
        opsets = [helper.make_opsetid("", 13), helper.make_opsetid(DOMAIN, 1)]
        model = ModelWrapper(helper.make_model(graph, opset_imports=opsets))
        for name, (value, dtype) in self.constants.items():
            model.set_initializer(name, value.astype(np.float32))
            model.set_tensor_datatype(name, DataType[dtype])
        for name, dtype in self.types.items():
            model.set_tensor_datatype(name, DataType[dtype])
        return model


def shuffle_net(
    size: int, first: int, repeats: tuple[int, ...], last: int, target: int
) -> ModelWrapper:
    """A folded network of Bi-ShuffleNet's shape with random integers."""
    register()
    net = Net(size, size, 1)
    x = net.windows("picture", "conv1", 9, 2, 4)
    x = net.epilogue(net.int_mvu(x, "conv1", first), "conv1_epi")
    x = net.pool(x, "pool1", 3, [1, 1, 1, 1])
    for stage, units in enumerate(repeats):
        x = net.down(x, f"s{stage + 2}_0", net.shapes[x][-1] * 2)
        for unit in range(units):
            x = net.basic(x, f"s{stage + 2}_{unit + 1}")
    return fold(net.model(net.head(x, last, 6)), target)
