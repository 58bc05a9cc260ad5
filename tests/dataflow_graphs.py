# SPDX-License-Identifier: Apache-2.0
"""Dataflow graphs built by hand with random integers: single blocks, units, whole networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from andpop.hw.graph.heads import Head, Kind, write_heads
from andpop.quant.grid import IntArray, accumulator_bounds, signed_bits
from onnx import TensorProto, helper
from qonnx.core.modelwrapper import ModelWrapper

DOMAIN = "finn.custom_op.fpgadataflow"


class GraphBuilder:
    """Adds the nodes of docs/03_reference/dataflow.md one by one, tensors named t0, t1, ..."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.inputs: list[str] = []
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.types: dict[str, str] = {}
        self.initializers: dict[str, IntArray] = {}

    def tensor(self, shape: Sequence[int], datatype: str) -> str:
        """Declare a tensor."""
        name = f"t{len(self.shapes)}"
        self.shapes[name], self.types[name] = tuple(shape), datatype
        return name

    def input(self, shape: Sequence[int], datatype: str) -> str:
        """Declare a graph input."""
        name = self.tensor(shape, datatype)
        self.inputs.append(name)
        return name

    def constant(self, values: IntArray) -> str:
        """Add an initializer."""
        name = f"w{len(self.initializers)}"
        self.initializers[name] = values
        return name

    def node(
        self,
        op: str,
        inputs: Sequence[str],
        outputs: Sequence[tuple[Sequence[int], str]],
        **attrs: Any,
    ) -> list[str]:
        """Add a node; ``outputs`` are (shape, datatype)."""
        names = [self.tensor(*o) for o in outputs]
        name = f"{op}_{len(self.nodes)}"
        marks = {"domain": DOMAIN, "backend": "fpgadataflow"}
        self.nodes.append(helper.make_node(op, inputs, names, name, **marks, **attrs))
        return names

    def vectors(self, x: str) -> list[int]:
        """numInputVectors of a tensor."""
        return list(self.shapes[x][:-1])

    def pad(self, x: str, padding: Sequence[int]) -> str:
        """FMPadding."""
        _, h, w, c = self.shapes[x]
        top, left, bottom, right = padding
        shape = (1, h + top + bottom, w + left + right, c)
        return self.node(
            "FMPadding", [x], [(shape, self.types[x])], ImgDim=[h, w], Padding=list(padding),
            NumChannels=c, SIMD=1, inputDataType=self.types[x],
        )[0]  # fmt: skip

    def windows(
        self, x: str, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int] = (1, 1)
    ) -> str:
        """ConvolutionInputGenerator."""
        _, h, w, c = self.shapes[x]
        out = [
            (n - d * (k - 1) - 1) // s + 1
            for n, k, s, d in zip((h, w), kernel, stride, dilation, strict=True)
        ]
        shape = (1, *out, kernel[0] * kernel[1] * c)
        return self.node(
            "ConvolutionInputGenerator", [x], [(shape, self.types[x])],
            ConvKernelDim=list(kernel), Stride=list(stride), Dilation=list(dilation),
            IFMChannels=c, IFMDim=[h, w], OFMDim=out, SIMD=1, parallel_window=0, depthwise=0,
            inputDataType=self.types[x], outputDataType=self.types[x],
        )[0]  # fmt: skip

    def xnor(self, x: str, outputs: int, weights: IntArray | None = None) -> str:
        """XnorMvu, random weights unless given."""
        inputs = self.shapes[x][-1]
        if weights is None:
            weights = self.rng.integers(0, 2, (inputs, outputs))
        datatype = f"INT{signed_bits(inputs)}"
        return self.node(
            "XnorMvu", [x, self.constant(weights)],
            [((*self.shapes[x][:-1], outputs), datatype)],
            MW=inputs, MH=outputs, SIMD=1, PE=1, numInputVectors=self.vectors(x),
            outputDataType=datatype,
        )[0]  # fmt: skip

    def int_mvu(
        self,
        x: str,
        outputs: int,
        weights: IntArray | None = None,
        bias: IntArray | None = None,
        low: int = -127,
        high: int = 127,
    ) -> str:
        """IntMvu, random weights in ``low..high`` unless given."""
        inputs = self.shapes[x][-1]
        if weights is None:
            weights = self.rng.integers(low, high, (inputs, outputs), endpoint=True)
        names = [x, self.constant(weights)]
        if bias is not None:
            names.append(self.constant(bias))
        x_low, x_high = _limits(self.types[x])
        least, most = accumulator_bounds(weights, x_low, x_high, 0 if bias is None else bias)
        datatype = f"INT{signed_bits(max(abs(int(least.min())), abs(int(most.max()))))}"
        return self.node(
            "IntMvu", names, [((*self.shapes[x][:-1], outputs), datatype)],
            MW=inputs, MH=outputs, SIMD=1, PE=1, numInputVectors=self.vectors(x),
            inputDataType=self.types[x],
            weightDataType=f"INT{signed_bits(int(np.abs(weights).max()))}",
            outputDataType=datatype,
        )[0]  # fmt: skip

    def epilogue(
        self,
        acc: str,
        shortcut: str | None = None,
        params: IntArray | None = None,
        **attrs: Any,
    ) -> str:
        """Epilogue; shifts and random parameters that keep the stream alive unless given."""
        shape = self.shapes[acc]
        channels = shape[-1]
        bits = int(self.types[acc].removeprefix("INT"))
        acc_shift = max(0, bits - 16)
        values = {
            "accShift": acc_shift, "shortcutShift": 7, "preShift": 3, "slopeShift": 6,
            "outShift": 4, "accBits": 16, "preBits": 14, "outputDataType": "INT8", **attrs,
        }  # fmt: skip
        if params is None:
            typical = 2 ** (min(bits, 16) - 3)
            gain = max(1, min(511, (4096 << values["preShift"]) // typical))
            params = np.stack(
                [
                    self.rng.integers(-gain, gain, channels, endpoint=True),
                    self.rng.integers(-(1 << 12), 1 << 12, channels),
                    self.rng.integers(-600, 600, channels),
                    self.rng.integers(0, 127, channels),
                    self.rng.integers(-600, 600, channels),
                ]
            )
        inputs = [acc] if shortcut is None else [acc, shortcut]
        return self.node(
            "Epilogue", [*inputs, self.constant(params)], [(shape, values["outputDataType"])],
            NumChannels=channels, PE=1, numInputVectors=self.vectors(acc),
            accDataType=self.types[acc], hasShortcut=int(shortcut is not None), **values,
        )[0]  # fmt: skip

    def sign(self, x: str, thresholds: IntArray | None = None) -> str:
        """Thresholding to one bit; random thresholds in the middle of an INT8 unless given."""
        channels = self.shapes[x][-1]
        if thresholds is None:
            thresholds = self.rng.integers(-30, 30, (channels, 1))
        return self.thresholds(x, thresholds, "BINARY", 0)

    def thresholds(self, x: str, thresholds: IntArray, datatype: str, base: int) -> str:
        """Thresholding."""
        return self.node(
            "Thresholding", [x, self.constant(thresholds)], [(self.shapes[x], datatype)],
            NumChannels=self.shapes[x][-1], PE=1, numSteps=thresholds.shape[1],
            inputDataType=self.types[x], weightDataType="INT9", outputDataType=datatype,
            ActVal=base, numInputVectors=self.vectors(x),
        )[0]  # fmt: skip

    def levels(self, x: str, n: int) -> str:
        """SignedThresholding of a PA activation with n random endpoints; some channels fall."""
        channels = self.shapes[x][-1]
        thresholds = np.sort(self.rng.integers(-60, 90, (channels, n)), axis=1)
        steps = np.where(self.rng.integers(0, 4, (channels, 1)) == 0, -1, 1) * np.ones((1, n), int)
        base = np.where(steps[:, 0] < 0, n, 0)
        return self.signed_thresholds(x, thresholds, steps, base, f"UINT{n.bit_length()}")

    def signed_thresholds(
        self,
        x: str,
        thresholds: IntArray,
        steps: IntArray,
        base: IntArray,
        datatype: str,
        encoding: str = "code",
    ) -> str:
        """SignedThresholding."""
        constants = [self.constant(v) for v in (thresholds, steps, base)]
        return self.node(
            "SignedThresholding", [x, *constants], [(self.shapes[x], datatype)],
            NumChannels=self.shapes[x][-1], PE=1, numSteps=thresholds.shape[1],
            numInputVectors=self.vectors(x), inputDataType=self.types[x],
            weightDataType=self.types[x], baseDataType=f"INT{signed_bits(np.abs(base).max())}",
            outputDataType=datatype, encoding=encoding,
        )[0]  # fmt: skip

    def pa_mvu(
        self,
        x: str,
        outputs: int,
        codes: IntArray | None = None,
        alpha: IntArray | None = None,
        beta: IntArray | None = None,
        zero: int = 2,
    ) -> str:
        """PaMvu; M=4, every code of the input in use, random weights and levels unless given."""
        inputs = self.shapes[x][-1]
        if alpha is None:
            alpha = np.array([-90, -31, 0, 33, 101])
        if beta is None:
            levels = _limits(self.types[x])[1]
            beta = np.sort(np.r_[0, self.rng.integers(1, 255, levels, endpoint=True)])
        if codes is None:
            codes = self.rng.integers(-zero, len(alpha) - zero, (inputs, outputs))
        least, most = accumulator_bounds(alpha[codes + zero], 0, int(beta.max()))
        datatype = f"INT{signed_bits(max(-int(least.min()), int(most.max())))}"
        return self.node(
            "PaMvu", [x, *(self.constant(v) for v in (codes, alpha, beta))],
            [((*self.shapes[x][:-1], outputs), datatype)],
            MW=inputs, MH=outputs, SIMD=1, PE=1, numInputVectors=self.vectors(x),
            inputDataType=self.types[x], weightDataType=f"INT{signed_bits(len(alpha) - 1 - zero)}",
            zero=zero, alphaDataType="INT8", betaDataType="UINT8", outputDataType=datatype,
            implementation="auto", alphaValues=alpha.tolist(), betaValues=beta.tolist(),
        )[0]  # fmt: skip

    def pa_block(
        self,
        x: str,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        n: int = 5,
        shortcut: str | None = None,
    ) -> str:
        """A PA block of a residual network, 'same' padding, accumulators of 11 fraction bits."""
        y = self.levels(x, n)
        if kernel > 1:
            y = self.pad(y, [kernel // 2] * 4)
        if kernel > 1 or stride > 1:
            y = self.windows(y, [kernel] * 2, [stride] * 2)
        return self.requant(self.pa_mvu(y, outputs), 7, "INT8", shortcut, 7)

    def max_pool(
        self, x: str, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int]
    ) -> str:
        """StreamMaxPool."""
        _, h, w, c = self.shapes[x]
        top, left, bottom, right = padding
        out = [
            (h + top + bottom - kernel[0]) // stride[0] + 1,
            (w + left + right - kernel[1]) // stride[1] + 1,
        ]
        return self.node(
            "StreamMaxPool", [x], [((1, *out, c), self.types[x])], NumChannels=c, PE=1,
            ImgDim=[h, w], KernelDim=list(kernel), Stride=list(stride), Padding=list(padding),
            OutDim=out, inputDataType=self.types[x],
        )[0]  # fmt: skip

    def duplicate(self, x: str, copies: int = 2) -> list[str]:
        """DuplicateStreams."""
        return self.node(
            "DuplicateStreams", [x], [(self.shapes[x], self.types[x])] * copies,
            NumChannels=self.shapes[x][-1], PE=1, NumOutputStreams=copies,
            inputDataType=self.types[x], numInputVectors=self.vectors(x),
        )  # fmt: skip

    def split(self, x: str, channels: Sequence[int]) -> list[str]:
        """StreamingSplit."""
        leading = self.shapes[x][:-1]
        return self.node(
            "StreamingSplit", [x], [((*leading, c), self.types[x]) for c in channels], SIMD=1,
            ChannelsPerStream=list(channels), inputDataType=self.types[x],
            numInputVectors=self.vectors(x),
        )  # fmt: skip

    def shuffle(self, left: str, right: str) -> str:
        """ShuffleConcat."""
        *leading, c = self.shapes[left]
        return self.node(
            "ShuffleConcat", [left, right], [((*leading, 2 * c), self.types[left])],
            NumChannels=c, PE=1, inputDataType=self.types[left],
            numInputVectors=self.vectors(left),
        )[0]  # fmt: skip

    def global_pool(self, x: str) -> str:
        """GlobalAccPool."""
        _, h, w, c = self.shapes[x]
        low, high = _limits(self.types[x])
        bits = max((-low * h * w - 1).bit_length(), (high * h * w).bit_length()) + 1
        return self.node(
            "GlobalAccPool", [x], [((1, 1, 1, c), f"INT{bits}")], NumChannels=c, PE=1,
            inputDataType=self.types[x], numInputVectors=self.vectors(x),
        )[0]  # fmt: skip

    def requant(
        self,
        x: str,
        shift: int,
        datatype: str = "INT8",
        shortcut: str | None = None,
        shortcut_shift: int = 0,
    ) -> str:
        """ShiftRequant."""
        inputs = [x] if shortcut is None else [x, shortcut]
        return self.node(
            "ShiftRequant", inputs, [(self.shapes[x], datatype)], NumChannels=self.shapes[x][-1],
            PE=1, numInputVectors=self.vectors(x), inputDataType=self.types[x],
            outputDataType=datatype, shift=shift, hasShortcut=int(shortcut is not None),
            shortcutShift=shortcut_shift,
            shortcutDataType="" if shortcut is None else self.types[shortcut],
        )[0]  # fmt: skip

    def add(self, inputs: Sequence[str], factors: Sequence[int], datatype: str) -> str:
        """AddStreams."""
        shape = self.shapes[inputs[0]]
        return self.node(
            "AddStreams", inputs, [(shape, datatype)], NumChannels=shape[-1], PE=1,
            numInputVectors=self.vectors(inputs[0]),
            inputDataTypes=[self.types[x] for x in inputs], factors=list(factors),
            outputDataType=datatype,
        )[0]  # fmt: skip

    def label(self, x: str) -> str:
        """LabelSelect."""
        labels = self.shapes[x][-1]
        return self.node(
            "LabelSelect", [x], [((1, 1, 1, 1), "UINT16")], Labels=labels, PE=1, K=1,
            inputDataType=self.types[x], outputDataType="UINT16", numInputVectors=[1, 1, 1],
        )[0]  # fmt: skip

    def block(
        self, x: str, outputs: int, kernel: int = 1, stride: int = 1, shortcut: str | None = None
    ) -> str:
        """A 1-bit convolution block with 'same' padding."""
        y = self.sign(x)
        if kernel > 1:
            y = self.pad(y, [kernel // 2] * 4)
        if kernel > 1 or stride > 1:
            y = self.windows(y, [kernel] * 2, [stride] * 2)
        return self.epilogue(self.xnor(y, outputs), shortcut)

    def identity_block(self, x: str, kernel: int) -> str:
        """A 1-bit block with an identity shortcut."""
        main, shortcut = self.duplicate(x)
        return self.block(main, self.shapes[x][-1], kernel, 1, shortcut)

    def basic_unit(self, x: str) -> str:
        """Bi-ShuffleNet's basic unit."""
        half = self.shapes[x][-1] // 2
        left, right = self.split(x, [half, half])
        for kernel in (1, 3, 3, 1):
            right = self.identity_block(right, kernel)
        return self.shuffle(left, right)

    def down_unit(self, x: str, outputs: int) -> str:
        """Bi-ShuffleNet's down-sampling unit."""
        _, h, w, c = self.shapes[x]
        half = outputs // 2
        left, right, shortcut = self.duplicate(x, 3)
        left = self.block(left, c, 5, 2)
        pooled = self.max_pool(shortcut, [2, 2], [2, 2], [0, 0, h % 2, w % 2])
        left = self.block(left, half, 1, 1, pooled if half == c else None)
        right = self.block(right, half)
        right = self.block(right, half, 3)
        right = self.block(right, half, 3, 2)
        right = self.block(right, half)
        return self.shuffle(left, right)

    def model(self, outputs: Sequence[str]) -> onnx.ModelProto:
        """The graph as an ONNX model."""

        def info(name: str) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, self.shapes[name])

        graph = helper.make_graph(
            self.nodes,
            "dataflow",
            [info(n) for n in self.inputs],
            [info(n) for n in outputs],
            [
                onnx.numpy_helper.from_array(v.astype(np.float32), n)
                for n, v in self.initializers.items()
            ],
            value_info=[info(n) for n in self.shapes if n not in (*self.inputs, *outputs)],
        )
        for name, datatype in self.types.items():
            annotation = onnx.TensorAnnotation(tensor_name=name)
            entry = annotation.quant_parameter_tensor_names.add()
            entry.key, entry.value = "finn_datatype", datatype
            graph.quantization_annotation.append(annotation)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
        write_heads(model, [self.head(name) for name in outputs])
        return model

    def head(self, output: str) -> Head:
        """What an output stands for: classes of a LabelSelect, anything else as it is."""
        node = next((n for n in self.nodes if output in n.output), None)
        if node is None or node.op_type != "LabelSelect":
            return Head(output, "raw", output)
        kind: Kind = "class" if max(self.shapes[node.input[0]][:-1]) == 1 else "class_map"
        return Head(output, kind, output, node.input[0])


def _limits(datatype: str) -> tuple[int, int]:
    if datatype == "BINARY":
        return 0, 1
    bits = int(datatype.removeprefix("U").removeprefix("INT"))
    return (
        (0, 2**bits - 1) if datatype.startswith("U") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    )


def pa_resnet(
    size: Sequence[int] = (19, 22), plan: Sequence[int] = (6, 12), classes: int = 4, seed: int = 0
) -> onnx.ModelProto:
    """A PA residual network with random integers: stem, two stages of two blocks, classifier."""
    g = GraphBuilder(seed)
    x = g.windows(g.pad(g.input((1, *size, 1), "UINT8"), [2] * 4), [5, 5], [2, 2])
    x = g.epilogue(g.int_mvu(x, plan[0]))
    for stage, channels in enumerate(plan):
        if stage:
            main, side = g.duplicate(x)
            x = g.pa_block(main, channels, stride=2, shortcut=g.pa_block(side, channels, 1, 2, 7))
        for _ in range(2):
            main, side = g.duplicate(x)
            x = g.pa_block(main, channels, shortcut=side)
    pixels = g.shapes[x][1] * g.shapes[x][2]
    x = g.requant(g.global_pool(x), (pixels - 1).bit_length())
    return g.model([g.label(g.int_mvu(x, classes))])


def bi_shufflenet(
    size: Sequence[int],
    channels: int = 1,
    plan: Sequence[int] = (24, 48, 96, 192, 1024),
    repeats: Sequence[int] = (3, 7, 3),
    classes: int = 6,
    seed: int = 0,
) -> onnx.ModelProto:
    """Bi-ShuffleNet with random integers; the published one by default."""
    g = GraphBuilder(seed)
    picture = g.input((1, *size, channels), "UINT8")
    x = g.windows(g.pad(picture, [4] * 4), [9, 9], [2, 2])
    x = g.epilogue(g.int_mvu(x, plan[0]))
    x = g.max_pool(x, [3, 3], [2, 2], [1, 1, 1, 1])
    for outputs, basic in zip(plan[1:4], repeats, strict=True):
        x = g.down_unit(x, outputs)
        for _ in range(basic):
            x = g.basic_unit(x)
    x = g.epilogue(g.int_mvu(x, plan[4]))
    pixels = g.shapes[x][1] * g.shapes[x][2]
    x = g.requant(g.global_pool(x), (pixels - 1).bit_length())
    x = g.int_mvu(x, classes, bias=g.rng.integers(-1000, 1000, classes))
    return g.model([g.label(x)])


def pictures_for(graph: ModelWrapper, noise: int) -> np.ndarray:
    """All-0, all-255, checkerboard, stripes and noise, (N, H, W, C) uint8."""
    shape = tuple(graph.get_tensor_shape(graph.graph.input[0].name))[1:]
    rows, columns = np.indices(shape[:2])
    board = np.broadcast_to(((rows + columns) % 2 * 255)[..., None], shape)
    stripes = np.broadcast_to((rows % 2 * 255)[..., None], shape)
    rng = np.random.default_rng(5)
    extremes = [np.zeros(shape), np.full(shape, 255), board, stripes]
    return np.concatenate(
        [np.stack(extremes).astype(np.uint8), rng.integers(0, 256, (noise, *shape), np.uint8)]
    )
