# SPDX-License-Identifier: Apache-2.0
"""DuplicateStreams on the CPU: copies of a stream are names of one tensor."""

from __future__ import annotations

from ...cpu.packer import Lowering, Packer

CPU = {"DuplicateStreams": Lowering(Packer.rename)}
