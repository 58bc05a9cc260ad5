# SPDX-License-Identifier: Apache-2.0
"""The door for ONNX files: hostile and broken files are refused or disarmed, in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from andpop.hw.graph import loader
from andpop.hw.graph.loader import ModelError, load
from andpop.hw.graph.plain_names import NAME
from onnx import TensorProto, helper, numpy_helper


def model(*, node_name: str = "mul", tensor: str = "hidden") -> onnx.ModelProto:
    """y = BipolarQuant(x * w), with an ONNX function body for BipolarQuant."""
    w = numpy_helper.from_array(np.float32([2.0, -3.0]), "w")
    scale = numpy_helper.from_array(np.float32(1.0), "scale")
    nodes = [
        helper.make_node("Mul", ["x", "w"], [tensor], name=node_name),
        helper.make_node(
            "BipolarQuant",
            [tensor, "scale"],
            ["y"],
            name="sign",
            domain="qonnx.custom_op.general",
        ),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        initializer=[w, scale],
    )
    body = helper.make_function(
        "qonnx.custom_op.general",
        "BipolarQuant",
        ["a", "s"],
        ["b"],
        [helper.make_node("Sign", ["a"], ["b"])],
        [helper.make_opsetid("", 20)],
    )
    return helper.make_model(
        graph,
        ir_version=10,
        functions=[body],
        opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid(body.domain, 1)],
    )


def write(proto: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def test_an_honest_file_passes_unchanged(tmp_path: Path) -> None:
    loaded = load(write(model(), tmp_path))
    assert loaded.model == model()
    assert loaded.renamed == {}
    assert loaded.notes == []


@pytest.mark.parametrize("name", ["a;rm -rf", "../x", "n" * 300, "7", "$(id)", "a\nb", "é"])
def test_hostile_names_become_plain_words(name: str, tmp_path: Path) -> None:
    loaded = load(write(model(node_name=name, tensor=name), tmp_path))
    graph = loaded.model.graph
    names = [n.name for n in graph.node] + [o for n in graph.node for o in n.output]
    assert all(NAME.fullmatch(n) for n in names)
    assert graph.node[0].output[0] == graph.node[1].input[0]
    assert loaded.renamed[graph.node[0].name] == name
    assert len(loaded.notes) == 2
    assert all("\n" not in note and len(note) < 200 for note in loaded.notes)
    assert load(write(model(node_name=name, tensor=name), tmp_path)).model == loaded.model


def test_names_that_collide_stay_apart(tmp_path: Path) -> None:
    proto = model(node_name="sign;", tensor="w ")
    proto.graph.node[1].name = "sign_"
    graph = load(write(proto, tmp_path)).model.graph
    assert len({n.name for n in graph.node}) == 2
    tensors = [t.name for t in graph.initializer] + [graph.node[0].output[0]]
    assert len(set(tensors)) == 3


def external(proto: onnx.ModelProto) -> None:
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def external_in_attribute(proto: onnx.ModelProto) -> None:
    tensor = TensorProto(name="c", data_type=TensorProto.FLOAT, dims=[1])
    tensor.external_data.add(key="location", value="weights.bin")
    node = helper.make_node("Constant", [], ["c"], name="const")
    node.attribute.append(helper.make_attribute("value", tensor))
    proto.graph.node.insert(0, node)


def unknown_op(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].op_type = "Frobnicate"


def unknown_domain(proto: onnx.ModelProto) -> None:
    proto.graph.node[1].domain = "os.path"


def finn_node(proto: onnx.ModelProto) -> None:
    proto.graph.node[1].domain = "finn.custom_op.fpgadataflow"


def subgraph(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].attribute.append(helper.make_attribute("body", proto.graph))


def short_data(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].dims[0] = 3


def negative_shape(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].dims[0] = -2


def cycle(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].input[0] = "y"


def no_nodes(proto: onnx.ModelProto) -> None:
    del proto.graph.node[:]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (external, "tensor 'w' holds external data in '../../etc/passwd', expected a file beside"),
        (external_in_attribute, "tensor 'c' holds external data in weights.bin, which cannot be"),
        (unknown_op, "node 'mul' has op 'Frobnicate'"),
        (unknown_domain, "node 'sign' has op 'BipolarQuant' of domain 'os.path'"),
        (finn_node, "of domain 'finn.custom_op.fpgadataflow'"),
        (subgraph, r"node 'mul' \(Mul\) holds a subgraph"),
        (short_data, "tensor 'w' holds no data of its type and shape"),
        (negative_shape, r"tensor 'w' has shape \[-2\]"),
        (cycle, "the graph is not well formed"),
        (no_nodes, "found no nodes"),
    ],
)
def test_refuses_in_one_line(
    change: Callable[[onnx.ModelProto], None], message: str, tmp_path: Path
) -> None:
    proto = model()
    change(proto)
    with pytest.raises(ModelError, match=message) as caught:
        load(write(proto, tmp_path))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("m.onnx: ")


def test_drops_what_finn_would_evaluate(tmp_path: Path) -> None:
    proto = model()
    trap = "__import__('os').system('touch owned')"
    for part in (proto, proto.graph, proto.graph.node[0], proto.graph.input[0]):
        part.metadata_props.add(key="rtlsim_so", value=trap)
    annotation = proto.graph.quantization_annotation.add(tensor_name="x")
    annotation.quant_parameter_tensor_names.add(key="tensor_layout", value=trap)
    annotation.quant_parameter_tensor_names.add(key="finn_datatype", value="INT8")
    other = proto.graph.quantization_annotation.add(tensor_name="y")
    other.quant_parameter_tensor_names.add(key="finn_datatype", value=trap)
    evil = helper.make_function("d", "f", ["a"], ["b"], [], [helper.make_opsetid("", 20)])
    proto.functions.append(evil)
    loaded = load(write(proto, tmp_path))
    assert trap.encode() not in loaded.model.SerializeToString()
    (kept,) = loaded.model.graph.quantization_annotation
    assert kept.quant_parameter_tensor_names[0].value == "INT8"
    assert [f.name for f in loaded.model.functions] == ["BipolarQuant"]
    assert len(loaded.notes) == 2


def test_refuses_what_is_no_onnx_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="No such file"):
        load(tmp_path / "absent.onnx")
    with pytest.raises(ModelError, match="no regular file"):
        load(tmp_path)
    text = tmp_path / "m.onnx"
    text.write_bytes(b"\x89PNG not a model")
    with pytest.raises(ModelError, match="found no ONNX model"):
        load(text)
    text.write_bytes(b"")
    with pytest.raises(ModelError, match="found no nodes"):
        load(text)
    path = write(model(), tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ModelError):
        load(path)
    monkeypatch.setattr(loader, "MAX_BYTES", 10)
    with pytest.raises(ModelError, match="expected at most 10"):
        load(path)
    monkeypatch.undo()
    monkeypatch.setattr(loader, "MAX_NODES", 1)
    with pytest.raises(ModelError, match="found 2 nodes, expected at most 1"):
        load(write(model(), tmp_path))
