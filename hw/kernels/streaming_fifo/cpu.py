# SPDX-License-Identifier: Apache-2.0
"""StreamingFIFO on the CPU: what leaves a FIFO is what entered it."""

from __future__ import annotations

from ...cpu.packer import Lowering, Packer

CPU = {"StreamingFIFO": Lowering(Packer.rename)}
