// SPDX-License-Identifier: Apache-2.0
// Ports and parameters of the PLL of an ECP5, for the front end: the cell itself is the part's.
// In a simulation the clock passes through it as it comes.
module EHXPLLL #(
  parameter CLKI_DIV = 1,
  parameter CLKFB_DIV = 1,
  parameter CLKOP_DIV = 8,
  parameter CLKOP_CPHASE = 0,
  parameter CLKOP_FPHASE = 0,
  parameter CLKOP_ENABLE = "ENABLED",
  parameter FEEDBK_PATH = "CLKOP",
  parameter OUTDIVIDER_MUXA = "DIVA",
  parameter OUTDIVIDER_MUXB = "DIVB",
  parameter OUTDIVIDER_MUXC = "DIVC",
  parameter OUTDIVIDER_MUXD = "DIVD",
  parameter STDBY_ENABLE = "DISABLED",
  parameter DPHASE_SOURCE = "DISABLED",
  parameter PLLRST_ENA = "DISABLED",
  parameter INTFB_WAKE = "DISABLED"
) (
  input  CLKI,
  input  CLKFB,
  input  PHASESEL1,
  input  PHASESEL0,
  input  PHASEDIR,
  input  PHASESTEP,
  input  PHASELOADREG,
  input  STDBY,
  input  PLLWAKESYNC,
  input  RST,
  input  ENCLKOP,
  output CLKOP,
  output LOCK
);
`ifndef SYNTHESIS
  assign CLKOP = CLKI;
  assign LOCK  = !RST;
`endif
endmodule
