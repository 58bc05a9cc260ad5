# SPDX-License-Identifier: Apache-2.0
"""StreamLink on the CPU: what leaves a register is what entered it."""

from __future__ import annotations

from ...cpu.packer import Lowering, Packer

CPU = {"StreamLink": Lowering(Packer.rename)}
