# SPDX-License-Identifier: Apache-2.0
"""Files of PyTorch's newer exporter: its words, its functions, its tensors beside the model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from andpop.hw.graph.clean import clean
from andpop.hw.graph.loader import ModelError, load
from andpop.hw.graph.lowering import lower
from andpop.hw.graph.reference import Reference
from andpop.hw.graph.verify import verify
from foreign_graphs import accepted, plain, save
from onnx import helper
from torch import nn


def small() -> nn.Module:
    """Four-bit layers with lively normalisations."""
    import brevitas.nn as qnn

    torch.manual_seed(7)
    net = nn.Sequential(
        qnn.QuantIdentity(bit_width=8),
        qnn.QuantConv2d(1, 4, 3, bias=False, weight_bit_width=4),
        nn.BatchNorm2d(4, momentum=1.0),
        qnn.QuantReLU(bit_width=4),
        nn.MaxPool2d(2),
        qnn.QuantConv2d(4, 6, 3, bias=True, weight_bit_width=4),
        nn.BatchNorm2d(6, momentum=1.0),
        qnn.QuantReLU(bit_width=3),
        nn.Flatten(),
        qnn.QuantLinear(54, 5, bias=True, weight_bit_width=4),
    )
    with torch.no_grad():
        net.train()(torch.rand(64, 1, 12, 12))
    return net.eval()


@pytest.mark.parametrize("form", ["export_qonnx", "export_onnx_qcdq"])
def test_brevitas_exports_by_dynamo(form: str, tmp_path: Path) -> None:
    import brevitas.export

    net = small()
    file = tmp_path / "net.onnx"
    export = getattr(brevitas.export, form)
    export(net, torch.rand(1, 1, 12, 12), export_path=str(file), dynamo=True)
    ready = clean(load(file).model)
    assert verify(ready, lower(ready), noise=1) > 500
    pictures = np.random.default_rng(0).integers(0, 256, (6, 12, 12, 1), dtype=np.uint8)
    judge = Reference(ready)
    exact = [judge.run(p[None], {judge.output})[judge.output].reshape(-1) for p in pictures]
    with torch.no_grad():
        theirs = net(torch.from_numpy(pictures.transpose(0, 3, 1, 2)).float() / 255).numpy()
    near = np.isclose(theirs, exact, atol=1e-4).all(axis=1)
    assert near.sum() >= 5, (theirs, exact)
    assert len(np.unique(exact)) > 12


def wrapped(
    proto: onnx.ModelProto, first: int, last: int, name: str, inner: Sequence[str] = ()
) -> onnx.ModelProto:
    """Nodes first..last-1 become a function; all that they read are its inputs."""
    graph = proto.graph
    body = [onnx.NodeProto.FromString(n.SerializeToString()) for n in graph.node[first:last]]
    made = {name for node in body for name in node.output}
    read = list(dict.fromkeys(n for node in body for n in node.input if n not in made))
    outside = {n for node in graph.node[last:] for n in node.input} | {graph.output[0].name}
    given = sorted(made & outside)
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("qonnx.custom_op.general", 1)]
    opsets += [helper.make_opsetid("pkg.net", 1)] if inner else []
    proto.functions.append(helper.make_function("pkg.net", name, read, given, body, opsets))
    call = helper.make_node(name, read, given, name=f"call_{name}", domain="pkg.net")
    nodes = [*graph.node[:first], call, *graph.node[last:]]
    nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
    del graph.node[:]
    graph.node.extend(nodes)
    if not any(o.domain == "pkg.net" for o in proto.opset_import):
        proto.opset_import.append(helper.make_opsetid("pkg.net", 1))
    return proto


def test_functions_of_a_model_are_put_in_place(tmp_path: Path) -> None:
    _, network, values = accepted(plain(), tmp_path)
    proto = wrapped(plain(), 1, 3, "Block")
    proto = wrapped(proto, 0, 3, "Net", ["Block"])
    assert [node.op_type for node in proto.graph.node][0] == "Net"
    loaded, found, count = accepted(proto, tmp_path)
    assert count == values
    assert [n.op_type for n in found.graph.node] == [n.op_type for n in network.graph.node]
    assert any("put 1 functions of the model" in note for note in loaded.notes)


def test_functions_that_call_themselves_are_refused(tmp_path: Path) -> None:
    proto = wrapped(plain(), 1, 3, "Block")
    call = helper.make_node("Block", ["x"], ["y"], domain="pkg.net")
    proto.functions[0].node.append(call)
    with pytest.raises(ModelError, match="'Block' calls itself"):
        load(save(proto, tmp_path))


def test_functions_that_unfold_to_millions_of_nodes_are_refused(tmp_path: Path) -> None:
    proto = wrapped(plain(), 1, 3, "Block")
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("pkg.net", 1)]
    before = "Relu"
    for i in range(25):
        domain = "pkg.net" if i else ""
        twice = [
            helper.make_node(before, ["a"], ["b"], domain=domain),
            helper.make_node(before, ["b"], ["c"], domain=domain),
        ]
        before = f"Twice{i}"
        made = helper.make_function("pkg.net", before, ["a"], ["c"], twice, opsets)
        proto.functions.append(made)
    last = proto.graph.node[-1]
    proto.graph.node.append(
        helper.make_node(before, [last.output[0]], ["z"], name="all", domain="pkg.net")
    )
    start = time.monotonic()
    with pytest.raises(ModelError, match="unfold to 67108871 nodes"):
        load(save(proto, tmp_path))
    assert time.monotonic() - start < 5
