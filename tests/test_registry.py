# SPDX-License-Identifier: Apache-2.0
"""The list of networks: every line holds, and a network is one file and one line."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from types import ModuleType

import pytest
import torch
from andpop.models import count, registry
from andpop.models.build import build
from andpop.models.network import Network, NetworkConfig, PaConfig, stem
from andpop.models.registry import NetworkSpec
from andpop.quant.blocks.binary import BinaryBlock
from andpop.quant.blocks.classifiers import Classifier
from andpop.quant.training.recipe import Options
from torch import Tensor, nn


@pytest.mark.parametrize("name", registry.names())
def test_every_line_names_a_network(name: str) -> None:
    spec = registry.get(name)
    config = registry.parse(name, {})
    assert isinstance(config, spec.config)
    assert registry.task(name) in ("classification", "masks")
    with torch.device("meta"):
        net = spec.module(config)
    assert net.config is config and net.freezable
    assert set(spec.recipe) <= {field.name for field in fields(Options)}


def test_every_network_of_a_file_has_a_line() -> None:
    folder = Path(registry.__file__).parent
    files = {line.file for line in registry.LINES.values()}
    declared = {p.stem for p in folder.glob("*.py") if "\nNETWORKS = " in p.read_text()}
    assert declared == files
    for name in files:
        networks = sys.modules[registry.__name__.replace("registry", name)].NETWORKS
        assert set(networks) == {n for n, line in registry.LINES.items() if line.file == name}


@pytest.mark.parametrize("name", registry.names())
def test_every_switch_says_what_it_is(name: str) -> None:
    spec = registry.get(name)
    switches = {**spec.switches, **PaConfig.model_fields}
    assert not {"channels", "classes"} & set(switches)
    for switch, field in switches.items():
        assert field.description and field.description.endswith("."), switch
        assert "default" not in field.description, switch


def test_facts_follow_from_the_switches() -> None:
    def facts(name: str, **config: object) -> tuple[bool, int, int]:
        parsed = registry.parse(name, config)
        return parsed.real, parsed.code_bits, parsed.multiple

    assert facts("bi-shufflenet") == (False, 1, 1)
    assert facts("pa-resnet18", kind="real") == (True, 1, 1)
    assert facts("u-binet", depth=3, k=16) == (False, 16, 8)
    assert facts("u-binet", kind="real") == (True, 4, 16)


def test_the_list_needs_no_torch() -> None:
    program = (
        "import sys\n"
        "from andpop.flows import cli\n"
        "from andpop.models import registry\n"
        "assert registry.task('u-binet') == 'masks' and registry.task('stranger') is None\n"
        "assert 'pa-resnet18' in registry.names()\n"
        "assert not {'torch', 'brevitas'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class Tiny(Network):
    """A stem, two 1-bit blocks and a classifier."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.conv1 = stem(config, 8, 3)
        self.blocks = nn.Sequential(BinaryBlock(8, 8, 3), BinaryBlock(8, 12, 1, stride=2))
        self.classifier = Classifier(12, config.classes, config.weight_bits)

    def features(self, x: Tensor) -> Tensor:
        found: Tensor = self.blocks(self.conv1(x))
        return found


class Larger(Tiny):
    """With a convolution that is no block."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.extra = nn.Conv2d(12, 12, 1)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file and its lines."""
    file = ModuleType("andpop.models.tiny")
    file.NETWORKS = {  # type: ignore[attr-defined]
        "tiny": NetworkSpec(NetworkConfig, Tiny),
        "larger": NetworkSpec(NetworkConfig, Larger),
    }
    monkeypatch.setitem(sys.modules, file.__name__, file)
    for name in ("tiny", "larger"):
        monkeypatch.setitem(registry.LINES, name, registry.Line("tiny", "classification"))


@pytest.mark.usefixtures("tiny")
def test_a_network_is_a_file_and_a_line() -> None:
    found = count.count("tiny", 18, 20)
    assert [layer.name for layer in found.layers] == ["conv1", "blocks.0", "blocks.1", "classifier"]
    assert found.binary_weights == 8 * 8 * 9 + 8 * 12
    assert found.bops == 8 * 8 * 9 * 90 + 8 * 12 * 25
    assert found.real_weights == 8 * 9 + 12 * 6 + 6
    net = build("tiny", {"classes": 3}).eval()
    pixels = torch.randint(0, 256, (4, 1, 18, 20)).float()
    before = net(pixels)
    net.freeze()
    assert torch.equal(net(pixels), before)


@pytest.mark.usefixtures("tiny")
def test_weights_that_no_row_counts_are_named() -> None:
    with pytest.raises(ValueError, match="found extra.weight in no block whose cost is known"):
        count.count("larger", 18, 20)
