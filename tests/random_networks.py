# SPDX-License-Identifier: Apache-2.0
"""Random networks of what other people's exporters write, a network for every seed.

Each is one that has an exact integer form by construction, so any refusal of it is a false one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import onnx
from foreign_graphs import QONNX, Net
from onnx import helper
from random_heads import logits
from random_inputs import front


@dataclass(frozen=True)
class Codes:
    """A quantised map: its tensor, shape (C, H, W), and whether its codes are -1 and +1."""

    name: str
    channels: int
    height: int
    width: int
    signs: bool = False
    scale: float = 0.125
    bits: int = 4
    signed: bool = True


def _simple(x: Codes) -> bool:
    """Whether the scale is a power of two."""
    return float(np.log2(x.scale)).is_integer()


class Sampler:
    """Draws one network; every method adds a layer and returns the codes it ends with."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.form = np.random.default_rng([seed, 2])
        """What draws the words that a construct is written in, apart from the constructs."""
        side = self.rng.integers(6, 13, 2)
        self.net = Net(int(side[0]), int(side[1]), self.pick(1, 1, 3), seed)
        self.input, self.size = front(self.net, seed)
        self.said: list[str] = [n.op_type for n in self.net.nodes]

    def pick(self, *choices: int) -> int:
        """One of these."""
        return int(choices[self.rng.integers(len(choices))])

    def chance(self, share: float) -> bool:
        """True so often."""
        return bool(self.rng.random() < share)

    def scale(self) -> float:
        """A power of two, or any number."""
        return (
            2.0 ** -self.pick(2, 3, 4) if self.chance(0.5) else float(self.rng.uniform(0.03, 0.3))
        )

    def weights(self, *shape: int, signs: bool = False, outputs: int = 0) -> str:
        """Quantised weights: 1 to 8 bits, one scale or one per output; ``signs``: mostly 1.

        ``outputs``: their axis.
        """
        values = self.net.constant(self.net.weights(*shape))
        per = [1] * len(shape)
        per[outputs] = shape[outputs]
        scale = self.net.constant(
            self.rng.uniform(0.05, 0.2, per) if self.chance(0.4) else self.scale()
        )
        bits = self.pick(1, 2, 3, 4, 4, 8)
        if bits == 1 or (signs and self.chance(0.6)):
            return self.net.op("BipolarQuant", [values, scale], QONNX)
        inputs = [values, scale, self.net.constant(0.0), self.net.constant(float(bits))]
        return self.net.op(
            "Quant",
            inputs,
            QONNX,
            signed=1,
            narrow=int(self.chance(0.7)),
            rounding_mode="ROUND",
        )

    def quantised(
        self,
        x: str,
        shape: tuple[int, int, int],
        like: Codes | None = None,
        direct: bool = False,
        turns: bool = False,
    ) -> Codes:
        """[BatchNormalization] -> [activation] -> quantiser.

        ``like``: a quantiser equal to another's; ``direct``: nothing but a Relu in front;
        ``turns``: the activation may rise and fall, which is evaluated for every sum: for few
        of them only.
        """
        channels = shape[0]
        if direct:
            scale, bits = self.scale(), self.pick(2, 3, 4, 8)
            name = self.net.quant(self.net.op("Relu", [x]), scale, bits, 0)
            return Codes(name, *shape, scale=scale, bits=bits, signed=False)
        if self.chance(0.7):
            rows = [
                self.rng.uniform(0.3, 1.5, channels) * self.rng.choice([-1, 1, 1], channels),
                self.rng.uniform(-0.5, 0.5, channels),
                self.rng.uniform(-0.5, 0.5, channels),
                self.rng.uniform(0.5, 1.5, channels),
            ]
            x = self.net.op("BatchNormalization", [x, *map(self.net.constant, rows)])
        if like is None and self.chance(0.25):
            return Codes(
                self.net.op("BipolarQuant", [x, self.net.constant(1.0)], QONNX), *shape, signs=True
            )
        x, positive = self.activation(x, channels, turns)
        scale, bits = self.scale(), self.pick(1, 2, 3, 4, 4, 8)
        signed = bits > 1 and (not positive or self.chance(0.2))
        if like is not None:
            scale, bits, signed = like.scale, like.bits, like.signed
        low, high = (-(1 << (bits - 1)), 1 << (bits - 1)) if signed else (0, 1 << bits)
        zero = int(self.rng.integers(low, high)) if like is None and self.chance(0.15) else 0
        parameters = (self.net.constant(float(v)) for v in (scale, zero, bits))
        name = self.net.op(
            "Quant",
            [x, *parameters],
            QONNX,
            signed=int(signed),
            narrow=int(bits > 1 and self.chance(0.2)),
            rounding_mode=("ROUND", "FLOOR", "CEIL", "HALF_UP")[self.pick(0, 0, 0, 1, 2, 3)],
        )
        return Codes(name, *shape, scale=scale, bits=bits, signed=signed)

    def activation(self, x: str, channels: int, turns: bool) -> tuple[str, bool]:
        """What stands in front of a quantiser, and whether it gives nothing below 0."""
        net, kind = self.net, self.pick(*range(12))
        if kind < 4:
            return net.op("Relu", [x]), True
        if kind == 4:
            return net.op("Clip", [x, net.constant(0.0), net.constant(6.0)]), True
        if kind == 5:
            return net.op("LeakyRelu", [x], alpha=0.1), False
        if kind == 6:
            slopes = self.rng.uniform(-0.5 if turns else 0.0, 0.5, (channels, 1, 1))
            return net.op("PRelu", [x, net.constant(slopes)]), False
        if kind == 7:
            return net.op(("Sigmoid", "HardSigmoid")[self.pick(0, 1)], [x]), True
        if kind == 8 and turns:
            return net.op("Mul", [x, net.op("Sigmoid", [x])]), False
        if kind == 9:
            return net.op(("Tanh", "Elu")[self.pick(0, 1)], [x]), False
        if kind == 10:
            curves = ("Selu", "Softsign", "Ceil", *(("Celu", "Abs") if turns else ()))
            return net.op(curves[self.form.integers(len(curves))], [x]), False
        return x, False

    def window(self, x: Codes, keeps: bool = False) -> tuple[dict[str, list[int]], int, int]:
        """Kernel, stride, border and dilation of a convolution, and the size of its result."""
        kernel = [self.pick(1, 3, 3, 2, 5) for _ in range(2)]
        stride, dilation = [self.pick(1, 1, 2) for _ in range(2)], [1, 1]
        if keeps:
            kernel, stride = [self.pick(1, 3)] * 2, [1, 1]
        if not keeps and self.chance(0.15):
            dilation = [2, 2]
        kernel = [
            k if (k - 1) * d < s else 1
            for k, d, s in zip(kernel, dilation, (x.height, x.width), strict=True)
        ]
        border = keeps or self.chance(0.2 if x.signs else 0.6)
        pads = [(k - 1) * d // 2 if border else 0 for k, d in zip(kernel, dilation, strict=True)]
        size = [
            (s + 2 * p - (k - 1) * d - 1) // t + 1
            for s, p, k, d, t in zip(
                (x.height, x.width), pads, kernel, dilation, stride, strict=True
            )
        ]
        said = {"kernel_shape": kernel, "strides": stride, "dilations": dilation, "pads": pads * 2}
        return said, size[0], size[1]

    def convolution(self, x: Codes, keeps: bool = False, like: Codes | None = None) -> Codes:
        """A dense convolution, with a bias now and then, and its quantiser."""
        outputs = x.channels if keeps else self.pick(2, 4, 6, 8)
        window, height, width = self.window(x, keeps)
        inputs = [x.name, self.weights(outputs, x.channels, *window["kernel_shape"], signs=x.signs)]
        if self.chance(0.25):
            inputs.append(self.net.constant(self.rng.uniform(-0.5, 0.5, outputs)))
        self.said.append("Conv")
        taps = x.channels * window["kernel_shape"][0] * window["kernel_shape"][1]
        few = taps << (x.bits + 7) < 1 << 16 and x.name != self.input
        name = self.net.op("Conv", inputs, **window)
        return self.quantised(name, (outputs, height, width), like, turns=few)

    def grouped(self, x: Codes) -> Codes:
        """A convolution in groups, depthwise ones of one or two outputs a channel among them."""
        choices = [g for g in (x.channels, x.channels, 2, 4) if x.channels % g == 0 and g > 1]
        if not choices:
            return self.convolution(x)
        groups = self.pick(*choices)
        outputs = groups * self.pick(1, 1, 2)
        window, height, width = self.window(x)
        weight = self.weights(outputs, x.channels // groups, *window["kernel_shape"], signs=x.signs)
        self.said.append("grouped Conv")
        name = self.net.op("Conv", [x.name, weight], group=groups, **window)
        return self.quantised(name, (outputs, height, width), turns=x.bits <= 4)

    def dense_block(self, x: Codes) -> Codes:
        """A tensor and one or two convolutions of it behind one another, as DenseNet joins them: of
        scales that are powers of two."""
        parts = [x]
        for _ in range(self.pick(1, 2)):
            other = self.convolution(x, keeps=True)
            parts.append(other)
        if len({(p.height, p.width) for p in parts}) > 1 or not all(map(_simple, parts)):
            return parts[-1]
        self.said.append("Concat")
        name = self.net.op("Concat", [p.name for p in parts], axis=1)
        alike = Codes(name, sum(p.channels for p in parts), x.height, x.width, bits=8)
        return self.convolution(alike)

    def residual(self, x: Codes) -> Codes:
        """A tensor and a convolution of it, added: of one scale, of scales a power of two apart, or
        of any two behind which a quantiser decides."""
        if x.signs or x.bits > 4:
            x = self.quantised(x.name, (x.channels, x.height, x.width))
        if x.signs or x.bits > 4:
            return x
        other = self.convolution(x, keeps=True, like=x if self.chance(0.6) else None)
        if other.signs or other.bits > 4:
            return other
        self.said.append("Add")
        name = self.net.op("Add", [x.name, other.name])
        return self.quantised(name, (x.channels, x.height, x.width), direct=True)

    def average_pool(self, x: Codes) -> Codes:
        """An average over windows, and its quantiser."""
        kernel = [min(self.pick(2, 2, 3), x.height), min(self.pick(2, 2, 3), x.width)]
        stride = [self.pick(1, 2, k) for k in kernel]
        size = [
            (s - k) // t + 1 for s, k, t in zip((x.height, x.width), kernel, stride, strict=True)
        ]
        self.said.append("AveragePool")
        name = self.net.op("AveragePool", [x.name], kernel_shape=kernel, strides=stride)
        return self.quantised(name, (x.channels, size[0], size[1]))

    def max_pool(self, x: Codes) -> Codes:
        """A max pool of any window."""
        kernel = [min(self.pick(2, 2, 3), x.height), min(self.pick(2, 2, 3), x.width)]
        stride = [self.pick(1, 2, k) for k in kernel]
        pads = [self.pick(0, 0, k // 2) for k in kernel]
        if self.form.random() < 0.2 and x.height > 1:
            self.said.append("Slice by 2")
            name = self.slice(self.slice(x.name, 1, x.height, 2, 2), 0, x.width, 3, 2)
            return replace(x, name=name, height=x.height // 2, width=(x.width + 1) // 2)
        size = [
            (s + 2 * p - k) // t + 1
            for s, p, k, t in zip((x.height, x.width), pads, kernel, stride, strict=True)
        ]
        self.said.append("MaxPool")
        name = self.net.op("MaxPool", [x.name], kernel_shape=kernel, strides=stride, pads=pads * 2)
        return Codes(name, x.channels, size[0], size[1], x.signs, x.scale, x.bits, x.signed)

    def slice(self, x: str, start: int, end: int, axis: int, step: int = 1) -> str:
        """A Slice along one axis."""
        numbers = [self.net.constant([n], np.int64) for n in (start, end, axis, step)]
        return self.net.op("Slice", [x, *numbers])

    def split(self, x: Codes) -> Codes:
        """Two halves change places."""
        if x.channels % 2:
            return self.convolution(x)
        number = len(self.net.nodes)
        halves = [f"left_{number}", f"right_{number}"]
        if self.form.random() < 0.5:
            node = helper.make_node("Split", [x.name], halves, name=f"Split_{number}", axis=1)
            self.net.nodes.append(node)
        else:
            ends = (0, x.channels // 2, x.channels)
            halves = [self.slice(x.name, *ends[i : i + 2], axis=1) for i in (0, 1)]
        self.said.append("Split, Concat")
        name = self.net.op("Concat", halves[::-1], axis=1)
        return Codes(name, x.channels, x.height, x.width, x.signs, x.scale, x.bits, x.signed)

    def transposed(self, x: Codes) -> Codes:
        """A transposed convolution of any kernel and stride, with a bias now and then."""
        if x.height * x.width > 100:
            return self.convolution(x)
        outputs = self.pick(2, 4)
        kernel = [self.pick(2, 2, 3, 4, 1) for _ in range(2)]
        stride = [self.pick(2, 2, 1, 3) for _ in range(2)] if self.chance(0.4) else [2, 2]
        pads = [self.pick(0, (k - 1) // 2) for k in kernel] * 2
        more = [self.pick(*range(s)) for s in stride]
        size = [
            s * (n - 1) + k + o - 2 * p
            for s, n, k, o, p in zip(
                stride, (x.height, x.width), kernel, more, pads[:2], strict=True
            )
        ]
        if min(size) < 1:
            return self.convolution(x)
        inputs = [x.name, self.weights(x.channels, outputs, *kernel, outputs=1)]
        if self.chance(0.25):
            inputs.append(self.net.constant(self.rng.uniform(-0.5, 0.5, outputs)))
        self.said.append("ConvTranspose")
        said = {"kernel_shape": kernel, "strides": stride, "pads": pads, "output_padding": more}
        return self.quantised(
            self.net.op("ConvTranspose", inputs, **said), (outputs, size[0], size[1])
        )

    def upsampled(self, x: Codes) -> Codes:
        """Every pixel repeated, by scales or a size, in one of the conventions that mean that; or
        an interpolation and its quantiser."""
        scale = [self.pick(2, 2, 1, 3), self.pick(2, 2, 1, 3)]
        height, width = x.height * scale[0], x.width * scale[1]
        if height * width > 400:
            return self.convolution(x)
        none, way = self.net.constant(np.zeros(0)), {}
        if self.chance(0.7):
            way["coordinate_transformation_mode"] = "asymmetric"
            way["nearest_mode"] = "floor"
        elif self.chance(0.5):
            way["coordinate_transformation_mode"] = "half_pixel"
            way["nearest_mode"] = ("round_prefer_floor", "round_prefer_ceil")[self.pick(0, 1)]
        inputs = [x.name, none, self.net.constant([1, 1, *scale])]
        if self.chance(0.5):
            inputs[2:] = [none, self.net.constant([1, x.channels, height, width], np.int64)]
        self.said.append("Resize")
        if self.chance(0.2):
            name = self.net.op("Resize", inputs, mode="linear")
            return self.quantised(name, (x.channels, height, width))
        name = self.net.op("Resize", inputs, mode="nearest", **way)
        return Codes(name, x.channels, height, width, x.signs, x.scale, x.bits, x.signed)

    def pixel_shuffle(self, x: Codes) -> Codes:
        """Channels become pixels of a square, as an op or as the moves it stands for."""
        side, order = self.pick(2, 2, 3), ("CRD", "DCR")[self.pick(0, 0, 1)]
        if x.height * x.width > 100 or x.channels % side**2:
            return self.convolution(x)
        channels, size = x.channels // side**2, (side * x.height, side * x.width)
        self.said.append("DepthToSpace")
        if self.chance(0.5):
            name = self.net.op("DepthToSpace", [x.name], blocksize=side, mode=order)
        else:
            parts = [side, side, channels] if order == "DCR" else [channels, side, side]
            axes = [0, 3, 4, 1, 5, 2] if order == "DCR" else [0, 1, 4, 2, 5, 3]
            shapes = [[1, *parts, x.height, x.width], [1, channels, *size]]
            first, second = (self.net.constant(shape, np.int64) for shape in shapes)
            name = self.net.op("Reshape", [x.name, first])
            name = self.net.op("Reshape", [self.net.op("Transpose", [name], perm=axes), second])
        return Codes(name, channels, *size, x.signs, x.scale, x.bits, x.signed)

    def first(self) -> Codes:
        """Pixels through a convolution, whose weights are no wider than 8 bits."""
        return self.convolution(Codes(self.input, self.net.shape[1], *self.size))

    def draw(self) -> onnx.ModelProto:
        """A network of 2 to 8 layers."""
        layers: tuple[Callable[[Codes], Codes], ...] = (
            self.convolution,
            self.convolution,
            self.max_pool,
            self.split,
            self.transposed,
            self.grouped,
            self.residual,
            self.dense_block,
            self.average_pool,
            self.upsampled,
            self.pixel_shuffle,
        )
        x = self.first()
        for _ in range(self.pick(*range(6))):
            x = layers[self.rng.integers(len(layers))](x)
        labels = logits(self, x)
        (output,) = (n.output[0] for n in self.net.nodes[-1:])
        return self.net.model([1, labels], output_name=output)


def network(seed: int) -> tuple[onnx.ModelProto, str]:
    """Return the network of a seed and the constructs it holds."""
    sampler = Sampler(seed)
    proto = sampler.draw()
    return proto, " -> ".join(sampler.said)
