// SPDX-License-Identifier: Apache-2.0
// Back of a matrix-vector unit: accumulates partial dot products and sends the sums out.

/// Adds the partial sums of a pass to an initial value, one accumulator per lane, modulo
/// 2**AccWidth, and sends the Pe accumulators after the last one. `enable_o` is the clock enable of
/// the whole pipeline in front: low while the output is stalled or an initial word is missing. It
/// does not depend on `out_ready_i` within a cycle: passes of several steps leave the output time
/// to become free before the next result, passes of one step need a second output register.
module mvu_back #(
  parameter int unsigned Pe         = 1, // lanes
  parameter int unsigned AccWidth   = 8, // bits of an accumulator
  parameter bit          SingleStep = 1  // passes of one step: a result may come in every cycle
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,
  output logic                   enable_o,
  output logic                   init_ok_o,   // no initial word is missing
  output logic                   free_d_o,    // room in the next cycle; of several steps

  input  logic                   dot_valid_i,
  input  logic                   dot_first_i, // first partial sum of a pass
  input  logic                   dot_last_i,  // last partial sum of a pass
  input  logic [Pe*AccWidth-1:0] dot_data_i,

  input  logic                   init_valid_i, // one word per pass
  output logic                   init_ready_o,
  input  logic [Pe*AccWidth-1:0] init_data_i,

  output logic                   out_valid_o,
  input  logic                   out_ready_i,
  output logic [Pe*AccWidth-1:0] out_data_o
);

  logic                   start, init_ok, out_free, unit_free, done_d, done_q;
  logic [Pe*AccWidth-1:0] acc;

  assign start        = dot_valid_i && dot_first_i;
  assign init_ok      = init_valid_i || !start;
  assign init_ready_o = start && out_free;
  assign enable_o     = unit_free && init_ok;
  assign init_ok_o    = init_ok;
  assign done_d       = out_free && init_ok ? dot_valid_i && dot_last_i : done_q;

  for (genvar p = 0; p < Pe; p++) begin : gen_lane
    logic [AccWidth-1:0] acc_q;

    always_ff @(posedge clk_i) begin
      if (enable_o && dot_valid_i) begin
        // In this order Yosys needs one LUT per bit: the first operand goes to the carry chain.
        acc_q <= dot_data_i[p*AccWidth+:AccWidth] +
                 (dot_first_i ? init_data_i[p*AccWidth+:AccWidth] : acc_q);
      end
    end
    assign acc[p*AccWidth+:AccWidth] = acc_q;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) done_q <= 1'b0;
    else         done_q <= done_d;
  end

  if (SingleStep) begin : gen_two_registers
    assign free_d_o  = 1'b0;
    assign unit_free = out_free;

    stream_register #(
      .Width(Pe * AccWidth)
    ) u_out (
      .clk_i,
      .rst_ni,
      .in_valid_i(done_q && init_ok),
      .in_ready_o(out_free),
      .in_data_i(acc),
      .out_valid_o,
      .out_ready_i,
      .out_data_o
    );
  end else begin : gen_register
    logic                   valid_d, valid_q, free_d, free_q;
    (* keep = "true" *) logic unit_free_q;
    logic [Pe*AccWidth-1:0] data_q;

    assign out_free    = free_q;
    assign unit_free   = unit_free_q;
    assign free_d_o    = free_d;
    assign out_valid_o = valid_q;
    assign out_data_o  = data_q;
    assign valid_d     = valid_q ? !out_ready_i : (done_q && init_ok);
    assign free_d      = !(done_d && valid_d);

    // Registers, as the enable goes to the whole unit: one for that alone, in the middle of it.
    // Tools read the one attribute or the other.
    (* keep *)
    always_ff @(posedge clk_i) begin
      if (!rst_ni) unit_free_q <= 1'b1;
      else         unit_free_q <= free_d;
    end

    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        valid_q <= 1'b0;
        free_q  <= 1'b1;
      end else begin
        valid_q <= valid_d;
        free_q  <= free_d;
      end
    end

    always_ff @(posedge clk_i) begin
      if (done_q && !valid_q) data_q <= acc;
    end
  end

endmodule
