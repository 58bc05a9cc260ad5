# SPDX-License-Identifier: Apache-2.0
"""What a board with a Zynq gets beside bit file and settings: driver, vectors, notebook, README."""

from .emit import Content, write_deploy

__all__ = ["Content", "write_deploy"]
