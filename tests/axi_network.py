# SPDX-License-Identifier: Apache-2.0
"""A stand-in for an emitted network, a few registers big, of any stream widths; and its golden."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path

from andpop.hw.rtl.top_info import NodeInfo, TapInfo, TopInfo

MASK = (1 << 64) - 1


@dataclass(frozen=True)
class Stream:
    """Bits of a word, words of a frame."""

    width: int
    words: int

    @property
    def bytes(self) -> int:
        """Bytes of a word in memory."""
        return -(-self.width // 8)


@dataclass(frozen=True)
class Shape:
    """The streams of a stand-in; the words of a head divide those of the input."""

    input: Stream
    heads: tuple[Stream, ...]


def golden(shape: Shape, frame: bytes) -> list[bytes]:
    """Return what each head gives for a frame of the input, as bytes in memory."""
    state = 0
    results = [b""] * len(shape.heads)
    size = shape.input.bytes
    for i in range(shape.input.words):
        word = int.from_bytes(frame[i * size : (i + 1) * size], "little")
        word &= (1 << shape.input.width) - 1
        while word:
            state ^= word & MASK
            word >>= 64
        state = ((state << 7 | state >> 57) + i + 1) & MASK
        for h, head in enumerate(shape.heads):
            if (i + 1) % (shape.input.words // head.words) == 0:
                value = int.from_bytes(
                    (state ^ h).to_bytes(8, "little") * (head.width // 64 + 1), "little"
                )
                value &= (1 << head.width) - 1
                results[h] += value.to_bytes(head.bytes, "little")
    return results


def write_build(folder: Path, shape: Shape, board: str = "pynq-z2") -> TopInfo:
    """Write ``rtl`` of a build with the stand-in as its network; its table lies in a memory."""
    rtl = folder / "rtl"
    (rtl / "numbers").mkdir(parents=True)
    (rtl / "images").mkdir()
    taps = [_tap(0, "picture", shape.input)]
    taps += [_tap(i + 1, f"head{i}", head) for i, head in enumerate(shape.heads)]
    sources = ("andpop_top.sv", "numbers/numbers.v")
    info = TopInfo(
        "andpop_top", sources, sources, (), tuple(taps),
        (NodeInfo("numbers", "Numbers_rtl", shape.input.words),), ("images/numbers.mem",),
        tuple(range(1, len(taps))), board, 100.0,
    )  # fmt: skip
    (rtl / "top.json").write_text(json.dumps(asdict(info)))
    (rtl / "andpop_top.sv").write_text(_verilog(shape))
    (rtl / "numbers/numbers.v").write_text(TABLE)
    (rtl / "images/numbers.mem").write_text("".join(f"{i + 1:08x}\n" for i in range(2048)))
    return info


def frames(shape: Shape, count: int, seed: int) -> list[tuple[bytes, list[bytes]]]:
    """Return random frames with their goldens; bits beyond the width are noise."""
    rng = random.Random(seed)
    size = shape.input.bytes * shape.input.words
    found = [rng.randbytes(size) for _ in range(count)]
    return [(frame, golden(shape, frame)) for frame in found]


def _tap(number: int, name: str, stream: Stream) -> TapInfo:
    lanes = max(1, stream.width // 8)
    bits = stream.width // lanes
    shape = (1, stream.words, lanes)
    return TapInfo(number, name, shape, f"UINT{bits}", lanes, stream.words, stream.width, "")


TABLE = """// SPDX-License-Identifier: Apache-2.0
// Numbers of the words, from a memory.
module numbers (
  input  wire [10:0] index,
  output wire [31:0] number
);
  reg [31:0] memory [0:2047];
  initial $readmemh("images/numbers.mem", memory);
  assign number = memory[index];
endmodule
"""


def _verilog(shape: Shape) -> str:
    """The stand-in: a word is taken when every head could take its result."""
    padded = 8 * shape.input.bytes
    slices = -(-shape.input.width // 64)
    ports, bodies = [], []
    for i, head in enumerate(shape.heads):
        step = shape.input.words // head.words
        wide = head.width // 64 + 1
        ports.append(f"""
  output wire m_axis_{i}_tvalid,
  input  wire m_axis_{i}_tready,
  output wire [{8 * head.bytes - 1}:0] m_axis_{i}_tdata,""")
        bodies.append(f"""
  reg [31:0] step_{i};
  wire sends_{i} = step_{i} == {step - 1};
  wire [63:0] value_{i} = next ^ 64'd{i};
  wire [{64 * wide - 1}:0] wide_{i} = {{{wide}{{value_{i}}}}};
  wire [{head.width - 1}:0] head_{i};
  stream_register #(.Width({head.width})) u_head_{i} (
    .clk_i(ap_clk), .rst_ni(ap_rst_n),
    .in_valid_i(fires && sends_{i}), .in_ready_o(ready[{i}]),
    .in_data_i(wide_{i}[{head.width - 1}:0]),
    .out_valid_o(m_axis_{i}_tvalid), .out_ready_i(m_axis_{i}_tready), .out_data_o(head_{i})
  );
  assign m_axis_{i}_tdata = {8 * head.bytes}'(head_{i});
  wire unused_{i} = &wide_{i};
  always @(posedge ap_clk) begin
    if (!ap_rst_n) step_{i} <= 0;
    else if (fires) step_{i} <= sends_{i} ? 0 : step_{i} + 1;
  end""")
    return f"""// SPDX-License-Identifier: Apache-2.0
// A network's stand-in: every word turns a state, from which the heads are cut.
module andpop_top ({"".join(ports)}
  input  wire ap_clk,
  input  wire ap_rst_n,
  input  wire s_axis_0_tvalid,
  output wire s_axis_0_tready,
  input  wire [{padded - 1}:0] s_axis_0_tdata
);
  reg hangs; // set by a bench, until the next reset
  reg [31:0] index;
  reg [63:0] state;
  wire [{len(shape.heads) - 1}:0] ready;
  wire [31:0] number;
  wire last = index == {shape.input.words - 1};
  wire [{64 * slices - 1}:0] word = {64 * slices}'(s_axis_0_tdata[{shape.input.width - 1}:0]);
  wire [63:0] mixed = state{"".join(f" ^ word[{64 * k} +: 64]" for k in range(slices))};
  wire [63:0] next = {{mixed[56:0], mixed[63:57]}} + 64'(number);
  wire fires = s_axis_0_tvalid && s_axis_0_tready;
  wire unused = &{{s_axis_0_tdata, index[31:11]}};
  assign s_axis_0_tready = &ready && !hangs;
  numbers u_numbers (.index(index[10:0]), .number(number));
  always @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      hangs <= 0;
      index <= 0;
      state <= 0;
    end else if (fires) begin
      index <= last ? 0 : index + 1;
      state <= last ? 0 : next;
    end
  end
{"".join(bodies)}
endmodule
"""
