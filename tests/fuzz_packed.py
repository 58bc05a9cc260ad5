# SPDX-License-Identifier: Apache-2.0
"""Mutated packed models with right checksums: each is refused in one line or runs as it should.

Run as a program of its own, for a fault may end it: python fuzz_packed.py SEED COUNT FOLDER FILE...
"""

from __future__ import annotations

import copy
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from andpop.hw.cpu import container
from andpop.hw.cpu.check import check
from andpop.hw.cpu.engine import Engine, instruction_sets
from andpop.hw.cpu.ops import CHECKS
from andpop.hw.cpu.plan import DataType, ModelError
from packed_files import Arrays, Header, catalogue, parts, seal

SECONDS = 20
"""No mutant may take longer, on a busy machine either."""
LARGEST = 1 << 26
"""Bytes of tensors that are still run."""

NUMBERS = (
    *(0, 1, -1, 2, 7, 8, 16, 64, 127, 128, 255, 256, 1 << 15, (1 << 31) - 1, 1 << 31, -(1 << 31)),
    *((1 << 32) - 1, 1 << 62, (1 << 63) - 1, 1 << 64, -(1 << 63), 10**40),
)
TEXTS = (
    *("", "x" * 5000, "\0", "[/x]", "u8", "i8", "i32", "bits"),
    *("UINT8", "INT8", "INT32", "BINARY", "UINT31", "INT99"),
    *CHECKS,
)
OTHERS: tuple[Any, ...] = (None, True, 1.5, "7", [], {}, [[]], {"a": 1})


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value inside a JSON document."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inside in items:
        yield (*path, key)
        if isinstance(inside, (dict, list)):
            yield from places(inside, (*path, key))


def mutate_header(rng: random.Random, header: Header) -> None:
    """Change one value of a header."""
    path = rng.choice(list(places(header)))
    holder: Any = header
    for key in path[:-1]:
        holder = holder[key]
    key = path[-1]
    value = holder[key]
    what = rng.random()
    if what < 0.08:
        holder[key] = rng.choice(OTHERS)
    elif what < 0.16:
        del holder[key]
    elif isinstance(value, int):
        near = value + rng.choice((-2, -1, 1, 2))
        holder[key] = rng.choice((near, near, value * 2, value // 2, -value, rng.choice(NUMBERS)))
    elif isinstance(value, str):
        holder[key] = rng.choice(TEXTS)
    elif isinstance(value, list) and value:
        holder[key] = rng.choice((value[1:], value + value[:1], value[::-1], value * 3))
    elif isinstance(value, dict) and (not value or rng.random() < 0.5):
        value[rng.choice(TEXTS)] = rng.choice(NUMBERS)
    elif isinstance(value, dict):
        one, other = rng.choices(list(value), k=2)
        value[one], value[other] = value[other], value[one]


def mutate_arrays(rng: random.Random, arrays: Arrays) -> None:
    """Change the values of one constant."""
    name = rng.choice(list(arrays))
    array = arrays[name].copy()
    flat, info = array.reshape(-1), np.iinfo(array.dtype)
    extreme = rng.choice((info.min, info.max, 0, 1, info.max // 2))
    what = rng.random()
    if what < 0.3:
        flat[:] = extreme
    elif what < 0.6:
        flat[rng.randrange(flat.size)] = extreme
    elif what < 0.8:
        flat[:] = np.random.default_rng(rng.getrandbits(32)).permutation(flat)
    else:
        data = np.random.default_rng(rng.getrandbits(32)).bytes(array.nbytes)
        array = np.frombuffer(data, array.dtype).reshape(array.shape)
    arrays[name] = array


def mutant(rng: random.Random, header: Header, arrays: Arrays) -> bytes:
    """Return a packed model with one to three changes and a right checksum."""
    header, arrays = copy.deepcopy(header), dict(arrays)
    for _ in range(rng.choice((1, 1, 2, 3))):
        if arrays and rng.random() < 0.35:
            mutate_arrays(rng, arrays)
        else:
            mutate_header(rng, header)
    return seal(header, arrays)


def run(path: Path, rng: random.Random) -> bool:
    """Load a mutant and run it on every instruction set; False if it is refused.

    Raises:
        AssertionError: the refusal is no single line, a value lies outside its range, or two
            instruction sets differ.
    """
    try:
        plan, constants = container.read(path)
        ranges = check(plan, constants)
        if sum(t.bytes for t in plan.tensors) > LARGEST:
            return False
        inputs = {}
        values = np.random.default_rng(rng.getrandbits(32))
        for i in plan.inputs:
            tensor = plan.tensors[i]
            kind = DataType.of(tensor.datatype, "")
            extreme = values.choice([kind.low, kind.high], (2, *tensor.shape))
            inputs[tensor.names[0]] = extreme
            if rng.random() < 0.5:
                inputs[tensor.names[0]] = values.integers(kind.low, kind.high + 1, extreme.shape)
        results = []
        for isa in instruction_sets():
            os.environ["ANDPOP_ISA"] = isa
            results.append(Engine.load(path).intermediates(inputs, threads=rng.choice((1, 2))))
    except ModelError as error:
        assert "\n" not in str(error) and len(str(error)) < 800, str(error)
        return False
    for tensor, (low, high) in zip(plan.tensors, ranges, strict=True):
        for name in tensor.names:
            found = results[0][name]
            assert low <= found.min() and found.max() <= high, f"{name}: outside {low}..{high}"
            for isa, other in zip(instruction_sets(), results, strict=True):
                assert np.array_equal(found, other[name]), f"{name}: {isa} differs"
    return True


def main(seed: int, count: int, folder: Path, files: list[Path]) -> None:
    """Try ``count`` mutants; the last one's file stays in the folder when something is wrong."""
    rng = random.Random(seed)
    bases = [*catalogue().values(), *(parts(file) for file in files)]
    path = folder / "mutant.andpop"
    accepted, slowest = 0, 0.0
    for number in range(count):
        path.write_bytes(mutant(rng, *rng.choice(bases)))
        began = time.perf_counter()
        signal.alarm(SECONDS)
        accepted += run(path, rng)
        signal.alarm(0)
        slowest = max(slowest, time.perf_counter() - began)
        if number % 100 == 99:
            print(f"{number + 1} mutants", file=sys.stderr, flush=True)
    path.unlink()
    print(f"{count} mutants: {accepted} accepted, {count - accepted} refused")
    print(f"slowest {slowest:.2f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), [Path(f) for f in sys.argv[4:]])
