# SPDX-License-Identifier: Apache-2.0
"""Ops that compute every value of a stream from one, or from one of each stream."""

from __future__ import annotations

from .base import Kernel, Stream, require_divisor


class Channelwise(Kernel):
    """Words of ``PE`` channels come in and as many go out, one a cycle.

    Among the attributes of subclasses are NumChannels, PE, numInputVectors (else they override
    ``vectors``), and inputDataType and outputDataType, or what they override for these.
    """

    lanes = {"PE": "NumChannels"}

    def input_streams(self) -> list[Stream]:
        return [self.stream("inputDataType")]

    def output_streams(self) -> list[Stream]:
        return [self.stream("outputDataType")]

    def stream(self, attribute: str) -> Stream:
        """A stream of the datatype that an attribute names."""
        return self.stream_of(self.get_nodeattr(attribute))

    def stream_of(self, datatype: str) -> Stream:
        """A stream of this datatype.

        Raises:
            ValueError: the lanes do not divide the channels.
        """
        channels, pe = int(self.get_nodeattr("NumChannels")), int(self.get_nodeattr("PE"))
        require_divisor(self.onnx_node.name, channels, "channels", "PE", pe)
        return Stream(datatype, (*self.vectors(), channels), pe)

    def vectors(self) -> tuple[int, ...]:
        """The shape of a frame but for its channels."""
        return tuple(int(n) for n in self.get_nodeattr("numInputVectors"))

    def cycles(self) -> int:
        """One word per cycle."""
        return self.output_streams()[0].words
