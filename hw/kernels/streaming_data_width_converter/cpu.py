# SPDX-License-Identifier: Apache-2.0
"""StreamingDataWidthConverter on the CPU: tensors have no words."""

from __future__ import annotations

from ...cpu.packer import Lowering, Packer

CPU = {"StreamingDataWidthConverter": Lowering(Packer.rename)}
