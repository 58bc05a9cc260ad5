# SPDX-License-Identifier: Apache-2.0
"""A Zynq-7000 without Vivado: Yosys, nextpnr-xilinx and Project X-Ray, as openXC7 packs them."""
