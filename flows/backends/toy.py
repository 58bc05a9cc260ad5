# SPDX-License-Identifier: Apache-2.0
"""A toy backend: the golden model again, the output alone."""

from __future__ import annotations

import onnx

from ...quant.grid import IntArray
from ..coverage import Coverage, output_alone, outputs
from .backend import Backend, Opening, Pictures
from .golden import Golden


class Toy(Backend):
    """The golden model again."""

    name = "toy"

    @staticmethod
    def coverage(model: onnx.ModelProto) -> Coverage:
        """The output."""
        return output_alone("toy", model, "a toy looks at nothing else")

    def __init__(self, opening: Opening) -> None:
        self._golden = Golden(opening.files)

    def run(self, pictures: Pictures) -> dict[str, IntArray]:
        """The output."""
        wanted = outputs(self._golden.model)
        return {name: v for name, v in self._golden.run(pictures).items() if name in wanted}


BACKEND = Toy
