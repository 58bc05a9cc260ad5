# SPDX-License-Identifier: Apache-2.0
"""A pynq device without a board: memory behind a cache, registers that a model answers.

What drivers see is pynq's own `Overlay`, `MMIO` and `Clocks`; the device below them is made up, and
its buffers are: pynq 4.0.0 sets `device` of an array, which NumPy 2 does not let it. The cache is
never coherent by itself: a driver that forgets to flush or to invalidate reads or sends the bytes
that buffers are filled with here.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from pynq import Device

MEMORY_BASE = 0x1000_0000
"""Where the memory that DMAs reach begins."""
MEMORY_BYTES = 16 << 20
REGISTERS = 0x4000_0000
"""Where the first block of registers lies; the others follow."""
BLOCK = 0x1_0000
SLCR = 0xF800_0000
"""The system registers of a Zynq-7000."""
PAGE = 4096
CACHE_FILL, MEMORY_FILL = 0xA5, 0x5A
"""What is in new buffers, on either side of the cache."""


class Hardware(Protocol):
    """What the device stands in front of."""

    memory: npt.NDArray[np.uint8]
    """``MEMORY_BYTES`` from ``MEMORY_BASE`` on, as the DMAs see them."""

    def load(self) -> None:
        """Start anew, as a bit file does that is loaded."""

    def read(self, block: int, offset: int) -> int:
        """Read a register of a block of registers."""

    def write(self, block: int, offset: int, value: int) -> None:
        """Write it."""


class Buffer(np.ndarray):
    """What `pynq.allocate` returns: an array whose bytes the DMAs reach, behind a cache or not.

    Parts of it have no address.
    """

    device_address = 0
    memory: npt.NDArray[np.uint8] | None = None
    """The other side of the cache."""

    def flush(self) -> None:
        """Write the cache back."""
        if self.memory is not None:
            self.memory[:] = self.view(np.ndarray).reshape(-1).view(np.uint8)

    def invalidate(self) -> None:
        """Forget what the cache holds."""
        if self.memory is not None:
            self.view(np.ndarray).reshape(-1).view(np.uint8)[:] = self.memory


class FakeDevice(Device):
    """A PYNQ-Z2 with a loaded design; ``blocks`` are its cells with registers."""

    def __init__(self, hardware: Hardware, blocks: Sequence[str]) -> None:
        super().__init__("fake")
        self.arch = "armv7l"
        self.capabilities = {"REGISTER_RW": True}
        self.bitfile_name = self.timestamp = ""
        self.hardware = hardware
        self.downloads = 0
        self._blocks = list(blocks)
        # A PLL of 1000 MHz, PL clock 0 a tenth of it.
        self._slcr = {0x100: 20 << 12, 0x104: 20 << 12, 0x108: 20 << 12}
        self._slcr |= {0x170 + 16 * i: 2 << 20 | 5 << 8 for i in range(4)}
        self._free = PAGE

    def get_bitfile_metadata(self, bitfile_name: str) -> Any:
        """Return what pynq reads in the hwh of a real design."""
        blocks: dict[str, dict[str, Any]] = {
            name: {
                "type": f"xilinx.com:module_ref:andpop_{name}:1.0",
                "phys_addr": REGISTERS + i * BLOCK,
                "addr_range": PAGE,
                "fullpath": name,
                "state": None,
                "interrupts": {},
                "gpio": {},
            }
            for i, name in enumerate(self._blocks)
        }
        empty = ("gpio_dict", "interrupt_controllers", "interrupt_pins", "hierarchy_dict")
        return SimpleNamespace(
            ip_dict=blocks, mem_dict={}, clock_dict={}, systemgraph=None, **{e: {} for e in empty}
        )

    def download(self, bitstream: Any, parser: Any = None) -> None:
        """Load the design."""
        self.downloads += 1
        self.hardware.load()
        self.post_download(bitstream, parser)

    def read_registers(self, address: int, length: int) -> bytes:
        """Read words."""
        words = [self._read(address + at) for at in range(0, length, 4)]
        return b"".join(word.to_bytes(4, "little") for word in words)

    def write_registers(self, address: int, data: bytes) -> None:
        """Write words."""
        for at in range(0, len(data), 4):
            self._write(address + at, int.from_bytes(bytes(data)[at : at + 4], "little"))

    def _read(self, address: int) -> int:
        if address >= SLCR:
            return self._slcr.get(address - SLCR, 0)
        return self.hardware.read(*divmod(address - REGISTERS, BLOCK))

    def _write(self, address: int, value: int) -> None:
        if address >= SLCR:
            self._slcr[address - SLCR] = value
        else:
            self.hardware.write(*divmod(address - REGISTERS, BLOCK), value)

    def allocate(self, shape: Any, dtype: Any, cacheable: bool = False, **_: Any) -> Buffer:
        """Return a buffer, behind a cache if it is cacheable."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        start, self._free = self._free, self._free + -(-size // PAGE) * PAGE
        if self._free > MEMORY_BYTES:
            raise MemoryError("the device's memory is full")
        memory = self.hardware.memory[start : start + size]
        memory[:] = MEMORY_FILL
        cache = np.full(size, CACHE_FILL, np.uint8) if cacheable else memory
        buffer = cache.view(dtype).reshape(shape).view(Buffer)
        buffer.device_address = MEMORY_BASE + start
        buffer.memory = memory if cacheable else None
        return buffer
