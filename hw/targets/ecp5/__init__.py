# SPDX-License-Identifier: Apache-2.0
"""Lattice's ECP5: the open target, from an emitted build to a bitstream."""
