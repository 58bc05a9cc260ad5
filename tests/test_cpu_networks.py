# SPDX-License-Identifier: Apache-2.0
"""Whole networks on the CPU engine: every tensor, any number of pictures and threads."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from andpop.hw.cpu.engine import Engine
from andpop.hw.cpu.pack import compile_graph
from andpop.hw.graph import executor
from andpop.hw.graph.lowering import lower
from cpu_engine import (
    SMALL,
    IntArray,
    assert_equal,
    assert_golden,
    engine_of,
    extreme_pictures,
    random_pictures,
)
from cpu_engine import isa_fixture as isa_fixture
from dataflow_graphs import bi_shufflenet, pa_resnet
from qonnx_block import pa_network


def test_whole_network_equals_golden_in_every_tensor(isa: str) -> None:
    model = bi_shufflenet(**SMALL)
    pictures = np.concatenate([random_pictures(model, 4), extreme_pictures(model)])
    windows = sum(n.op_type == "ConvolutionInputGenerator" for n in model.graph.node)
    assert_golden(model, pictures, isa, gone=2 * windows)
    alive = executor.run(model, pictures, [n.output[0] for n in model.graph.node][-4:-1])
    assert all(len(np.unique(v)) > 8 for v in alive.values()), "the network says nothing"


def test_pa_network_equals_golden_in_every_tensor(isa: str) -> None:
    model = pa_resnet()
    pictures = np.concatenate([random_pictures(model, 4), extreme_pictures(model)])
    windows = sum(n.op_type == "ConvolutionInputGenerator" for n in model.graph.node)
    paddings = sum(n.op_type == "FMPadding" for n in model.graph.node)
    assert_golden(model, pictures, isa, gone=windows + paddings)
    alive = executor.run(model, pictures, [n.output[0] for n in model.graph.node])
    codes = [n.output[0] for n in model.graph.node if n.op_type == "SignedThresholding"]
    assert all(len(np.unique(alive[name])) > 4 for name in codes), "the network says nothing"


@pytest.mark.parametrize(
    ("m", "n", "options"),
    [
        (4, 5, {}),
        (2, 1, {"stride": 2, "size": (7, 5)}),
        (14, 15, {"kernel": 5, "stride": 2, "size": (9, 6)}),
        (4, 3, {"merged": True}),
        (8, 7, {"linear": True, "kernel": 1}),
    ],
)
def test_lowered_pa_network_equals_golden(
    m: int, n: int, options: dict[str, Any], isa: str
) -> None:
    model = lower(pa_network(m, m, n, **options)).model
    pictures = np.concatenate([random_pictures(model, 4), extreme_pictures(model)])
    golden = executor.run(model, pictures, "all")
    assert assert_equal(golden, engine_of(model, isa).intermediates(pictures)) > 5000


def test_one_flipped_weight_bit_is_seen_at_its_layer(isa: str) -> None:
    model = bi_shufflenet(**SMALL)
    pictures = random_pictures(model, 4)
    plan, constants = compile_graph(model, "test", None)
    good = Engine(plan, constants).intermediates(pictures)
    step = [s for s in plan.steps if s.op == "bit_convolution"][3]
    name = step.constants["weights"]
    flipped = constants[name].copy()
    flipped[0, 0] ^= np.uint64(1)
    bad = Engine(plan, {**constants, name: flipped}).intermediates(pictures)
    different = [n for n in good if not np.array_equal(good[n], bad[n])]
    assert different[0] == plan.tensors[step.outputs[0]].names[0]


def test_run_returns_class_and_logits_of_every_picture_with_any_number_of_threads() -> None:
    model = bi_shufflenet(**SMALL)
    pictures = random_pictures(model, 23)
    engine = engine_of(model)
    logits_name, label_name = model.graph.node[-1].input[0], model.graph.node[-1].output[0]
    golden = executor.run(model, pictures, [logits_name, label_name])
    for threads in (1, 2, 5, 64):
        classes, logits = engine.run(pictures, threads=threads)
        assert classes.dtype == logits.dtype == np.int64
        assert np.array_equal(classes, golden[label_name].reshape(-1))
        assert np.array_equal(logits, golden[logits_name].reshape(23, -1))
    classes, logits = engine.run(pictures[:0])
    assert classes.shape == (0,)
    assert logits.shape == (0, 6)


def test_one_engine_serves_several_threads_at_once() -> None:
    model = bi_shufflenet(**SMALL)
    engine = engine_of(model)
    batches = [random_pictures(model, 9, seed) for seed in range(4)]
    expected = [engine.run(b)[1] for b in batches]
    results: list[list[IntArray]] = [[] for _ in batches]

    def work(i: int) -> None:
        for _ in range(10):
            results[i].append(engine.run(batches[i], threads=2)[1])

    workers = [threading.Thread(target=work, args=(i,)) for i in range(len(batches))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for e, got in zip(expected, results, strict=True):
        assert len(got) == 10
        assert all(np.array_equal(e, g) for g in got)


def test_pictures_in_any_memory_order_give_the_same_result() -> None:
    model = bi_shufflenet(**SMALL)
    engine = engine_of(model)
    pictures = random_pictures(model, 4)
    expected = engine.run(pictures)[1]
    assert np.array_equal(engine.run(np.asfortranarray(pictures))[1], expected)
    assert np.array_equal(engine.run(pictures[::-1])[1], expected[::-1])


@pytest.mark.full
def test_published_network_equals_golden(isa: str) -> None:
    model = bi_shufflenet((128, 128))
    pictures = np.concatenate([random_pictures(model, 2), extreme_pictures(model)])
    windows = sum(n.op_type == "ConvolutionInputGenerator" for n in model.graph.node)
    assert_golden(model, pictures, isa, gone=2 * windows)
