// SPDX-License-Identifier: Apache-2.0
// Columns of a convolution's windows out of the pixels of a picture, borders included.

/// Keeps the last Kernel - 1 rows, one column per memory word, and gives for each row of outputs
/// its columns from left to right: Kernel pixels, the oldest row lowest, 0 where they lie in the
/// border. A pixel or a column of the border per cycle. Rows that end no window pass without a
/// column, and what follows the last window is swallowed. `take_o` promises a column, which comes
/// two cycles later and cannot wait: there must be room for it, which `room_i` says.
module image_columns #(
  parameter int unsigned Bits      = 8,  // bits of a pixel, its channels together
  parameter int unsigned Height    = 4,  // rows of the picture
  parameter int unsigned Width     = 4,  // columns of the picture, 2 or more
  parameter int unsigned Kernel    = 3,  // rows and columns of a window, 2 or more
  parameter int unsigned Stride    = 1,  // pixels from window to window, at most Kernel
  parameter int unsigned PadTop    = 1,  // rows of border above the picture, below Kernel
  parameter int unsigned PadLeft   = 1,  // columns of border left of the picture, below Kernel
  parameter int unsigned OutHeight = 4,  // rows of windows
  parameter int unsigned OutWidth  = 4,  // windows in a row
  parameter bit          BlockRam  = 0   // rows in block RAM, otherwise in LUTs
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,

  input  logic                   in_valid_i,
  output logic                   in_ready_o,
  input  logic [Bits-1:0]        in_data_i,

  input  logic                   room_i,
  output logic                   take_o,
  output logic                   column_valid_o,
  output logic [Kernel*Bits-1:0] column_data_o
);

  localparam int unsigned Needed    = (OutHeight - 1) * Stride + Kernel - PadTop; // rows, from 0
  localparam int unsigned Rows      = Needed > Height ? Needed : Height;
  localparam int unsigned FirstSkip = Kernel - 1 - PadTop;
  localparam int unsigned Reached   = (OutWidth - 1) * Stride + Kernel - PadLeft; // columns, from 0
  localparam int unsigned Right     = Reached > Width ? Reached - Width : 0;
  localparam int unsigned Longest   = Width > Kernel ? Width : Kernel;
  localparam int unsigned CountBits = $clog2(Longest + 1);
  localparam int unsigned RowBits   = $clog2(Rows + 1);
  localparam int unsigned SkipBits  = $clog2(Kernel + 1);
  localparam int unsigned AddrBits  = $clog2(Width);

  if (Width < 2 || Kernel < 2) begin : gen_check_size
    $error("image_columns: found Width=%0d, Kernel=%0d, expected 2 or more", Width, Kernel);
  end
  if (Stride < 1 || Stride > Kernel) begin : gen_check_stride
    $error("image_columns: found Stride=%0d, expected 1 to Kernel=%0d", Stride, Kernel);
  end
  if (PadTop >= Kernel || PadLeft >= Kernel || Right >= Kernel || Needed >= Height + Kernel)
  begin : gen_check_border
    $error("image_columns: borders %0d, %0d, %0d, %0d (top, left, bottom, right), expected %s",
           PadTop, PadLeft, Rows - Height, Right, "each below Kernel");
  end

  typedef enum logic [1:0] {ZoneLeft, ZonePicture, ZoneRight} zone_e;

  // Place of the next step. skip_q: rows before the next one that ends windows; live_q: which rows
  // of a column lie in the picture, the current one highest. What a step is and does is known from
  // registers: whether it is one of the picture, has a new pixel, gives a column, ends its zone.
  zone_e                zone_d, zone_q;
  logic [CountBits-1:0] count_q;
  logic [RowBits-1:0]   row_q;
  logic [SkipBits-1:0]  skip_q, skip_next;
  logic [Kernel-1:0]    live_d, live_q;
  logic                 ends_d, ends_q; // the row ends windows
  logic                 picture_q, needs_q, emits_q, last_q;
  logic                 go, row_end, frame_end, swallows;

  assign go         = (!emits_q || room_i) && (!needs_q || in_valid_i);
  assign in_ready_o = needs_q && (!emits_q || room_i);
  assign take_o     = go && emits_q;

  assign row_end   = last_q && (zone_q == ZoneRight || (picture_q && (!ends_q || Right == 0)));
  assign frame_end = row_q == RowBits'(Rows - 1);

  // Whether the zone's step behind this one is its last one.
  function automatic logic ends_zone(zone_e zone, logic [CountBits-1:0] count);
    unique case (zone)
      ZoneLeft:  ends_zone = PadLeft > 1 && count == CountBits'(PadLeft - 2);
      ZoneRight: ends_zone = Right > 1 && count == CountBits'(Right - 2);
      default:   ends_zone = count == CountBits'(Width - 2);
    endcase
  endfunction

  // Whether a zone of which this is the first step has no other.
  function automatic logic is_alone(zone_e zone);
    is_alone = (zone == ZoneLeft && PadLeft == 1) || (zone == ZoneRight && Right == 1);
  endfunction

  // What follows the last window: from pixel Reached on.
  if (Reached < Width) begin : gen_swallow
    assign swallows = picture_q && !last_q && (!emits_q || count_q == CountBits'(Reached - 1));
  end else begin : gen_all
    assign swallows = 1'b0;
  end

  always_comb begin
    if (frame_end)   skip_next = SkipBits'(FirstSkip);
    else if (ends_q) skip_next = SkipBits'(Stride - 1);
    else             skip_next = skip_q - 1'b1;
  end

  always_comb begin
    zone_d = zone_q;
    ends_d = ends_q;
    live_d = live_q;
    if (row_end) begin
      ends_d = skip_next == '0;
      zone_d = (ends_d && PadLeft > 0) ? ZoneLeft : ZonePicture;
      live_d = frame_end ? {1'b1, {(Kernel - 1){1'b0}}} :
                           {row_q < RowBits'(Height - 1), live_q[Kernel-1:1]};
    end else if (last_q) begin
      zone_d = picture_q ? ZoneRight : ZonePicture;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      zone_q    <= (FirstSkip == 0 && PadLeft > 0) ? ZoneLeft : ZonePicture;
      picture_q <= FirstSkip != 0 || PadLeft == 0;
      needs_q   <= FirstSkip != 0 || PadLeft == 0;
      ends_q    <= FirstSkip == 0;
      emits_q   <= FirstSkip == 0;
      last_q    <= FirstSkip == 0 && PadLeft == 1;
      count_q   <= '0;
      row_q     <= '0;
      skip_q    <= SkipBits'(FirstSkip);
      live_q    <= {1'b1, {(Kernel - 1){1'b0}}};
    end else if (go) begin
      zone_q    <= zone_d;
      picture_q <= zone_d == ZonePicture;
      needs_q   <= zone_d == ZonePicture && live_d[Kernel-1];
      ends_q    <= ends_d;
      emits_q   <= ends_d && !swallows;
      last_q    <= last_q ? is_alone(zone_d) : ends_zone(zone_q, count_q);
      count_q   <= last_q ? '0 : count_q + 1'b1;
      live_q    <= live_d;
      if (row_end) begin
        row_q  <= frame_end ? '0 : row_q + 1'b1;
        skip_q <= skip_next;
      end
    end
  end

  // One cycle later the old rows of the column are there.
  logic                       write_q, emit_q, border_q, valid_q;
  logic [AddrBits-1:0]        address_q;
  logic [Bits-1:0]            pixel_q;
  logic [Kernel-1:0]          shown_q;
  logic [(Kernel-1)*Bits-1:0] old;
  logic [Kernel*Bits-1:0]     column, column_q;

  assign column = {pixel_q, old};

  line_memory #(
    .Width   ((Kernel - 1) * Bits),
    .Depth   (Width),
    .BlockRam(BlockRam)
  ) u_memory (
    .clk_i,
    .write_i        (write_q),
    .write_address_i(address_q),
    .write_data_i   (column[Kernel*Bits-1:Bits]),
    .read_i         (go && picture_q),
    .read_address_i (count_q[AddrBits-1:0]),
    .read_data_o    (old)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      write_q <= 1'b0;
      emit_q  <= 1'b0;
      valid_q <= 1'b0;
    end else begin
      write_q <= go && picture_q;
      emit_q  <= take_o;
      valid_q <= emit_q;
    end
  end

  always_ff @(posedge clk_i) begin
    border_q  <= !picture_q;
    address_q <= count_q[AddrBits-1:0];
    pixel_q   <= in_data_i;
    shown_q   <= live_q;
  end

  for (genvar k = 0; k < Kernel; k++) begin : gen_row
    always_ff @(posedge clk_i) begin
      if (border_q || !shown_q[k]) column_q[k*Bits +: Bits] <= '0;
      else column_q[k*Bits +: Bits] <= column[k*Bits +: Bits];
    end
  end

  assign column_valid_o = valid_q;
  assign column_data_o  = column_q;

endmodule
