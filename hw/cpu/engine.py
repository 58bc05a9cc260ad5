# SPDX-License-Identifier: Apache-2.0
"""Run a packed model on the CPU: exact to the bit, threads over pictures, no Python in the loop.

Needs NumPy and pydantic only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...quant.grid import IntArray
from . import _engine
from .check import check
from .container import read
from .plan import PLAN_VERSION, DataType, Head, ModelError, Plan, Tensor

Bytes = npt.NDArray[np.uint8]

ISA_VARIABLE = "ANDPOP_ISA"
"""Environment variable that forces an instruction set: scalar, avx2 or avx512."""

MAX_THREADS = 1024

_DTYPES: dict[str, npt.DTypeLike] = {"u8": np.uint8, "i8": np.int8, "i32": np.int32}


class EngineOutdated(RuntimeError):
    """The compiled extension belongs to other sources; the message is one line for the user."""


def instruction_sets() -> list[str]:
    """Return the instruction sets this machine can run, slowest first."""
    return list(_engine.instruction_sets())


def isa() -> str:
    """Return the instruction set that engines use: the best there is, or what ANDPOP_ISA says.

    Raises:
        ModelError: ``ANDPOP_ISA`` names one that this machine lacks.
    """
    available = instruction_sets()
    wanted = os.environ.get(ISA_VARIABLE, "")
    if wanted and wanted not in available:
        raise ModelError(
            f"{ISA_VARIABLE}: found {wanted!r:.40}, expected one of {', '.join(available)} "
            "(all that this machine can run)"
        )
    return wanted or available[-1]


def _check_extension() -> None:
    """Refuse an extension that was compiled from other sources: it would read plans wrongly."""
    found = getattr(_engine, "PLAN_VERSION", "none")
    if found != PLAN_VERSION:
        raise EngineOutdated(
            f"{_engine.__file__}: found plan version {found} in the compiled CPU engine, "
            f"expected {PLAN_VERSION} as its Python side; run make setup or install andpop again"
        )


class Engine:
    """A packed network, ready to run. May be shared by threads.

    Example:
        >>> engine = Engine.load("bi-shufflenet-neu.andpop")
        >>> classes, logits = engine.run(pictures, threads=2)
    """

    def __init__(self, plan: Plan, constants: Mapping[str, npt.NDArray[Any]]) -> None:
        """Prepare a plan; it is checked, for the C++ side trusts it.

        Raises:
            ModelError: the plan is inconsistent, or ``ANDPOP_ISA`` names an instruction set that
                this machine lacks.
            EngineOutdated: the extension was compiled from other sources.
        """
        check(plan, constants)
        self._prepare(plan, constants)

    def _prepare(self, plan: Plan, constants: Mapping[str, npt.NDArray[Any]]) -> None:
        _check_extension()
        self.isa = isa()
        self.plan = plan
        steps = [
            (
                step.op,
                step.inputs,
                step.outputs,
                step.attributes,
                {field: constants[name] for field, name in step.constants.items()},
            )
            for step in plan.steps
        ]
        tensors = [(t.storage, t.pixels, t.channels) for t in plan.tensors]
        self._network = _engine.Network(tensors, steps, plan.inputs, self.isa)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Engine:
        """Load a packed model.

        Raises:
            ModelError: the file is missing, damaged, of another kind or version.
            EngineOutdated: as ``Engine``.
        """
        engine = cls.__new__(cls)
        engine._prepare(*read(Path(path)))
        return engine

    @property
    def card(self) -> dict[str, Any] | None:
        """The card of the checkpoint the model was packed from, if it had one."""
        card = self.plan.card
        return None if card is None else card.model_dump(mode="json", exclude_unset=True)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one picture: (height, width, channels)."""
        return tuple(self.plan.tensors[self.plan.inputs[0]].shape)

    @property
    def heads(self) -> list[Head]:
        """The named outputs of the network, see ``infer``."""
        return self.plan.outputs

    @property
    def labels(self) -> int:
        """Number of classes, of a picture or of a pixel; of the first head that finds any.

        Raises:
            ModelError: the model finds no classes.
        """
        _, logits = self._classifier()
        return self.plan.tensors[logits].channels

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes: the card's, else those that the build was given, else numbers;
        none of a network that finds no classes."""
        given = self.plan.classes if self.plan.card is None else self.plan.card.classes
        if given is None:
            given = [*map(str, range(self.labels))] if self.plan.classifier is not None else []
        return tuple(given)

    @property
    def mask_shape(self) -> tuple[int, int] | None:
        """Height and width of a mask, None for a model that finds one class per picture.

        Raises:
            ModelError: the model finds no classes.
        """
        head, _ = self._classifier()
        if head.kind == "class":
            return None
        height, width, _ = self.plan.tensors[head.tensor].shape
        return height, width

    def infer(self, pictures: npt.ArrayLike, threads: int = 1) -> dict[str, IntArray]:
        """Return every output of the network for pictures.

        Args:
            pictures: (N, H, W, C) uint8, N may be 0.
            threads: worker threads, each takes whole pictures.

        Returns:
            Name of the head -> int64: class indices (N,), class indices per pixel (N, H, W),
            maps (N, H, W, C), or raw integers (N, ...), by the kind of the head.

        Raises:
            ModelError: the pictures have another type or shape, or the model takes more inputs
                than pictures; use ``intermediates``.
        """
        if len(self.plan.inputs) != 1:
            raise ModelError(
                f"{self.plan.name}: found {len(self.plan.inputs)} inputs, expected pictures alone; "
                "use intermediates"
            )
        found = self._pictures(pictures, [head.tensor for head in self.heads], threads)
        return {
            head.name: self._of_kind(head, values)
            for head, values in zip(self.heads, found, strict=True)
        }

    def run(self, pictures: npt.ArrayLike, threads: int = 1) -> tuple[IntArray, IntArray]:
        """Classify pictures.

        Args:
            pictures: (N, H, W, C) uint8, N may be 0.
            threads: worker threads, each takes whole pictures.

        Returns:
            Class indices (N,) int64 and logits (N, L) int32 as int64: the integers whose
            largest is the class, or what a factor and an offset per class make of them.

        Raises:
            ModelError: the pictures have another type or shape, or the model is no classifier.
        """
        head, scores = self._classifier()
        if head.kind != "class":
            raise ModelError(
                f"{self.plan.name}: found a class for each of {self.mask_shape} pixels, "
                "expected a classifier of pictures; use masks"
            )
        classes, logits = self._pictures(pictures, [head.tensor, scores], threads)
        return self._of_kind(head, classes), logits.reshape(len(logits), self.labels)

    def masks(self, pictures: npt.ArrayLike, threads: int = 1) -> IntArray:
        """Classify every pixel of pictures.

        Args:
            pictures: (N, H, W, C) uint8, N may be 0.
            threads: worker threads, each takes whole pictures.

        Returns:
            Class indices (N, H, W) int64.

        Raises:
            ModelError: the pictures have another type or shape, or the model finds no class per
                pixel.
        """
        head, _ = self._classifier()
        if head.kind != "class_map":
            raise ModelError(
                f"{self.plan.name}: found one class per picture, expected one per pixel; use run"
            )
        (classes,) = self._pictures(pictures, [head.tensor], threads)
        return self._of_kind(head, classes)

    def intermediates(
        self, inputs: npt.ArrayLike | Mapping[str, npt.ArrayLike], threads: int = 1
    ) -> dict[str, IntArray]:
        """Run and return every tensor by its name in the dataflow graph.

        Padded pictures and sliding windows that a convolution took in do not exist here: they
        hold copies of other tensors and no arithmetic.

        Args:
            inputs: pictures (N, H, W, C), or one array per graph input by name; integers within
                the declared datatypes.
            threads: worker threads.

        Returns:
            Tensor name -> (N, ...) int64; BINARY tensors as 0 and 1.

        Raises:
            ModelError: an input is missing, has another shape or values outside its datatype.
        """
        if not isinstance(inputs, Mapping):
            inputs = {self._input_name(0): inputs}
        encoded, count = self._encode({n: np.asarray(a) for n, a in inputs.items()})
        wanted = [i for i, t in enumerate(self.plan.tensors) if t.names]
        raw = self._run(encoded, count, wanted, threads)
        return {
            name: values
            for i, data in zip(wanted, raw, strict=True)
            for values in [self._decode(i, data)]
            for name in self.plan.tensors[i].names
        }

    def _classifier(self) -> tuple[Head, int]:
        """The head that finds classes, and the tensor it picks them from."""
        head = self.plan.classifier
        if head is None or head.logits is None or len(self.plan.inputs) != 1:
            raise ModelError(
                f"{self.plan.name}: found {len(self.plan.inputs)} inputs and "
                f"{'no' if head is None else 'a'} class index, "
                "expected a classifier of pictures or pixels; use intermediates"
            )
        return head, head.logits

    @staticmethod
    def _of_kind(head: Head, values: IntArray) -> IntArray:
        """Bring the values (N, ...) of a head into the shape of its kind."""
        if head.kind == "class":
            return values.reshape(len(values))
        return values[..., 0] if head.kind == "class_map" else values

    def _pictures(self, pictures: npt.ArrayLike, wanted: list[int], threads: int) -> list[IntArray]:
        """Run on raw pixels and return the wanted tensors."""
        array = np.asarray(pictures)
        if array.dtype != np.uint8:
            raise ModelError(f"pictures: found {array.dtype}, expected uint8 (raw pixels 0..255)")
        encoded, count = self._encode({self._input_name(0): array})
        raw = self._run(encoded, count, wanted, threads)
        return [self._decode(i, data) for i, data in zip(wanted, raw, strict=True)]

    def _run(self, inputs: list[Bytes], count: int, wanted: list[int], threads: int) -> list[Bytes]:
        if not 1 <= threads <= MAX_THREADS:
            raise ModelError(f"threads: found {threads}, expected 1..{MAX_THREADS}")
        try:
            raw: list[Bytes] = self._network.run(inputs, count, wanted, threads)
        except MemoryError as error:
            raise ModelError(
                f"{self.plan.name}: out of memory with {count} pictures on {threads} threads, each "
                f"of which needs {self._network.arena_bytes} bytes for its tensors; use fewer"
            ) from error
        return raw

    def _input_name(self, position: int) -> str:
        return self.plan.tensors[self.plan.inputs[position]].names[0]

    def _encode(self, arrays: Mapping[str, npt.NDArray[Any]]) -> tuple[list[Bytes], int]:
        """Bring inputs into the engine's storage; returns them with the number of pictures."""
        names = [self._input_name(i) for i in range(len(self.plan.inputs))]
        if set(arrays) != set(names):
            raise ModelError(f"inputs: found {sorted(arrays)}, expected {sorted(names)}")
        count = len(arrays[names[0]]) if arrays[names[0]].ndim else 0
        encoded = []
        for name, index in zip(names, self.plan.inputs, strict=True):
            tensor = self.plan.tensors[index]
            array = arrays[name]
            if array.shape != (count, *tensor.shape):
                raise ModelError(
                    f"{name}: found shape {array.shape}, "
                    f"expected ({', '.join(['N', *map(str, tensor.shape)])})"
                )
            encoded.append(_encode(name, array, tensor).reshape(count, tensor.bytes))
        return encoded, count

    def _decode(self, index: int, data: Bytes) -> IntArray:
        tensor = self.plan.tensors[index]
        if tensor.storage == "bits":
            pixels = data.reshape(-1, tensor.pixel_bytes)
            values = np.unpackbits(pixels, axis=-1, count=tensor.channels, bitorder="little")
        else:
            values = data.view(_DTYPES[tensor.storage])
        return values.reshape(-1, *tensor.shape).astype(np.int64)


def _encode(name: str, array: npt.NDArray[Any], tensor: Tensor) -> Bytes:
    if array.dtype == np.uint8 and (tensor.datatype, tensor.storage) == ("UINT8", "u8"):
        return np.ascontiguousarray(array)
    if not np.issubdtype(array.dtype, np.integer):
        raise ModelError(f"{name}: found {array.dtype}, expected integers ({tensor.datatype})")
    datatype = DataType.of(tensor.datatype, name)
    low, high = datatype.low, datatype.high
    if array.size and (int(array.min()) < low or int(array.max()) > high):
        raise ModelError(
            f"{name}: found values {int(array.min())}..{int(array.max())}, "
            f"expected {tensor.datatype} ({low}..{high})"
        )
    if tensor.storage == "bits":
        pixels = array.astype(np.uint8).reshape(-1, tensor.channels)
        return np.packbits(pixels, axis=-1, bitorder="little")
    return np.ascontiguousarray(array.astype(_DTYPES[tensor.storage])).view(np.uint8)
