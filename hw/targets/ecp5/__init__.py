# SPDX-License-Identifier: Apache-2.0
"""Boards with a Lattice ECP5: pins and clock, a project folder, and the way to a bitstream."""
