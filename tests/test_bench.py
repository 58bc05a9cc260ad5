# SPDX-License-Identifier: Apache-2.0
"""The kernel bench itself: a right design passes, every kind of broken promise is reported."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from andpop.sim import bench
from andpop.sim.bench import BenchFailure, Frame, Plan, StreamPort

pytestmark = pytest.mark.sim

WORDS = 24

DESIGN = """
module {top} (
  input  logic        ap_clk, ap_rst_n,
  input  logic        in0_V_TVALID,
  output logic        in0_V_TREADY,
  input  logic [15:0] in0_V_TDATA,
  output logic        out0_V_TVALID,
  input  logic        out0_V_TREADY,
  output logic [15:0] out0_V_TDATA
);
  logic        valid_q, idle_q;  // idle_q: the data lines moved without valid
  logic [15:0] data_q, last_q;
  assign in0_V_TREADY  = {ready};
  assign out0_V_TVALID = {valid};
  assign out0_V_TDATA  = {data};
  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) valid_q <= {reset};
    else if (in0_V_TREADY) valid_q <= in0_V_TVALID;
    idle_q <= !in0_V_TVALID && in0_V_TDATA != last_q;
    if (in0_V_TREADY && in0_V_TVALID) begin
      last_q <= in0_V_TDATA;
      data_q <= {next};
    end
  end
endmodule
"""

RIGHT = {
    "ready": "!valid_q || out0_V_TREADY",
    "valid": "valid_q",
    "data": "data_q",
    "reset": "1'b0",
    "next": "in0_V_TDATA + 16'd1",
}


def run(tmp_path: Path, plan: Plan, **changes: str) -> bench.Result:
    """Play ``plan`` through the design with some of its expressions replaced."""
    source = tmp_path / "adder.sv"
    source.write_text(DESIGN.format(top="adder", **{**RIGHT, **changes}))
    return bench.run_plan(plan, [source], "adder", tmp_path / "run", data=tmp_path)


def plan(cycles: int = WORDS, wrong: tuple[int, int] | None = None) -> Plan:
    """Eight frames for the adder; ``wrong`` = (frame, word) gets bit 3 of its result flipped."""
    frames = []
    for number in range(8):
        words = [(number * 4099 + i * 257) & 0xFFFF for i in range(WORDS)]
        results = [(w + 1) & 0xFFFF for w in words]
        if wrong is not None and wrong[0] == number:
            results[wrong[1]] ^= 8
        frames.append(Frame([words], [results]))
    ports = [StreamPort("in0_V", 16, 2)], [StreamPort("out0_V", 16, 2)]
    return Plan("adder16", cycles, *ports, frames, bench.phases_of(6, 2, WORDS, WORDS))


def test_right_design_passes_and_values_are_counted(tmp_path: Path) -> None:
    result = run(tmp_path, plan())
    frames = sum(len(p.frames) for p in plan().phases)
    assert result.values == frames * WORDS * 2
    assert result.interval == WORDS
    assert result.latency == 1


def test_wrong_word_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchFailure) as error:
        run(tmp_path, plan(wrong=(3, 5)))
    text = str(error.value)
    assert re.search(r"adder16: phase steady: out0_V word 77 \(frame 3, word 5\)", text), text
    assert "expected 0x3507, got 0x350f, differing bits 0x8" in text, text


def test_stated_cycles_are_held_to(tmp_path: Path) -> None:
    with pytest.raises(BenchFailure, match="frame of out0_V takes 24 cycles, the op states 25"):
        run(tmp_path, plan(cycles=25))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"valid": "valid_q && out0_V_TREADY"}, "nothing moved"),
        ({"ready": "1'b1"}, "while stalled|valid fell"),
        ({"data": "out0_V_TREADY ? data_q : data_q ^ 16'd1"}, "while stalled|expected"),
        ({"reset": "valid_q"}, "valid is high right after the reset"),
        ({"reset": "in0_V_TVALID"}, "valid is high right after the reset"),
        ({"next": "in0_V_TDATA + 16'd1 + 16'(idle_q)"}, "expected"),
        ({"valid": "valid_q && data_q != 16'd258"}, "expected 0x102, got"),
    ],
    ids=[
        "valid-waits-for-ready",
        "overwrites",
        "unstable-data",
        "no-reset",
        "takes-a-word-in-reset",
        "reads-idle-data",
        "lost-word",
    ],
)
def test_broken_promise_is_found(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    with pytest.raises(BenchFailure, match=message):
        run(tmp_path, plan(), **changes)
