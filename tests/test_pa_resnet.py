# SPDX-License-Identifier: Apache-2.0
"""PA-ResNets and PA in Bi-ShuffleNet: topology, counts, frozen = trained, the twins, bad files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from andpop.flows import api
from andpop.models.build import build, load_network, save_network, start_from
from andpop.models.count import count
from andpop.models.network import Network
from andpop.quant.blocks.binary import BinaryBlock
from andpop.quant.blocks.epilogue import Epilogue
from andpop.quant.blocks.pa import PaBlock, PaEpilogueBlock
from andpop.quant.blocks.pa_conv import PaActivation, PaConv
from andpop.quant.checkpoint import Card, CheckpointError, InputSize
from andpop.quant.exact import exact_eval
from andpop.quant.samples.found import find_samples
from andpop.quant.tasks.classification import prepare
from andpop.quant.training.run import evaluate
from torch import Tensor, nn

SMALL = {"depth": 5}


def pictures(count: int, size: int, channels: int = 1, seed: int = 0) -> Tensor:
    """Noise over blocks of 4x4, then all-0 and all-255 as the last two."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 256, (count, channels, size // 4, size // 4), generator=g).float()
    x = nn.functional.interpolate(x, size=size)
    x[-2], x[-1] = 0.0, 255.0
    return x


def randomised(network: str, config: dict[str, Any], size: int, seed: int = 0) -> Network:
    """A network with BN and epilogues off their initial values and the statistics of batches."""
    torch.manual_seed(seed)
    net = build(network, config)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, (Epilogue, PaActivation)):
                module.gamma.mul_(torch.rand_like(module.gamma) + 0.5)
                module.gamma[::5] *= -1
                module.gamma[3::7] = 0.0
                module.beta.normal_(std=0.4)
        for step in range(3):
            net(pictures(8, size, net.config.channels, seed=step))
    return net.eval()


def convolutions(net: Network) -> list[Tensor]:
    """The weights of the 1-bit or PA convolutions."""
    found: list[Tensor] = []
    for module in net.modules():
        if isinstance(module, PaConv):
            found.append(module.weight)
        elif isinstance(module, BinaryBlock):
            found.append(module.conv.weight)
    return found


COUNTED: list[tuple[str, dict[str, Any]]] = [
    ("pa-resnet-small", {}),
    ("pa-resnet-small", {"depth": 20, "channels": 3, "classes": 10}),
    ("pa-resnet-small", {"kind": "real"}),
    ("pa-resnet-small", {"kind": "1-bit"}),
    ("pa-resnet18", {}),
    ("pa-resnet34", {"channels": 1, "classes": 6}),
    ("pa-resnet50", {"m": 8, "n": 7}),
    ("bi-shufflenet", {"width": 0.25, "pa": {"m": 4, "n": 5}}),
]


@pytest.mark.parametrize(("network", "config"), COUNTED)
def test_built_network_has_the_parameters_that_are_counted(
    network: str, config: dict[str, Any]
) -> None:
    with torch.device("meta"):
        net = build(network, config)
    counted = count(network, 64, 64, config)
    inner = [
        layer for layer in counted.layers if layer.name not in ("conv1", "conv5", "classifier")
    ]
    shapes = sorted(tuple(w.shape) for w in convolutions(net))
    assert shapes == sorted(
        (layer.channels_out, layer.channels_in, layer.kernel, layer.kernel) for layer in inner
    )
    weights = sum(w.numel() for w in convolutions(net))
    assert weights == (counted.binary_weights or sum(layer.weights for layer in inner))
    others = [net.conv1.conv.weight, *net.classifier.linear.parameters()]
    if network == "bi-shufflenet":
        others.append(net.conv5.conv.weight)
    assert sum(w.numel() for w in others) == counted.real_weights + counted.binary_weights - weights
    norms = [m for m in net.modules() if isinstance(m, (Epilogue, PaActivation))]
    channels = sum(m.gamma.numel() for m in norms)
    if network == "bi-shufflenet" or config.get("kind") == "1-bit":
        assert channels == counted.bn_channels
    else:
        # In front of the convolutions, where the papers count one behind each.
        stem = counted.layers[0].channels_out
        assert channels == stem + sum(layer.channels_in for layer in inner)


@pytest.mark.parametrize(
    ("network", "size", "maps", "channels"),
    [
        ("pa-resnet-small", 128, [32, 16, 8], [16, 32, 64]),
        ("pa-resnet-small", 50, [13, 7, 4], [16, 32, 64]),
        ("pa-resnet18", 224, [56, 28, 14, 7], [64, 128, 256, 512]),
        ("pa-resnet50", 100, [25, 13, 7, 4], [256, 512, 1024, 2048]),
    ],
)
def test_stage_maps(network: str, size: int, maps: list[int], channels: list[int]) -> None:
    with torch.device("meta"):
        net = build(network, {"kind": "real"}).eval()
    seen: list[tuple[int, int]] = []
    for stage in net.stages:
        stage.register_forward_hook(lambda _m, _i, o: seen.append((o.shape[1], o.shape[2])))
    with torch.no_grad():
        net(torch.zeros(1, net.config.channels, size, size, device="meta"))
    assert seen == list(zip(channels, maps, strict=True))


def test_every_3x3_convolution_has_a_shortcut() -> None:
    for network in ("pa-resnet-small", "pa-resnet18", "pa-resnet50"):
        with torch.device("meta"):
            net = build(network, {"kind": "real", "channels": 1}).eval()
        without: dict[int, int] = {1: 0, 3: 0}
        total = dict(without)

        def hook(module: nn.Module, args: tuple[Tensor, ...], _: Tensor) -> None:
            kernel = module.conv.weight.shape[2]
            total[kernel] += 1  # noqa: B023
            without[kernel] += len(args) == 1  # noqa: B023

        for module in net.modules():
            if isinstance(module, PaBlock):
                module.register_forward_hook(hook)
        with torch.no_grad():
            net(torch.zeros(1, 1, 64, 64, device="meta"))
        assert total[3] > 0 and without[3] == 0
        units = [layer.name for layer in count(network, 64, 64).layers if "down" in layer.name]
        assert without[1] == len(units) + (16 if network == "pa-resnet50" else 0)


SWITCHES: list[tuple[str, dict[str, Any]]] = [
    ("pa-resnet-small", {"depth": 8}),
    ("pa-resnet-small", {**SMALL, "m": 8, "n": 7, "channels": 3}),
    ("pa-resnet-small", {**SMALL, "levels": "linear"}),
    ("pa-resnet-small", {**SMALL, "m": 2, "n": 1, "coefficient_bits": 4, "weight_bits": 4}),
    ("pa-resnet-small", {**SMALL, "kind": "1-bit"}),
    ("bi-shufflenet", {"width": 0.25, "pa": {"m": 4, "n": 5}}),
]


@pytest.mark.parametrize(("network", "config"), SWITCHES)
def test_every_switch_trains_and_freezes_to_the_same_bits(
    network: str, config: dict[str, Any]
) -> None:
    torch.manual_seed(1)
    net = build(network, {"classes": 4, **config})
    x = pictures(8, 36, net.config.channels)
    nn.functional.cross_entropy(net(x), torch.arange(8) % 4).backward()
    moved = 0
    for name, p in net.named_parameters():
        assert p.grad is not None and torch.isfinite(p.grad).all(), name
        moved += bool(p.grad.abs().sum() > 0) or not p.numel()
    assert moved > 0.9 * len(list(net.parameters()))
    net = randomised(network, {"classes": 4, **config}, 36)
    with exact_eval():
        before = net(x)
        net.freeze()
        assert net.frozen
        assert torch.count_nonzero(net(x) != before) == 0
        integers = net.integer_logits(x)
        assert torch.equal(integers, integers.round())
        assert torch.equal(integers * net.logit_step, before)
    print(f"0 of {before.numel()} logits differ, {len(torch.unique(before))} distinct")
    assert len(torch.unique(before)) > 4


def test_fixed_statistics_train_what_evaluation_computes() -> None:
    net = randomised("pa-resnet-small", SMALL, 32)
    x = pictures(4, 32)
    with torch.no_grad():
        evaluated = net(x)
    net.freeze_bn()
    trained = net.train()(x)
    assert torch.equal(trained, evaluated)
    trained.sum().backward()
    with torch.no_grad():
        assert torch.equal(net.eval()(x), evaluated)


@pytest.mark.parametrize(
    ("network", "config"), [("pa-resnet-small", SMALL), ("bi-shufflenet", {"width": 0.25})]
)
def test_the_real_stage_leaves_the_quantised_network_as_it_was(
    network: str, config: dict[str, Any]
) -> None:
    net = randomised(network, config, 32)
    x = pictures(4, 32)
    with torch.no_grad():
        quantised = net(x)
        net.set_real(True)
        assert not torch.equal(net(x), quantised)
        with pytest.raises(ValueError, match="real"):
            net.freeze()
        net.set_real(False)
        assert torch.equal(net(x), quantised)


def test_the_real_twin_stays_real() -> None:
    torch.manual_seed(0)
    pa = build("pa-resnet-small", SMALL).eval()
    torch.manual_seed(0)
    twin = build("pa-resnet-small", {**SMALL, "kind": "real"}).eval()
    assert pa.freezable and not twin.freezable
    assert pa.state_dict().keys() == twin.state_dict().keys()
    x = pictures(4, 32)
    with torch.no_grad():
        out = twin(x)
        pa.set_real(True)
        assert torch.equal(pa(x), out)
        twin.set_real(False)
        assert torch.equal(twin(x), out)
    with pytest.raises(ValueError, match="real"):
        twin.freeze()
    assert not twin.frozen


def test_few_steps_fit_a_few_pictures() -> None:
    torch.manual_seed(0)
    net = build("pa-resnet-small", {**SMALL, "classes": 2})
    y = torch.arange(8) % 2
    x = pictures(10, 32)[:8] * 0.5 + 100 * y.view(8, 1, 1, 1)
    optimiser = torch.optim.Adam(net.parameters(), lr=5e-3)
    losses = []
    for _ in range(25):
        loss = nn.functional.cross_entropy(net(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]


def test_pa_blocks_take_the_place_of_all_1_bit_blocks() -> None:
    one = build("bi-shufflenet", {"width": 0.25})
    pa = build("bi-shufflenet", {"width": 0.25, "pa": {"m": 8, "n": 7}})
    assert not any(isinstance(m, BinaryBlock) for m in pa.modules())
    replaced = [m for m in pa.modules() if isinstance(m, PaEpilogueBlock)]
    assert len(replaced) == sum(isinstance(m, BinaryBlock) for m in one.modules()) == 70
    assert {(m.conv.spec.m, m.conv.spec.n) for m in replaced} == {(8, 7)}


@pytest.mark.parametrize(
    ("network", "config", "message"),
    [
        ("pa-resnet-small", {"m": 5}, "config.m: found M 5, expected an even number"),
        (
            "pa-resnet-small",
            {"n": 0},
            "config.n: found 0: Input should be greater than or equal to 1",
        ),
        ("pa-resnet-small", {"depth": 15}, "config.depth: found depth 15, expected 2"),
        ("pa-resnet18", {"depth": 18}, "config.depth: found 18: Extra inputs are not permitted"),
        ("pa-resnet18", {"kind": "1-bit", "m": 8}, "found m with kind 1-bit, expected kind pa"),
        (
            "bi-shufflenet",
            {"pa": {"m": 16}},
            "config.pa.m: found 16: Input should be less than or equal",
        ),
        ("pa-resnet101", {}, "expected one of: bi-shufflenet, pa-resnet-small, pa-resnet18"),
    ],
)
def test_bad_configuration_is_named(network: str, config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        build(network, config)
    assert "\n" not in str(caught.value)


def save(net: Network, path: Path) -> None:
    card = Card(
        network="pa-resnet-small",
        config=net.config.model_dump(mode="json"),
        input=InputSize(height=32, width=32, channels=1),
        classes=list("abcdef"),
        frozen=net.frozen,
    )
    save_network(net, path, card)


@pytest.mark.parametrize(
    ("kind", "frozen"), [("pa", True), ("pa", False), ("real", False), ("1-bit", True)]
)
def test_checkpoint_computes_the_same_bits(tmp_path: Path, kind: str, frozen: bool) -> None:
    net = randomised("pa-resnet-small", {**SMALL, "kind": kind}, 32)
    if frozen:
        net.freeze()
    save(net, tmp_path / "net.safetensors")
    loaded, card = load_network(tmp_path / "net.safetensors")
    x = pictures(8, 32)
    assert card.frozen == loaded.frozen == frozen
    with exact_eval():
        assert torch.equal(loaded(x), net(x))


@pytest.mark.parametrize(
    ("frozen", "tensor", "value", "message"),
    [
        (True, "conv.alpha", 200.0, r"alpha: found 200, expected whole numbers -127\.\.127"),
        (True, "conv.beta", 256.0, r"beta: found 256, expected whole numbers 0\.\.255"),
        (True, "conv.weight", 3.0, r"weight: found 3, expected whole numbers -2\.\.2"),
        (True, "thresholds", 100.0, "thresholds: channel 0: found 100 before "),
        (False, "levels.gaps", -1e4, "endpoints: channel 0: found .* expected increasing values"),
    ],
)
def test_bad_pa_values_are_named(
    tmp_path: Path, frozen: bool, tensor: str, value: float, message: str
) -> None:
    net = randomised("pa-resnet-small", SMALL, 32)
    if frozen:
        net.freeze()
    found = [t for name, t in net.state_dict().items() if name.endswith(tensor)]
    found[-1].view(-1)[0] = value
    save(net, tmp_path / "net.safetensors")
    with pytest.raises(CheckpointError, match=message) as caught:
        load_network(tmp_path / "net.safetensors")
    assert "\n" not in str(caught.value)


def write_unfrozen(path: Path, config: dict[str, Any]) -> Network:
    torch.manual_seed(7)
    net = build("pa-resnet-small", {**SMALL, **config})
    for p in net.parameters():
        p.data.normal_()
    save(net, path)
    return net


def test_a_network_starts_from_its_real_twin(tmp_path: Path) -> None:
    path = tmp_path / "twin.safetensors"
    twin = write_unfrozen(path, {"kind": "real"}).state_dict()
    net = build("pa-resnet-small", {**SMALL, "m": 8, "n": 7})
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert start_from(net, path).config["kind"] == "real"
    copied = 0
    for name, value in net.state_dict().items():
        if name.endswith(("gaps", "rises")):
            assert torch.equal(value, before[name])
        else:
            assert torch.equal(value, twin[name])
            copied += value.numel()
    print(f"{copied} values copied")
    assert copied > 20_000


def test_refuses_to_start_from_what_does_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "start.safetensors"
    write_unfrozen(path, {"kind": "real"})
    for other in ({"depth": 8}, {**SMALL, "kind": "1-bit"}, {**SMALL, "channels": 3}):
        with pytest.raises(CheckpointError, match="tensor .* is not the same in this network"):
            start_from(build("pa-resnet-small", other), path)
    net = build("pa-resnet-small", SMALL)
    net.freeze()
    save(net, path)
    with pytest.raises(CheckpointError, match="found a frozen network"):
        start_from(build("pa-resnet-small", SMALL), path)


@pytest.mark.data
@pytest.mark.full
@pytest.mark.parametrize("name", ["pa-resnet-small-m4n5-neu", "pa-resnet-small-m8n7-neu"])
def test_shipped_checkpoint_reaches_what_its_card_says(name: str, andpop_data: Path) -> None:
    net, card = load_network(api.ZOO / f"{name}.safetensors")
    dataset = find_samples(andpop_data / "neu-det")
    data = prepare(
        dataset, card.input.height, card.input.width, card.input.channels, seed=card.seed
    )
    found = evaluate(net, data, [])
    assert net.frozen and found.n == card.validation_pictures == 288
    assert found.accuracy == card.accuracy >= 0.98
    confusion = json.loads((api.ZOO / f"{name}.metrics.json").read_text())["confusion"]
    assert found.confusion == confusion
