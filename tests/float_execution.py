# SPDX-License-Identifier: Apache-2.0
"""A QONNX network in ONNX Runtime, float32: exact for networks whose numbers are small integers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

FloatTensor = npt.NDArray[np.float32]


def onnx_runtime(
    proto: onnx.ModelProto, wanted: Sequence[str]
) -> Callable[[FloatTensor], dict[str, FloatTensor]]:
    """Return a function from a network's input (1, C, H, W) to its ``wanted`` tensors.

    The network carries bodies for its QONNX ops.
    """
    picture = proto.graph.input[0].name
    copy = onnx.ModelProto.FromString(proto.SerializeToString())
    names = [n for n in wanted if n != picture]
    known = {o.name for o in copy.graph.output}
    copy.graph.output.extend(
        onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None)
        for n in names
        if n not in known
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # Shapes of inner outputs are declared anew: not worth a word.
    session = onnxruntime.InferenceSession(copy.SerializeToString(), options)

    def run(feed: FloatTensor) -> dict[str, FloatTensor]:
        return {picture: feed, **dict(zip(names, session.run(names, {picture: feed}), strict=True))}

    return run
