# SPDX-License-Identifier: Apache-2.0
"""Boards with a Zynq: RTL between network and memory, projects for Vivado, settings of drivers."""

from .project import Project, TargetError, emit_project

__all__ = ["Project", "TargetError", "emit_project"]
