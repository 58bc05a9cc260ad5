# SPDX-License-Identifier: Apache-2.0
"""A Zynq-7000 without Vivado: its project, the bridge to the registers, its netlist simulated."""

from __future__ import annotations

import importlib
import random
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from andpop.hw.boards import find
from andpop.hw.targets.zynq import emit_project
from andpop.hw.targets.zynq.openxc7 import folder as openxc7
from andpop.hw.targets.zynq.openxc7.top import TOP
from andpop.sim import verilator
from andpop.sim.model import Model
from axi_network import Shape, Stream, write_build
from comparisons import Comparisons
from deployed import Deployed, classifier, several
from ps7_board import build_ps7_board
from pynq.metadata.runtime_metadata_parser import RuntimeMetadataParser
from pynq.pl_server.hwh_parser import _HWHZynq
from pynqmetadata.frontends import Metadata
from verilated_board import VerilatedBoard

BRIDGE = Path(openxc7.__file__).parent / openxc7.BRIDGE
NAMES = {
    "README.md", "andpop.hwh", "andpop.xdc", "andpop_zynq.v", "gp_bridge.sv", "lut6_2.v", "make.sh",
    "primitives.v", "synth.ys",
}  # fmt: skip


def shape(heads: int) -> Shape:
    """A stand-in with so many heads."""
    return Shape(Stream(24, 16), tuple(Stream(8, 1) for _ in range(heads)))


@pytest.mark.parametrize("heads", [1, 4])
def test_the_folder_is_whole(heads: int, tmp_path: Path) -> None:
    write_build(tmp_path / "build", shape(heads))
    project = emit_project(tmp_path / "build", find("pynq-z2"))
    place = project.folder / openxc7.FOLDER
    names = {file.name for file in place.iterdir()}
    assert {name for name in names if not name.startswith("rom_luts_")} == NAMES
    assert not any(str(tmp_path) in file.read_text() for file in place.iterdir())
    script = (place / "synth.ys").read_text()
    named = re.findall(r"\.\./\S+\.s?v\b", script)
    assert len(named) > 20 and all((project.folder / "rtl" / f).is_file() for f in named)
    assert (place / "andpop.xdc").read_text().splitlines()[-1] == (
        "create_clock -name clk -period 10.000 [get_nets clk]"
    )
    sources = [project.folder / source for source in project.sources]
    lint = verilator.lint(
        [*sources, place / "primitives.v", place / "gp_bridge.sv", place / "andpop_zynq.v"],
        TOP, cwd=project.folder / "rtl",
    )  # fmt: skip
    ours = [line for line in lint.splitlines() if "andpop_zynq.v" in line and "%" in line]
    ours = [line for line in ours if not re.search("PINMISSING|UNUSEDSIGNAL", line)]
    assert ours == []


@pytest.mark.parametrize("mhz", [100.0, 62.5, 12.0])
def test_pynq_reads_blocks_and_clock(mhz: float, tmp_path: Path) -> None:
    write_build(tmp_path / "build", shape(2))
    info = tmp_path / "build/rtl/top.json"
    info.write_text(info.read_text().replace('"clock_mhz": 100.0', f'"clock_mhz": {mhz}'))
    project = emit_project(tmp_path / "build", find("pynq-z2"))
    file = project.folder / openxc7.FOLDER / "andpop.hwh"
    names = ("control0", "idma0", "odma0", "odma1")
    for found in (RuntimeMetadataParser(Metadata(input=file)), _HWHZynq(hwh_name=file)):
        blocks = {n: b for n, b in found.ip_dict.items() if "phys_addr" in b}
        assert {n: b["phys_addr"] for n, b in blocks.items()} == {
            name: 0x4000_0000 + 4096 * i for i, name in enumerate(names)
        }
        assert all(block["addr_range"] == 4096 for block in blocks.values())
        assert blocks["odma1"]["type"] == "xilinx.com:module_ref:andpop_odma1:1.0"
        assert [found.clock_dict[i]["enable"] for i in range(4)] == [1, 0, 0, 0]
        assert found.clock_dict[0].get("frequency", mhz) == mhz
        divisors = [found.clock_dict[0][f"divisor{i}"] for i in range(2)]
        assert all(1 <= d <= 63 for d in divisors)
        assert mhz * 0.97 <= 1000 / (divisors[0] * divisors[1]) <= mhz


def test_a_network_with_too_many_heads_or_another_part_has_none(tmp_path: Path) -> None:
    for board, family, heads in (("pynq-z2", "pynq-z2", 5), ("kv260", "kv260", 1)):
        write_build(tmp_path / board / "build", shape(heads), family)
        project = emit_project(tmp_path / board / "build", find(board))
        assert not (project.folder / openxc7.FOLDER).exists()


def test_the_bridge_is_silent_under_lint(tmp_path: Path) -> None:
    assert verilator.lint([BRIDGE], "gp_bridge", cwd=tmp_path) == ""


class Pages:
    """Pages of registers behind the bridge, and a master in front, each slow as it likes."""

    PAGES = 3

    def __init__(self, model: Model, seed: int) -> None:
        self.model, self.rng = model, random.Random(seed)
        self.memory: dict[tuple[int, int], int] = {}
        self.seen: list[tuple[int, int]] = []
        for port in model.ports.values():
            if port.is_input and port.name not in ("clk_i", "rst_ni"):
                model.set(port.name, 0)
        self.address: list[tuple[int, int]] = []
        self.data: list[tuple[int, int, int]] = []
        self.reads: list[tuple[int, int]] = []
        model.set("rst_ni", 0)
        model.step(2)
        model.set("rst_ni", 1)
        self._drive()

    def _one(self, bits: int) -> int | None:
        assert bits & (bits - 1) == 0, "two pages are asked at once"
        return bits.bit_length() - 1 if bits else None

    def _drive(self) -> None:
        self.ready = {c: self.rng.getrandbits(self.PAGES) for c in ("aw", "w", "ar")}
        for channel, bits in self.ready.items():
            self.model.set(f"lite_{channel}_ready_i", bits)
        self.model.eval()

    def cycle(self) -> None:
        """Let a cycle pass, the pages answering."""
        model = self.model
        model.eval()
        found = {c: self._one(model.get(f"lite_{c}_valid_o")) for c in ("aw", "w", "ar")}
        taken = {c: p for c, p in found.items() if p is not None and self.ready[c] >> p & 1}
        if "aw" in taken:
            self.address.append((taken["aw"], model.get("lite_aw_address_o")))
        if "w" in taken:
            strobe = model.get("lite_w_strobe_o")
            self.data.append((taken["w"], model.get("lite_w_data_o"), strobe))
        if "ar" in taken:
            self.reads.append((taken["ar"], model.get("lite_ar_address_o")))
        answered = model.get("lite_b_valid_i") & model.get("lite_b_ready_o")
        given = model.get("lite_r_valid_i") & model.get("lite_r_ready_o")
        waiting_b, waiting_r = model.get("lite_b_valid_i"), model.get("lite_r_valid_i")
        model.step()
        if answered or not waiting_b:
            model.set("lite_b_valid_i", self._answer())
        if given or not waiting_r:
            model.set("lite_r_valid_i", self._read())
        self._drive()

    def _answer(self) -> int:
        if not (self.address and self.data and self.rng.random() < 0.5):
            return 0
        (page, at), (other, value, strobe) = self.address.pop(0), self.data.pop(0)
        assert page == other and strobe == 15
        self.memory[page, at] = value
        self.seen.append((page, at))
        return 1 << page

    def _read(self) -> int:
        if not (self.reads and self.rng.random() < 0.5):
            return 0
        page, at = self.reads.pop(0)
        value = self.memory.get((page, at), 0xDEAD0000 | page << 12 | at)
        self.model.set("lite_r_data_i", value << 32 * page)
        return 1 << page

    def handshake(self, channel: str, last: bool = False, **values: int) -> None:
        """Drive a channel until it is taken, after a while."""
        for _ in range(self.rng.randrange(3)):
            self.cycle()
        for name, value in values.items():
            self.model.set(f"{channel}_{name}_i", value)
        self.until(f"{channel}_valid_i", f"{channel}_ready_o")

    def until(self, ours: str, theirs: str) -> None:
        """Hold a signal until the other is there in the same cycle."""
        self.model.set(ours, 1)
        for _ in range(200):
            self.model.eval()
            there = self.model.get(theirs)
            if there:
                return self._end(ours)
            self.cycle()
        raise AssertionError(f"{theirs} did not come")

    def _end(self, ours: str) -> None:
        self.cycle()
        self.model.set(ours, 0)

    def beat(self, channel: str, fields: tuple[str, ...]) -> list[int]:
        """Take one answer, late; it has to stay as it is meanwhile."""
        valid = f"{channel}_valid_o"
        for _ in range(200):
            self.model.eval()
            if self.model.get(valid):
                break
            self.cycle()
        first = [self.model.get(f"{channel}_{f}_o") for f in fields]
        for _ in range(self.rng.randrange(4)):
            self.cycle()
            assert self.model.get(valid)
            assert first == [self.model.get(f"{channel}_{f}_o") for f in fields]
        self.until(f"{channel}_ready_i", valid)
        return first

    def write(self, address: int, values: list[int], burst: int, number: int) -> int:
        """A burst of words; returns the response."""
        self.handshake(
            "aw", address=address, length=len(values) - 1, size=2, burst=burst, id=number
        )
        for value in values:
            self.handshake("w", data=value, strobe=15)
        found, response = self.beat("b", ("id", "response"))
        assert found == number
        return response

    def read(self, address: int, beats: int, burst: int, number: int) -> tuple[list[int], int]:
        """A burst of words; returns them, and the response of all."""
        self.handshake("ar", address=address, length=beats - 1, size=2, burst=burst, id=number)
        values, responses = [], set()
        for beat in range(beats):
            fields = ("id", "data", "response", "last")
            found, value, response, last = self.beat("r", fields)
            assert found == number and last == (beat == beats - 1)
            values.append(value)
            responses.add(response)
        (response,) = responses
        return values, response


@pytest.mark.sim
def test_the_bridge_passes_bursts_on_and_refuses_the_rest(compared: Comparisons) -> None:
    library = verilator.build([BRIDGE], "gp_bridge", parameters={"Pages": Pages.PAGES})
    for seed in range(4):
        with Model(library) as model:
            pages = Pages(model, seed)
            rng = random.Random(seed)
            known: dict[int, int] = {}
            for number in range(60):
                beats = rng.choice((1, 1, 2, 16))
                burst = rng.choice((1, 1, 1, 0, 2))
                at = rng.randrange(0, 4096 * (Pages.PAGES + 1), 4)
                at = min(at, at // 4096 * 4096 + 4096 - 4 * beats)
                at += rng.choice((0, 0, 0, 1 << 25))
                places = [at + 4 * i * (burst == 1) for i in range(beats)]
                good = burst != 2 and at < 4096 * Pages.PAGES
                if rng.random() < 0.5:
                    before = len(pages.seen)
                    values = [rng.getrandbits(32) for _ in range(beats)]
                    response = pages.write(at, values, burst, number)
                    assert response == (0 if good else 3)
                    reached = [page * 4096 + within for page, within in pages.seen[before:]]
                    assert reached == (places if good else [])
                    if good:
                        known |= dict(zip(places, values, strict=True))
                        stored = [pages.memory[divmod(place, 4096)] for place in places]
                        compared.arrays([known[place] for place in places], stored)
                else:
                    got, response = pages.read(at, beats, burst, number)
                    assert response == (0 if good else 3)
                    if good:
                        want = [known.get(place, 0xDEAD0000 | place) for place in places]
                        compared.arrays(want, got)


NETWORKS: dict[str, Callable[[], Any]] = {"classifier": classifier, "several": several}
PICTURES = 200


@pytest.fixture
def network(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[Deployed, Any]]:  # fmt: skip
    """A network with its project, and the driver that lies in it."""
    deployed = Deployed.of(NETWORKS[request.param](), tmp_path / "build")
    sys.path.insert(0, str(deployed.deploy))
    yield deployed, importlib.import_module("andpop_board")
    sys.path.pop(0)
    for name in [n for n in sys.modules if n.partition(".")[0] == "andpop_board"]:
        del sys.modules[name]


@pytest.mark.sim
@pytest.mark.parametrize(
    "network", ["classifier", pytest.param("several", marks=pytest.mark.full)], indirect=True
)
def test_the_netlist_around_the_ps7_gives_the_goldens_values(
    network: tuple[Deployed, Any], tmp_path: Path, compared: Comparisons
) -> None:
    """What nextpnr-xilinx gets, cell by cell: under the driver, every head's every value."""
    deployed, driver = network
    executable = build_ps7_board(deployed.project, len(deployed.info.outputs), tmp_path / "bench")
    pictures = deployed.pictures(PICTURES)
    with VerilatedBoard(executable, deployed.project, tmp_path) as hardware:
        device = deployed.device(hardware)
        found = driver.Accelerator(deployed.deploy, device=device, batch=48).run(pictures)
    for got, want in zip(found.values(), deployed.golden(pictures), strict=True):
        compared.arrays(want, np.asarray(got).reshape(want.shape))
