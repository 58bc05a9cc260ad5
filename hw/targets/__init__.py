# SPDX-License-Identifier: Apache-2.0
"""Boards as targets: what stands around a network's dataflow core, up to the bitstream."""

PROJECT = "project.json"
"""What makes a folder the project of a board, and says what it was written for."""
