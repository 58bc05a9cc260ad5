// SPDX-License-Identifier: Apache-2.0
// The serial link around a small network of known answers, fed by bytes or by a UART.

/// The network has words of two bytes. Of each picture it tells on its first output how far the
/// words' sum goes with their places, and on its second every second word, as it comes. It takes a
/// word and gives one only while `move_i` allows that.
module serial_bench #(
  parameter int unsigned PictureWords = 12, // even
  parameter int unsigned ClockHz      = 27_000_000,
  parameter int unsigned Baud         = 3_000_000
) (
  input  logic       clk_i,
  input  logic       rst_ni,
  input  logic       uart_i, // the line is the UART's, not the stream of bytes

  input  logic       rx_valid_i,
  output logic       rx_ready_o,
  input  logic [7:0] rx_data_i,
  input  logic       rx_broken_i,
  output logic       tx_valid_o,
  input  logic       tx_ready_i,
  output logic [7:0] tx_data_o,

  input  logic       rx_i,
  output logic       tx_o,

  input  logic [2:0] move_i,
  output logic [7:0] led_o
);

  localparam int unsigned IndexBits = $clog2(PictureWords);

  logic             came, broken, line_ready;
  logic [7:0]       line_data;
  logic             network_rst_n, picture_valid, picture_ready;
  logic [15:0]      picture_data;
  logic [1:0]       result_valid, result_ready;
  logic [1:0][31:0] result_data;

  uart_rx #(
    .ClockHz(ClockHz),
    .Baud   (Baud)
  ) u_rx (
    .clk_i,
    .rst_ni,
    .rx_i,
    .valid_o (came),
    .broken_o(broken),
    .data_o  (line_data)
  );

  uart_tx #(
    .ClockHz(ClockHz),
    .Baud   (Baud)
  ) u_tx (
    .clk_i,
    .rst_ni,
    .valid_i(tx_valid_o && uart_i),
    .ready_o(line_ready),
    .data_i (tx_data_o),
    .tx_o
  );

  serial_link #(
    .BuildHash   (128'h0f0e0d0c0b0a09080706050403020100),
    .WordBytes   (2),
    .PictureWords(PictureWords),
    .Outputs     (2),
    .OutputBytes ({32'd2, 32'd4}),
    .OutputWords ({32'(PictureWords / 2), 32'd1}),
    .ResultBytes (4 + PictureWords),
    .MaxBytes    (4),
    .Patience    (4096)
  ) u_link (
    .clk_i,
    .rst_ni,
    .rx_valid_i     (uart_i ? came : rx_valid_i),
    .rx_ready_o,
    .rx_data_i      (uart_i ? line_data : rx_data_i),
    .rx_broken_i    (uart_i ? broken : rx_broken_i),
    .tx_valid_o,
    .tx_ready_i     (uart_i ? line_ready : tx_ready_i),
    .tx_data_o,
    .network_rst_no (network_rst_n),
    .picture_valid_o(picture_valid),
    .picture_ready_i(picture_ready),
    .picture_data_o (picture_data),
    .result_valid_i (result_valid),
    .result_ready_o (result_ready),
    .result_data_i  (result_data),
    .led_o
  );

  logic                 sum_q, word_q, done; // a sum, a word is there to be taken
  logic [IndexBits-1:0] index_q;
  logic [31:0]          total_q, total_d;
  logic [15:0]          held_q;

  assign done            = index_q == IndexBits'(PictureWords - 1);
  assign picture_ready   = move_i[0] && !(done && sum_q) && !(index_q[0] && word_q);
  assign total_d         = (index_q == '0 ? '0 : total_q) + picture_data * (32'(index_q) + 1);
  assign result_valid[0] = sum_q && move_i[1];
  assign result_valid[1] = word_q && move_i[2];
  assign result_data[0]  = sum_answer_q;
  assign result_data[1]  = {16'h0, held_q};

  logic [31:0] sum_answer_q;

  always_ff @(posedge clk_i) begin
    if (!network_rst_n) begin
      sum_q   <= 1'b0;
      word_q  <= 1'b0;
      index_q <= '0;
    end else begin
      if (result_ready[0] && result_valid[0]) sum_q <= 1'b0;
      if (result_ready[1] && result_valid[1]) word_q <= 1'b0;
      if (picture_valid && picture_ready) begin
        index_q <= done ? '0 : index_q + 1'b1;
        total_q <= total_d;
        if (done) begin
          sum_q        <= 1'b1;
          sum_answer_q <= total_d;
        end
        if (index_q[0]) begin
          word_q <= 1'b1;
          held_q <= picture_data;
        end
      end
    end
  end

endmodule
