# SPDX-License-Identifier: Apache-2.0
"""Options of a build, from the command line or build.yaml: what cannot be meant is one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from andpop.flows.config import MOST_CYCLES, MOST_SIDE, BuildConfig, parse_size, read_config
from andpop.flows.errors import UsageError, one_line
from andpop.quant.names import brief

DIGITS = "9" * 5000


def refused(tmp_path: Path, text: str | bytes) -> str:
    """The message about a build.yaml."""
    file = tmp_path / "build.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError) as caught:
        read_config(file, {})
    message = one_line(str(caught.value))
    assert len(message) < 600
    return message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found no option"),
        ("- input\n- board\n", "found a list"),
        ("input", "found no option"),
        ("!!set {input, board}", "found no option"),
        ("5: 3\n", "line 1: found '5' as the name of an option"),
        ("board: pynq-z1\n5: 3\n", "line 2: found '5' as the name of an option"),
        ("~: 3\n", "as the name of an option"),
        ("yes: 3\n", "as the name of an option"),
        ("? [a, b]\n: 3\n", "as the name of an option"),
        ("<<: {board: pynq-z1}\n", "found values below"),
        ("target_cycles: 3\ntarget_cycles: 4\n", "line 2: found 'target_cycles' again, given on l"),
        ("input: 64x64x1\n---\nboard: pynq-z1\n", "not readable as YAML"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "line 2: found a reference"),
        ("a: " + "[" * 10_000, "found values below"),
        ("{a: " * 10_000, "found values below"),
        (b"\xff\xfe\0", "not readable as YAML"),
        ("\0", "not readable as YAML"),
        ("# " + "x" * (1 << 20), "found more than 1,048,576 bytes"),
        ("input: 2001-99-99\n", "not readable as YAML"),
        ("input: !!python/object/apply:os.system [true]\n", "not readable as YAML"),
        ("'5': 3\n", "5: found no such option, expected one of input, input_scale"),
        (f"target_cycles: {DIGITS}\n", "not readable as YAML"),
        (f"clock_mhz: {DIGITS}\n", "not readable as YAML"),
        (f"board: '{DIGITS}'\n", "board: found '9999"),
        ("target_cycles: [1]\n", "target_cycles: found [1]: Input should be a valid integer"),
        ("target_cycles: true\n", "target_cycles: found true, expected a number"),
        ("target_cycles: 2.5\n", "target_cycles: found 2.5"),
        ("target_cycles: 0\n", "target_cycles: found 0"),
        (f"target_cycles: {MOST_CYCLES + 1}\n", "target_cycles: found 1000000000001"),
        ("clock_mhz: true\n", "clock_mhz: found true, expected a number"),
        ("clock_mhz: .inf\n", "clock_mhz: found inf"),
        ("clock_mhz: -.inf\n", "clock_mhz: found -inf"),
        ("clock_mhz: .nan\n", "clock_mhz: found nan"),
        ("clock_mhz: 1.0e+308\n", "clock_mhz: found 1e+308"),
        ("clock_mhz:\n", "clock_mhz: found None"),
        ("target_fps: 1.0e-320\n", "target_fps: found 1e-320"),
        ("target_fps: 1e-320\n", "target_fps: found '1e-320'"),
        ("target_fps: .inf\n", "target_fps: found inf"),
        ("board: nonsense\n", "board: found 'nonsense', expected one of aup-zu3, ecpix-5"),
        ("board: 5\n", "board: found 5"),
        ("folding: ''\n", "folding: found '', expected the path of a file"),
        ('folding: "a\\0b"\n', "folding: found"),
        ("input: 0x0x0\n", "--input: found '0x0x0', expected HxWxC"),
        ("input: 64\n", "input: found 64"),
        ("until: [fold]\n", "until: found ['fold']"),
    ],
    ids=lambda value: brief(value, 30),
)
def test_a_file_that_cannot_be_meant_is_refused(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    assert message in refused(tmp_path, text)


def test_a_file_of_options_is_read(tmp_path: Path) -> None:
    file = tmp_path / "build.yaml"
    file.write_text("input: 64x64x1\nclock_mhz: 1e2\ntarget_fps: 30\nboard: Pynq-Z1 # ours\n")
    assert read_config(file, {"target_fps": 60.0, "until": None}) == BuildConfig(
        input="64x64x1", clock_mhz=100.0, target_fps=60.0, board="pynq-z1"
    )


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), -1.0, 0.0, 1e308, 10**5000], ids=brief
)
@pytest.mark.parametrize("option", ["clock_mhz", "target_fps", "target_cycles"])
def test_numbers_out_of_range_are_refused(option: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"build options: {option}: found ") as caught:
        read_config(None, {option: value})
    assert len(str(caught.value)) < 200


def test_the_least_and_most_make_a_target() -> None:
    for clock in (1e-3, 1e4):
        for fps in (1e-3, 1e9):
            config = read_config(None, {"clock_mhz": clock, "target_fps": fps})
            assert 1 <= config.cycles(8, 8) <= 10**13


@pytest.mark.parametrize(
    "size",
    ["0x0x0", "1e9x1x1", "-1x4x1", "4x4", "4x4x2", "4x4x1x1", "", "x", f"{DIGITS}x4x1",
     f"{MOST_SIDE + 1}x1x1", f"1x{MOST_SIDE + 1}x1", "4.0x4x1", "nanx4x1", "4x4x1\n"],
)  # fmt: skip
def test_sizes_that_cannot_be_are_refused(size: str) -> None:
    with pytest.raises(UsageError, match="--input: found ") as caught:
        parse_size(size)
    assert len(str(caught.value)) < 200


def test_sizes_are_read() -> None:
    assert parse_size("4096x1x3") == (MOST_SIDE, 1, 3)
    assert parse_size("64X32x1") == (64, 32, 1)


def test_long_values_are_cut_in_messages() -> None:
    assert brief("a" * 100) == "'" + "a" * 59 + "... (102 characters)"
    assert brief(10**5000) == "a number of thousands of digits"
    assert one_line(f"found {DIGITS}\n  here") == f"found {'9' * 20}... (5,000 digits) here"
    assert one_line("a  b: no such file") == "a  b: no such file"
