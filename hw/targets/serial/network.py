# SPDX-License-Identifier: Apache-2.0
"""A network behind the serial link: what the link must know of it, and the RTL around it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ...rtl.top_info import TapInfo, TopInfo
from .link import HASH_BYTES

HERE = Path(__file__).parent
TOP = "serial_network"
"""Name of the module around network and link: bytes in, bytes out."""
BAUD = 3_000_000
"""Bits per second on the line: the most that the USB bridges of the boards have in common."""
LEAST_WAITING, MOST_WAITING = 2048, 32_768
"""Bytes that the receiver holds: two pictures where the network is slower than the line."""
SPARE = 1.25
"""How many times faster than the line a network counts as faster."""
FRAME_BYTES = 12
"""Of a frame beside its payload: type, sequence, length, CRC, both ends."""


@dataclass(frozen=True)
class Output:
    """One output stream of a network."""

    words: int
    """Of a picture."""
    bytes: int
    """Of a word."""


@dataclass(frozen=True)
class Link:
    """What the serial link must know of a network."""

    word_bytes: int
    """Of a word of its input."""
    picture_words: int
    outputs: tuple[Output, ...]
    build_hash: bytes
    """``HASH_BYTES`` bytes, in the order in which the board sends them."""
    rx_depth: int
    """Bytes that the receiver holds while the network does not take them."""

    @staticmethod
    def of(info: TopInfo, build_hash: bytes, clock_mhz: float | None = None) -> Link:
        """The link of an emitted network, at a clock; None for the one it was built for.

        Raises:
            ValueError: the hash is too short.
        """
        if len(build_hash) < HASH_BYTES:
            raise ValueError(
                f"build hash: found {len(build_hash)} bytes, expected {HASH_BYTES} or more"
            )
        pixels = _bytes(info.input) * info.input.words
        on_line = pixels * 10 * (clock_mhz or info.clock_mhz) * 1e6 / BAUD
        waiting = 2 * (pixels + FRAME_BYTES) if info.slowest.cycles * SPARE > on_line else 0
        return Link(
            _bytes(info.input),
            info.input.words,
            tuple(Output(tap.words, _bytes(tap)) for tap in info.outputs),
            build_hash[:HASH_BYTES],
            min(MOST_WAITING, 1 << (max(LEAST_WAITING, waiting) - 1).bit_length()),
        )

    @property
    def picture_bytes(self) -> int:
        """Bytes of a picture's payload."""
        return self.word_bytes * self.picture_words

    @property
    def result_bytes(self) -> int:
        """Bytes of a result's payload without its verdict."""
        return sum(output.words * output.bytes for output in self.outputs)

    @property
    def max_bytes(self) -> int:
        """Bytes of the widest word of an output."""
        return max(output.bytes for output in self.outputs)

    @property
    def hash_digits(self) -> str:
        """The hash as a number whose low byte is the first, in hex."""
        return f"{int.from_bytes(self.build_hash, 'little'):032x}"


def _bytes(tap: TapInfo) -> int:
    return -(-tap.width // 8)


def library() -> list[Path]:
    """Return the link's own sources, those of the UART among them."""
    return sorted(HERE.glob("*.sv"))


def write_network(
    info: TopInfo, folder: Path, build_hash: bytes, clock_mhz: float | None = None
) -> tuple[list[Path], str]:
    """Write the module around network and link.

    Args:
        info: top.json of the emitted network.
        folder: gets ``serial_network.sv``.
        build_hash: what the board says it was built from, 16 bytes or more.
        clock_mhz: clock of the network; None for the one it was built for.

    Returns:
        Sources beside those of the network, in compile order, and the top: a module with bytes in
        (``rx_*``) and out (``tx_*``).
    """
    environment = Environment(
        loader=FileSystemLoader(HERE), undefined=StrictUndefined, keep_trailing_newline=True,
        trim_blocks=True, lstrip_blocks=True, autoescape=False,
    )  # fmt: skip
    environment.filters["literal"] = lambda value: f"32'd{value}"
    text = environment.get_template("serial_network.sv.j2").render(
        link=Link.of(info, build_hash, clock_mhz), top=info.top
    )
    file = folder / f"{TOP}.sv"
    file.write_text(text, encoding="ascii")
    return [*library(), file], TOP
