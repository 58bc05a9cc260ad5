# SPDX-License-Identifier: Apache-2.0
"""FINN's driver, as it is, on our boards: it finds the DMAs it knows, and results are exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from deployed import Deployed, classifier, several
from fake_pynq import FakeDevice
from finn_plus_driver import FINNDMAOverlay

NETWORKS = {"classifier": classifier, "several": several}


@pytest.fixture(scope="module", params=NETWORKS)
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    return Deployed.of(NETWORKS[request.param](), tmp_path_factory.mktemp("network"))


def driver(network: Deployed, device: FakeDevice, batch: int) -> Any:
    """FINN's driver, made as its own command line makes it."""
    bits = str(network.deploy / "andpop.bit")
    return FINNDMAOverlay(
        bits, **network.settings["driver_information"], batch_size=batch, device=device
    )


def test_execute_is_exact(network: Deployed) -> None:
    device = network.device(network.model_board())
    accelerator = driver(network, device, 7)
    assert device.downloads == 1
    for seed in range(3):
        pictures = network.pictures(7, seed)
        found = accelerator.execute(pictures)
        wanted = network.golden(pictures)
        assert len(wanted) == accelerator.num_outputs
        for got, want in zip(found if len(wanted) > 1 else [found], wanted, strict=True):
            np.testing.assert_array_equal(got.reshape(want.shape), want)


def test_throughput_is_measured(network: Deployed) -> None:
    accelerator = driver(network, network.device(network.model_board()), 16)
    found = accelerator.throughput_test()
    assert found["throughput[images/s]"] > 0
    assert found["fclk[mhz]"] == 100
    assert found["batch_size"] == 16
