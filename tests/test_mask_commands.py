# SPDX-License-Identifier: Apache-2.0
"""Commands on networks of masks: PNG and overlays, equal figures, a report, one line for bad input.

The network is small and untrained, its masks are noise: every backend must give the same noise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from andpop.flows import api
from andpop.flows.errors import BAD_INPUT, OK
from andpop.flows.facts import reflection
from andpop.models.build import build, save_network
from andpop.quant.blocks.kbit_activation import KbitActivation
from andpop.quant.checkpoint import Card, InputSize
from andpop.quant.synthetic import generate_masked
from andpop.quant.tasks.overlays import MASK, OVERLAY, TINT
from andpop.quant.tasks.pixels import FIGURES
from PIL import Image
from program import Run
from safetensors.numpy import load_file, save_file

HEIGHT, WIDTH = 20, 24
PICTURES = 8


def refused(answer: tuple[int, str, str]) -> str:
    """The message of a refused input, which must be a single line."""
    code, _, err = answer
    (line,) = (line for line in err.splitlines() if line.startswith("andpop: "))
    assert code == BAD_INPUT and "Traceback" not in err
    return line


def save(path: Path, *, frozen: bool = True, **switches: Any) -> Path:
    """Write a small U-BiNet whose activations are spread over their levels."""
    config = {"base": 2, "depth": 3, **switches}
    torch.manual_seed(1)
    net = build("u-binet", config)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, KbitActivation):
                module.beta.normal_(mean=0.4, std=0.3)
        noise = np.random.default_rng(0).integers(0, 256, (8, 1, HEIGHT, WIDTH))
        for _ in range(3):
            net(torch.from_numpy(noise.astype(np.float32)))
    net.eval()
    if frozen:
        net.freeze()
    card = Card(
        network="u-binet",
        config=config,
        input=InputSize(height=HEIGHT, width=WIDTH, channels=1),
        classes=["background", "defect"],
        frozen=frozen,
    )
    save_network(net, path, card)
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("checkpoint") / "masks.safetensors")


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight synthetic pictures of 40x40 with their masks."""
    folder = tmp_path_factory.mktemp("tiles")
    assert len(generate_masked(folder, per_class=2, size=40, seed=1)) == PICTURES
    return folder


@pytest.fixture(scope="module")
def packed(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build without RTL."""
    folder = tmp_path_factory.mktemp("packed") / "build"
    result = api.build(checkpoint, folder, until="pack")
    assert result["notes"] == [
        "pictures of 20x24 are reflected to 24x24 and their masks cropped back"
    ]
    return folder


def test_export_says_what_happens_to_pictures(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    code, text, said = run("export", checkpoint, "--out", tmp_path / "net.onnx")
    assert code == OK and "nodes" in text
    assert "note: pictures of 20x24 are reflected to 24x24 and their masks cropped back" in said


def test_infer_writes_masks_and_overlays(
    run: Run, checkpoint: Path, tiles: Path, tmp_path: Path
) -> None:
    out = tmp_path / "masks"
    arguments = ("--images", tiles, "--out", out, "--backend", "torch", "--json")
    code, text, _ = run("infer", checkpoint, *arguments)
    result = json.loads(text)
    assert code == OK
    assert result["notes"] == [
        "8 of 16 files are masks of pictures, e.g. synthetic_1.png",
        "8 of 8 pictures resized to 20x24 (bilinear), e.g. synthetic_1.jpg was 40x40",
        "pictures of 20x24 are reflected to 24x24 and their masks cropped back",
    ]
    rows = result["predictions"]
    assert len(rows) == PICTURES and len(list(out.rglob("*.png"))) == 2 * PICTURES
    for row in rows:
        picture = Path(row["picture"])
        inside = picture.relative_to(tiles).with_suffix("")
        assert (
            row["mask"] == f"{out / inside}{MASK}" and row["overlay"] == f"{out / inside}{OVERLAY}"
        )
        with Image.open(row["mask"]) as image:
            mask = np.asarray(image)
        # By nearest pixel: rows and columns at the middles of the network's pixels hold its mask.
        middles = tuple((2 * np.arange(n) + 1) * 40 // (2 * n) for n in (HEIGHT, WIDTH))
        assert mask.shape == (40, 40) and set(np.unique(mask)) == {0, 255}
        assert np.count_nonzero(mask[np.ix_(*middles)]) == row["defect_pixels"] > 0
        assert row["share"] == row["defect_pixels"] / (HEIGHT * WIDTH)
        with Image.open(picture) as image:
            plain = np.asarray(image.convert("RGB")).astype(np.int64)
        with Image.open(row["overlay"]) as image:
            over = np.asarray(image)
        assert np.array_equal(over[mask == 0], plain[mask == 0])
        tinted = (plain[mask > 0] + np.array(TINT) + 1) // 2
        assert np.array_equal(over[mask > 0], tinted)


def test_every_backend_gives_the_same_figures(
    run: Run, packed: Path, checkpoint: Path, tiles: Path
) -> None:
    results = []
    for model, backend in (
        (checkpoint, "torch"),
        (checkpoint, None),
        (packed, None),
        (packed, "torch"),
        (packed, "golden"),
        (packed / "model.andpop", None),
    ):
        chosen = ("--backend", backend) if backend else ()
        code, text, _ = run("eval", model, "--data", tiles, "--json", *chosen)
        assert code == OK
        results.append({k: v for k, v in json.loads(text).items() if k != "seconds"})
    assert all(result == results[0] for result in results)
    assert set(FIGURES) < set(results[0])
    assert sum(results[0]["pixels"].values()) == PICTURES * HEIGHT * WIDTH
    assert 0 < results[0]["dice"] < 1


def test_infer_agrees_and_prints_a_table(run: Run, packed: Path, tiles: Path) -> None:
    found = [
        json.loads(run("infer", packed, "--images", tiles, "--backend", b, "--json")[1])
        for b in ("cpu", "golden", "torch")
    ]
    assert found[0]["predictions"] == found[1]["predictions"] == found[2]["predictions"]
    assert {row["mask"] for row in found[0]["predictions"]} == {None}
    code, text, err = run("infer", packed, "--images", tiles / "MT_Free/Imgs/synthetic_1.jpg")
    (row,) = (
        row for row in found[0]["predictions"] if "MT_Free/Imgs/synthetic_1" in row["picture"]
    )
    assert code == OK
    assert str(row["defect_pixels"]) in text and f"{row['share']:.4f}" in text
    assert "reflected to 24x24" in err


def test_compare_counts_the_mask_as_a_layer(run: Run, packed: Path, tiles: Path) -> None:
    arguments = ("--images", tiles, "--count", 4, "--backends", "torch,golden,cpu", "--json")
    code, text, _ = run("compare", packed, *arguments)
    result = json.loads(text)
    assert code == OK
    assert result["values_differing"] == 0 and result["values_compared"] > 50_000
    for backend in ("torch", "cpu"):
        last = [row for row in result["layers"] if row["backend"] == backend][-1]
        assert last["values_compared"] == 4 * HEIGHT * WIDTH
        assert "LabelSelect" in last["layer"]


def test_masks_of_pa_bases_are_compared_alike(run: Run, tiles: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "pa.safetensors", pa={"m": 4, "n": 5})
    assert run("build", path, "--out", tmp_path / "build", "--until", "pack")[0] == OK
    arguments = ("--images", tiles, "--count", 2, "--backends", "torch,golden,cpu", "--json")
    code, text, _ = run("compare", tmp_path / "build", *arguments)
    result = json.loads(text)
    assert code == OK
    assert result["values_differing"] == 0 and result["values_compared"] > 100_000


def test_classes_have_neither_masks_nor_other_backends(run: Run, tmp_path: Path) -> None:
    Image.new("L", (128, 128), 90).save(tmp_path / "a.png")
    arguments = ("infer", api.DEMO_CHECKPOINT, "--images", tmp_path)
    assert "predicts classes" in refused(run(*arguments, "--backend", "torch"))
    assert "expected a network that predicts masks" in refused(run(*arguments, "--out", tmp_path))


def test_masks_among_the_pictures_are_refused(run: Run, checkpoint: Path, tiles: Path) -> None:
    arguments = ("infer", checkpoint, "--images", tiles, "--out", tiles / "found")
    assert "expected another folder" in refused(run(*arguments))


def test_two_pictures_of_one_name_are_refused(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    for name in ("a.jpg", "a.bmp"):
        Image.new("L", (24, 20), 90).save(tmp_path / name)
    arguments = ("infer", checkpoint, "--images", tmp_path, "--out", tmp_path.parent / "out")
    assert "a.jpg: found a.bmp too" in refused(run(*arguments))


def test_golden_needs_a_build(run: Run, checkpoint: Path, tiles: Path) -> None:
    arguments = ("eval", checkpoint, "--data", tiles, "--backend", "golden")
    assert "needs a build folder" in refused(run(*arguments))


def test_torch_needs_a_checkpoint(run: Run, packed: Path, tiles: Path) -> None:
    arguments = ("infer", packed / "model.andpop", "--images", tiles, "--backend", "torch")
    assert "found no checkpoint" in refused(run(*arguments))


# Networks that never become integers


@pytest.mark.parametrize(
    ("switches", "says"),
    [
        ({"kind": "real"}, "found a real-valued twin (--kind real), which never becomes integers"),
        ({"k": 16}, "found activations of 16 bits, expected 1 to 8 for integers and hardware"),
        ({"k": 4}, "is not frozen, so it has no integers yet; let training finish"),
    ],
)
def test_a_network_without_integers_is_evaluated_in_torch_alone(
    run: Run, tiles: Path, tmp_path: Path, switches: dict[str, Any], says: str
) -> None:
    path = save(tmp_path / "net.safetensors", frozen=False, **switches)
    for command in (
        ("build", path, "--out", tmp_path / "build"),
        ("export", path, "--out", tmp_path / "net.onnx"),
        ("eval", path, "--data", tiles, "--backend", "cpu"),
    ):
        assert says in refused(run(*command))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.json", "net.safetensors"]
    code, text, _ = run("eval", path, "--data", tiles, "--json")
    assert code == OK
    assert sum(json.loads(text)["pixels"].values()) == PICTURES * HEIGHT * WIDTH


def test_wide_activations_are_trained_and_stay_in_torch(
    run: Run, tiles: Path, tmp_path: Path
) -> None:
    path = tmp_path / "net.safetensors"
    stages = ("--real-epochs", 0, "--epochs", 1, "--finetune-epochs", 1, "--threads", 1)
    network = ("--base", 2, "--k", 16, "--input", "20x24x1", "--validation", 0.5)
    code, text, _ = run(
        "train", "u-binet", "--data", tiles, "--out", path, *network, *stages, "--json"
    )
    result = json.loads(text)
    assert code == OK and result["card"]["frozen"] is False
    assert (
        "pictures of 20x24 are reflected to 32x32 and their masks cropped back" in result["notes"]
    )
    assert "found activations of 16 bits" in refused(run("build", path, "--out", tmp_path / "b"))


@pytest.mark.parametrize("command", ["build", "eval"])
def test_nan_in_a_checkpoint_is_named(run: Run, tiles: Path, tmp_path: Path, command: str) -> None:
    path = save(tmp_path / "net.safetensors", frozen=False)
    tensors = load_file(path)
    name = next(n for n in tensors if n.endswith(".beta"))
    tensors[name][1] = np.nan
    save_file(tensors, path)
    option = ("--out", tmp_path / "build") if command == "build" else ("--data", tiles)
    assert f"{name} holds NaN or infinity" in refused(run(command, path, *option))


# Sizes


@pytest.mark.parametrize(("depth", "size"), [(3, (3, 40)), (3, (40, 2)), (4, (5, 16))])
def test_a_size_that_cannot_be_reflected_is_refused_by_torch_too(
    depth: int, size: tuple[int, int]
) -> None:
    net = build("u-binet", {"base": 2, "depth": depth})
    with pytest.raises(ValueError, match="expected sides that can be reflected"):
        net(torch.zeros(1, 1, *size))
    with pytest.raises(ValueError, match="expected sides that can be reflected"):
        reflection("u-binet", {"depth": depth}, *size)


@pytest.mark.parametrize(
    ("size", "said"),
    [((208, 208), []), ((200, 200), ["200x200 are reflected to 208x208"]), ((6, 16), ["to 16x16"])],
)
def test_what_is_reflected_is_said(size: tuple[int, int], said: list[str]) -> None:
    lines = reflection("u-binet", {}, *size)
    assert len(lines) == len(said) and all(s in line for s, line in zip(said, lines, strict=True))
    assert build("u-binet", {"base": 1})(torch.zeros(2, 1, *size)).shape == (2, 2, *size)


def test_commands_refuse_a_size(run: Run, checkpoint: Path, tiles: Path, tmp_path: Path) -> None:
    for command in (
        ("build", checkpoint, "--out", tmp_path / "build"),
        ("export", checkpoint, "--out", tmp_path / "net.onnx"),
        ("train", "u-binet", "--data", tiles, "--out", tmp_path / "net.safetensors"),
    ):
        assert "multiple of" in refused(run(*command, "--input", "3x40x1"))
    assert not list(tmp_path.iterdir())


# Masks


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda p: p.unlink(), "found no mask, expected one as Magnetic Tile"),
        (
            lambda p: Image.new("L", (40, 39), 255).save(p),
            "found a mask of 39x40 pixels, expected 40x40 as synthetic_1.jpg",
        ),
        (
            lambda p: Image.new("L", (40, 40), 1).save(p),
            "largest value, expected defects above 127",
        ),
    ],
)
def test_a_mask_that_cannot_be_used_is_named(
    run: Run, checkpoint: Path, tmp_path: Path, change: Callable[[Path], None], says: str
) -> None:
    generate_masked(tmp_path, per_class=1, size=40, seed=1)
    change(tmp_path / "MT_Patches/Imgs/synthetic_1.png")
    message = refused(run("eval", checkpoint, "--data", tmp_path))
    assert "MT_Patches" in message and says in message


def test_grey_in_masks_is_said(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    generate_masked(tmp_path, per_class=1, size=40, seed=1)
    grey = np.zeros((40, 40), dtype=np.uint8)
    grey[:20] = 128
    grey[20:] = 127
    Image.fromarray(grey).save(tmp_path / "MT_Patches/Imgs/synthetic_1.png")
    code, text, _ = run("eval", checkpoint, "--data", tmp_path, "--json")
    result = json.loads(text)
    assert code == OK
    pixels = result["per_class"]["Patches"]["pixels"]
    assert pixels["tp"] + pixels["fn"] == HEIGHT // 2 * WIDTH
    assert (
        "1 of 4 masks have values between 0 and 255: above 127 is defect, e.g. synthetic_1.png"
        in result["notes"]
    )


@pytest.mark.full
def test_from_pixels_to_masks_in_verilator(
    run: Run, checkpoint: Path, tiles: Path, tmp_path: Path
) -> None:
    """Build, simulate and compare with RTL: no differing value, masks written, a whole report."""
    folder, out = tmp_path / "build", tmp_path / "masks"
    assert run("build", checkpoint, "--out", folder)[0] == OK
    images = ("--images", tiles, "--count", 2)
    code, text, _ = run("simulate", folder, *images, "--out", out, "--json")
    simulated = json.loads(text)
    assert code == OK
    assert simulated["values_differing"] == 0 and simulated["values_compared"] > 40_000
    code, text, _ = run("infer", folder, "--images", tiles, "--out", tmp_path / "cpu", "--json")
    rows = json.loads(text)["predictions"][:2]
    for found, expected in zip(simulated["predictions"], rows, strict=True):
        assert found["defect_pixels"] == expected["defect_pixels"]
        for key in ("mask", "overlay"):
            assert Path(found[key]).read_bytes() == Path(expected[key]).read_bytes()
    code, text, _ = run("compare", folder, *images, "--json")
    compared = json.loads(text)
    assert code == OK
    assert compared["values_differing"] == 0
    assert [b["backend"] for b in compared["backends"]] == ["torch", "cpu", "rtl"]
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert f"0 differing of {compared['values_compared']:,} values compared" in page
    for title in ("input", "truth", "mask", "difference"):
        assert len(re.findall(f'alt="{title} of synthetic_', page)) == 2
    assert "Skip storage" in page and "last of the mask" in page
