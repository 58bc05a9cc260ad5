// SPDX-License-Identifier: Apache-2.0
// Front of a matrix-vector unit: replays each input vector once per output fold.

/// Takes vectors of Sf words and offers each of them Nf times in a row, with marks on the first and
/// last word of every pass. The first pass streams through while it is stored; a word is freed in
/// the last pass, so the next vector is taken in meanwhile and one word per cycle leaves for ever.
/// Memory: 2 * Sf words, none when Nf = 1 (then the input is wired through).
module mvu_front #(
  parameter int unsigned Width = 8, // bits of a word
  parameter int unsigned Sf    = 2, // words per vector (synapse fold, MW / SIMD)
  parameter int unsigned Nf    = 2  // passes per vector (neuron fold, MH / PE)
) (
  input  logic             clk_i,
  input  logic             rst_ni,

  input  logic             in_valid_i,
  output logic             in_ready_o,
  input  logic [Width-1:0] in_data_i,

  output logic             out_valid_o,
  output logic             out_valid_d_o, // the same of the next cycle, 0 where Nf = 1
  input  logic             out_ready_i,
  output logic [Width-1:0] out_data_o,
  output logic             out_first_o, // first word of a pass
  output logic             out_last_o   // last word of a pass
);

  localparam int unsigned SfWidth = (Sf > 1) ? $clog2(Sf) : 1;
  logic [SfWidth-1:0] unused_sf;
  logic               sf_first_q, sf_last, fetch;

  loop_counter #(
    .Count(Sf)
  ) u_sf (
    .clk_i,
    .rst_ni,
    .advance_i(fetch),
    .count_o(unused_sf),
    .last_o(sf_last)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) sf_first_q <= 1'b1;
    else if (fetch) sf_first_q <= sf_last;
  end

  if (Nf == 1) begin : gen_wire
    assign fetch       = in_valid_i && out_ready_i;
    assign in_ready_o  = out_ready_i;
    assign out_valid_o = in_valid_i;
    assign out_data_o  = in_data_i;
    assign out_first_o = sf_first_q;
    assign out_last_o  = sf_last;

    assign out_valid_d_o = 1'b0;
  end else begin : gen_replay
    localparam int unsigned Depth     = 2 * Sf;
    localparam int unsigned AddrWidth = $clog2(Depth);
    localparam int unsigned FillWidth = $clog2(Depth + 1);
    localparam int unsigned NfWidth   = $clog2(Nf);

    logic [NfWidth-1:0]   unused_nf;
    logic [Width-1:0]     word_q;
    logic                 valid_q, first_q, last_q;
    logic [AddrWidth-1:0] write_addr_q, read_addr_q, read_addr_d;
    logic                 upper_q;           // the vector being read lies in the upper half
    // Words written and not read for the first time, for the last time: a fetch, which is known
    // late, counts a cycle later; a word that is written, which may come from far, for the latter.
    logic [FillWidth-1:0] fresh_q, used_q;
    logic                 took_q, freed_q;   // the fetch that does not count yet was such a one
    logic                 wrote_q;           // a word was written that is not counted as used yet
    logic                 some_q, one_left;  // there are fresh ones; there is one at most
    logic                 full_q, one_free;  // no word is free; there is one at most
    logic                 nf_first_q, nf_last, pass_end, write;

    assign pass_end = fetch && sf_last;

    loop_counter #(
      .Count(Nf)
    ) u_nf (
      .clk_i,
      .rst_ni,
      .advance_i(pass_end),
      .count_o(unused_nf),
      .last_o(nf_last)
    );

    always_ff @(posedge clk_i) begin
      if (!rst_ni) nf_first_q <= 1'b1;
      else if (pass_end) nf_first_q <= nf_last;
    end

    assign in_ready_o = !full_q;
    assign write      = in_valid_i && in_ready_o;
    assign fetch      = (out_ready_i || !valid_q) && (!nf_first_q || some_q);

    line_memory #(
      .Width   (Width),
      .Depth   (Depth),
      .BlockRam(Depth > 64 && Depth * Width > 8192)  // as estimates say: hw/kernels/memory.py
    ) u_buffer (
      .clk_i,
      .write_i        (write),
      .write_address_i(write_addr_q),
      .write_data_i   (in_data_i),
      .read_i         (fetch),
      .read_address_i (read_addr_q),
      .read_data_o    (word_q)
    );

    always_ff @(posedge clk_i) begin
      if (!rst_ni) write_addr_q <= '0;
      else if (write) begin
        write_addr_q <= (write_addr_q == AddrWidth'(Depth - 1)) ? '0 : write_addr_q + 1'b1;
      end
    end

    always_comb begin
      read_addr_d = read_addr_q + 1'b1;
      if (sf_last) begin
        if (nf_last == upper_q) read_addr_d = '0;
        else                    read_addr_d = AddrWidth'(Sf);
      end
    end

    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        read_addr_q <= '0;
        upper_q     <= 1'b0;
      end else if (fetch) begin
        read_addr_q <= read_addr_d;
        if (sf_last && nf_last) upper_q <= !upper_q;
      end
    end

    assign one_left = fresh_q == (took_q ? FillWidth'(2) : FillWidth'(1));
    assign one_free = wrote_q == freed_q ? used_q == FillWidth'(Depth - 1) :
                                           used_q == FillWidth'(freed_q ? Depth : Depth - 2);

    // Up or down by one.
    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        fresh_q <= '0;
        used_q  <= '0;
        some_q  <= 1'b0;
        took_q  <= 1'b0;
        freed_q <= 1'b0;
        wrote_q <= 1'b0;
        full_q  <= 1'b0;
      end else begin
        took_q  <= fetch && nf_first_q;
        freed_q <= fetch && nf_last;
        wrote_q <= write;
        some_q  <= write || (some_q && !(fetch && nf_first_q && one_left));
        full_q  <= !(fetch && nf_last) && (full_q || (write && one_free));
        if (write != took_q) fresh_q <= fresh_q + {{(FillWidth-1){!write}}, 1'b1};
        if (wrote_q != freed_q) used_q <= used_q + {{(FillWidth-1){!wrote_q}}, 1'b1};
      end
    end

    always_ff @(posedge clk_i) begin
      if (!rst_ni) valid_q <= 1'b0;
      else         valid_q <= out_valid_d_o;
    end

    always_ff @(posedge clk_i) begin
      if (fetch) begin
        first_q <= sf_first_q;
        last_q  <= sf_last;
      end
    end

    assign out_valid_d_o = fetch || (valid_q && !out_ready_i);

    assign out_valid_o = valid_q;
    assign out_data_o  = word_q;
    assign out_first_o = first_q;
    assign out_last_o  = last_q;
  end

endmodule
