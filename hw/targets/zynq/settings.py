# SPDX-License-Identifier: Apache-2.0
"""What FINN's driver must know of a network: names of the DMAs, datatypes, shapes."""

from __future__ import annotations

from typing import Any

from .system import Dma, System


def settings(system: System, build_hash: str) -> dict[str, Any]:
    """Return the contents of ``settings.json`` for a network.

    ``driver_information`` are the arguments of FINN's ``FINNDMAOverlay`` as its command line
    passes them on; ``andpop`` is for those who read the control block.

    Args:
        system: the network and its DMAs.
        build_hash: what the bit file shows of itself.
    """
    inputs = [d for d in system.dmas if d.reads]
    outputs = [d for d in system.dmas if not d.reads]
    return {
        "driver_information": {
            "driver_type": "FINNDMAOverlay",
            "io_shape_dict": {
                **_side("i", inputs),
                **_side("o", outputs),
                "num_inputs": len(inputs),
                "num_outputs": len(outputs),
                "number_of_external_weights": 0,
                "external_weights_input_shapes": {},
            },
            "external_weights": False,
            "runtime_weights": False,
            "platform": "zynq-iodma",
            "fclk_mhz": system.top.clock_mhz,
        },
        "experiment_information": {},
        "andpop": {
            "build_hash": build_hash,
            "control": "control0",
            "board": system.top.board,
            "clock_mhz": system.top.clock_mhz,
            "cycles": max((n.cycles for n in system.top.nodes), default=0),
            "inputs": [d.tap.tensor for d in inputs],
            "outputs": [d.tap.tensor for d in outputs],
        },
    }


def _side(letter: str, dmas: list[Dma]) -> dict[str, Any]:
    """Shapes of the inputs or of the outputs, batch of one in front.

    Folded is a row of the values of one word; packed is a row of its bytes. Words of a stream are
    in the order of the tensor's values, so the folded shape needs no more axes.
    """
    return {
        f"{letter}dt": [f"DataType['{d.tap.datatype}']" for d in dmas],
        f"{letter}dma_names": [d.name for d in dmas],
        f"{letter}shape_normal": [list(d.tap.shape) for d in dmas],
        f"{letter}shape_folded": [[1, d.frame_words, d.tap.lanes] for d in dmas],
        f"{letter}shape_packed": [[1, d.frame_words, d.word_bytes] for d in dmas],
    }
