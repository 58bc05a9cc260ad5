# SPDX-License-Identifier: Apache-2.0
"""The golden executor: FINN's goldens equal FINN, graphs run exactly, bad input is named."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from andpop.hw.graph import executor
from andpop.hw.graph.executor import ExecutionError, GoldenExecutor, run
from andpop.hw.kernels.sliding_window.golden import windows
from finn.core.onnx_exec import execute_onnx
from onnx import TensorProto, helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.util.basic import qonnx_make_model

DOMAIN = "finn.custom_op.fpgadataflow"


def chain(
    nodes: list[tuple[str, dict]],
    shapes: list[tuple[int, ...]],
    types: list[str],
    initializers: dict[str, np.ndarray] | None = None,
) -> ModelWrapper:
    """A chain t0 -> t1 -> ... of FINN nodes; initializers are named <node index>_w."""
    initializers = initializers or {}
    protos = []
    for i, (op, attrs) in enumerate(nodes):
        extra = [n for n in initializers if n.startswith(f"{i}_")]
        protos.append(
            helper.make_node(
                op,
                [f"t{i}", *extra],
                [f"t{i + 1}"],
                domain=DOMAIN,
                backend="fpgadataflow",
                name=f"{op}_{i}",
                **attrs,
            )
        )
    infos = [
        helper.make_tensor_value_info(f"t{i}", TensorProto.FLOAT, s) for i, s in enumerate(shapes)
    ]
    graph = helper.make_graph(protos, "g", [infos[0]], [infos[-1]], value_info=infos[1:-1])
    model = ModelWrapper(qonnx_make_model(graph))
    for i, datatype in enumerate(types):
        model.set_tensor_datatype(f"t{i}", DataType[datatype])
    for name, value in initializers.items():
        model.set_initializer(name, value.astype(np.float32))
    return model


def padding(shape: tuple[int, int, int], pads: list[int], datatype: str) -> tuple[str, dict]:
    h, w, c = shape
    return "FMPadding", {
        "ImgDim": [h, w],
        "Padding": pads,
        "NumChannels": c,
        "SIMD": 1,
        "inputDataType": datatype,
        "numInputVectors": 1,
    }


def window(
    shape: tuple[int, int, int], kernel: list[int], stride: list[int], datatype: str
) -> tuple[tuple[str, dict], tuple[int, ...]]:
    h, w, c = shape
    out = [(n - k) // s + 1 for n, k, s in zip((h, w), kernel, stride, strict=True)]
    node = (
        "ConvolutionInputGenerator",
        {
            "ConvKernelDim": kernel,
            "Stride": stride,
            "Dilation": [1, 1],
            "IFMChannels": c,
            "IFMDim": [h, w],
            "OFMDim": out,
            "SIMD": 1,
            "parallel_window": 0,
            "depthwise": 0,
            "inputDataType": datatype,
            "outputDataType": datatype,
        },
    )
    return node, (1, *out, kernel[0] * kernel[1] * c)


def thresholding(
    shape: tuple[int, ...], steps: int, types: tuple[str, str, str], first: int
) -> tuple[str, dict]:
    return "Thresholding", {
        "NumChannels": shape[-1],
        "PE": 1,
        "numSteps": steps,
        "inputDataType": types[0],
        "weightDataType": types[1],
        "outputDataType": types[2],
        "ActVal": first,
        "numInputVectors": list(shape[:-1]),
    }


def compare_with_finn(model: ModelWrapper, low: int, high: int, frames: int = 5) -> int:
    """Run random and extreme frames through FINN's Python and our goldens; values compared."""
    rng = np.random.default_rng(0)
    shape = tuple(model.get_tensor_shape("t0"))
    pictures = rng.integers(low, high, (frames, *shape[1:]), endpoint=True)
    pictures[0], pictures[1] = low, high
    golden = GoldenExecutor(model)
    ours = golden._run_chunk(pictures.astype(np.int64), set(golden.outputs))[golden.outputs[0]]
    for frame, mine in zip(pictures, ours, strict=True):
        theirs = execute_onnx(model, {"t0": frame[None].astype(np.float32)})[golden.outputs[0]]
        np.testing.assert_array_equal(mine[None], theirs)
    return ours.size


@pytest.mark.parametrize("datatype", ["UINT8", "INT8", "BINARY"])
@pytest.mark.parametrize("pads", [[1, 1, 1, 1], [0, 2, 3, 1]])
def test_padding_equals_finn(datatype: str, pads: list[int]) -> None:
    out = (1, 5 + pads[0] + pads[2], 7 + pads[1] + pads[3], 3)
    model = chain([padding((5, 7, 3), pads, datatype)], [(1, 5, 7, 3), out], [datatype] * 2)
    dt = DataType[datatype]
    assert compare_with_finn(model, int(dt.min()), int(dt.max())) > 0


@pytest.mark.parametrize(
    ("shape", "kernel", "stride"),
    [
        ((9, 9, 1), [9, 9], [2, 2]),
        ((11, 8, 3), [3, 5], [2, 1]),
        ((7, 7, 4), [3, 3], [1, 1]),
        ((6, 6, 5), [1, 1], [2, 2]),
    ],
)
def test_windows_equal_finn(
    shape: tuple[int, int, int], kernel: list[int], stride: list[int]
) -> None:
    node, out = window(shape, kernel, stride, "INT8")
    model = chain([node], [(1, *shape), out], ["INT8"] * 2)
    assert compare_with_finn(model, -128, 127) > 0


def test_dilated_windows_by_hand() -> None:
    x = np.arange(5 * 7 * 2).reshape(1, 5, 7, 2)
    found = windows(x, [2, 3], [2, 1], [3, 2])
    assert found.shape == (1, 1, 3, 12)
    for column in range(3):
        rows, columns = [0, 3], [column, column + 2, column + 4]
        assert found[0, 0, column].tolist() == x[0][rows][:, columns].ravel().tolist()


@pytest.mark.parametrize(("steps", "output", "first"), [(1, "BINARY", 0), (3, "INT2", -2)])
def test_thresholds_equal_finn(steps: int, output: str, first: int) -> None:
    shape = (1, 6, 5, 4)
    table = np.sort(np.random.default_rng(1).integers(-128, 128, (4, steps)), axis=1)
    model = chain(
        [thresholding(shape, steps, ("INT8", "INT8", output), first)],
        [shape, shape],
        ["INT8", output],
        {"0_w": table},
    )
    assert compare_with_finn(model, -128, 127) > 0


def small_graph() -> ModelWrapper:
    """Padding -> windows -> thresholds on an UINT8 picture (8, 8, 2)."""
    node, out = window((10, 10, 2), [3, 3], [1, 1], "UINT8")
    table = np.random.default_rng(2).integers(0, 256, (18, 1))
    return chain(
        [
            padding((8, 8, 2), [1, 1, 1, 1], "UINT8"),
            node,
            thresholding(out, 1, ("UINT8", "UINT8", "BINARY"), 0),
        ],
        [(1, 8, 8, 2), (1, 10, 10, 2), out, out],
        ["UINT8", "UINT8", "UINT8", "BINARY"],
        {"2_w": table},
    )


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = np.random.default_rng(3).integers(0, 256, (7, 8, 8, 2), dtype=np.uint8)
    whole = run(small_graph(), pictures, "all")
    monkeypatch.setattr(executor, "CHUNK_BYTES", 1 << 16)
    assert 1 <= GoldenExecutor(small_graph()).chunk < 7
    parts = run(small_graph(), pictures, "all")
    assert list(whole) == ["t0", "t1", "t2", "t3"] == list(parts)
    for name, value in whole.items():
        np.testing.assert_array_equal(value, parts[name])


def test_keeps_what_was_asked_for() -> None:
    pictures = np.zeros((2, 8, 8, 2), dtype=np.uint8)
    assert list(run(small_graph(), pictures)) == ["t3"]
    assert list(run(small_graph(), pictures, ["t1"])) == ["t1"]
    with pytest.raises(ExecutionError, match="no streamed tensor 'nose'"):
        run(small_graph(), pictures, ["nose"])


def test_specialised_nodes_run_the_same() -> None:
    pictures = np.random.default_rng(4).integers(0, 256, (2, 8, 8, 2), dtype=np.uint8)
    model = small_graph()
    expected = run(model, pictures)["t3"]
    for node in model.graph.node:
        node.op_type += "_rtl"
        node.domain += ".rtl"
    np.testing.assert_array_equal(run(model, pictures)["t3"], expected)


@pytest.mark.parametrize(
    "pictures",
    [
        np.zeros((1, 8, 9, 2), dtype=np.uint8),
        np.zeros((8, 8, 2), dtype=np.uint8),
        np.zeros((1, 8, 8, 2), dtype=np.int64),
    ],
)
def test_names_wrong_pictures(pictures: np.ndarray) -> None:
    with pytest.raises(ExecutionError, match=r"expected uint8 \(N, 8, 8, 2\)"):
        run(small_graph(), pictures)


@pytest.mark.parametrize("pixel", [16, 77])
def test_names_a_value_outside_its_datatype(pixel: int) -> None:
    model = small_graph()
    model.set_tensor_datatype("t2", DataType["UINT4"])
    pictures = np.full((1, 8, 8, 2), pixel, dtype=np.uint8)
    message = rf"Generator_1: output t2 holds 0\.\.{pixel}, expected 0\.\.15 .*UINT4"
    with pytest.raises(ExecutionError, match=message):
        run(model, pictures)


def test_names_an_op_without_golden() -> None:
    model = small_graph()
    model.graph.node[1].op_type = "Lookup"
    with pytest.raises(ExecutionError, match="ConvolutionInputGenerator_1: found op Lookup"):
        GoldenExecutor(model)


def test_names_a_missing_attribute() -> None:
    model = small_graph()
    attributes = model.graph.node[0].attribute
    kept = [a for a in attributes if a.name != "Padding"]
    del attributes[:]
    attributes.extend(kept)
    with pytest.raises(ExecutionError, match="FMPadding_0: found no attribute 'Padding'"):
        run(model, np.zeros((1, 8, 8, 2), dtype=np.uint8))


def test_names_a_tensor_without_integer_datatype() -> None:
    model = small_graph()
    model.set_tensor_datatype("t1", DataType["FLOAT32"])
    with pytest.raises(ExecutionError, match="output t1 is declared FLOAT32"):
        GoldenExecutor(onnx.ModelProto.FromString(model.model.SerializeToString()))
