# SPDX-License-Identifier: Apache-2.0
"""Every layout: pictures are told from masks, what names no class is refused, junk is passed by."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from andpop.quant.data import LAYOUTS, choose_pictures, mask_of, picture_of
from andpop.quant.data.layout import DatasetError
from andpop.quant.folders import FolderError, Folders
from andpop.quant.pictures import PictureError, list_pictures
from andpop.quant.samples.found import find_samples
from andpop.quant.samples.pairs import find_pairs, read_pair
from PIL import Image

Make = Callable[[Path], None]


def put(path: Path, pixels: npt.NDArray[np.uint8] | int = 100) -> Path:
    """Write a picture, by default of 12x10 grey pixels of noise around a value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(pixels, int):
        noise = np.random.default_rng(pixels).integers(-20, 20, (12, 10))
        pixels = np.clip(noise + pixels, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def mask(value: int) -> npt.NDArray[np.uint8]:
    pixels = np.zeros((12, 10), dtype=np.uint8)
    pixels[3:6, 2:5] = value
    return pixels


def magnetic_tile(root: Path) -> None:
    for n, kind in enumerate(("Free", "Crack", "Fray")):
        put(root / f"MT_{kind}/Imgs/exp1_num_{n}.jpg")
        put(root / f"MT_{kind}/Imgs/exp1_num_{n}.png", mask(255 * (n > 0)))


def kolektor_sdd(root: Path) -> None:
    """Masks as distributed: 8 bits with 0 and 1, one with 2."""
    for n, value in enumerate((0, 1, 2)):
        put(root / f"kos0{n}/Part{n}.jpg")
        put(root / f"kos0{n}/Part{n}_label.bmp", mask(value))


def kolektor_sdd2(root: Path) -> None:
    for n, (subset, value) in enumerate((("train", 0), ("train", 255), ("test", 255))):
        put(root / subset / f"1000{n}.png")
        put(root / subset / f"1000{n}_GT.png", mask(value))


def dagm(root: Path) -> None:
    put(root / "Class1/Train/0001.PNG")
    put(root / "Class1/Test/0002.PNG")
    put(root / "Class2/Test/0003.PNG")
    put(root / "Class2/Test/Label/0003_label.PNG", mask(255))


def mvtec_ad(root: Path) -> None:
    put(root / "train/good/000.png")
    put(root / "test/good/000.png")
    put(root / "test/crack/000.png")
    put(root / "ground_truth/crack/000_mask.png", mask(255))


def sd_saliency(root: Path) -> None:
    for name in ("In_1", "In_2", "Sc_1"):
        put(root / f"Source Images/{name}.bmp")
        put(root / f"Ground truth/{name}.png", mask(255))


def images_and_masks(root: Path) -> None:
    for n in range(3):
        put(root / f"images/frame_{n}.jpg")
        put(root / f"masks/frame_{n}_mask.png", mask(255 * (n % 2)))


SETS: dict[str, tuple[Make, str, list[str], int]] = {
    "magnetic-tile": (magnetic_tile, "magnetic-tile", ["Crack", "Fray", "Free"], 2),
    "kolektor-sdd": (kolektor_sdd, "kolektor-sdd", ["defect", "good"], 2),
    "kolektor-sdd2": (kolektor_sdd2, "kolektor-sdd2", ["defect", "good"], 2),
    "dagm": (dagm, "dagm", ["defect", "good"], 1),
    "mvtec-ad": (mvtec_ad, "mvtec-ad", ["crack", "good"], 1),
    "sd-saliency-900": (sd_saliency, "mask-folder", ["In", "Sc"], 3),
    "images and masks": (images_and_masks, "mask-folder", ["defect", "good"], 1),
}
"""Every one has three pictures; layout, classes, and pictures with a defect in their mask."""


@pytest.mark.parametrize("name", SETS)
def test_three_pictures_are_three_for_every_question(tmp_path: Path, name: str) -> None:
    make, layout, classes, defects = SETS[name]
    make(tmp_path)
    dataset = find_samples(tmp_path)
    assert (dataset.layout, list(dataset.classes)) == (layout, classes)
    assert len(dataset.samples) == 3
    chosen, notes = choose_pictures(tmp_path)
    assert chosen == [sample.path for sample in dataset.samples]
    files = list_pictures(tmp_path)
    if len(files) > 3:
        assert notes[0].startswith(f"{len(files) - 3} of {len(files)} files are masks of pictures")
    pairs = find_pairs(tmp_path).samples
    assert sum(bool(read_pair(sample, 1)[1].any()) for sample in pairs) == defects
    for sample in pairs:
        known = mask_of(sample.path, Folders())
        assert (known and (known.mask, known.mask_above)) == (
            sample.mask and (sample.mask, sample.mask_above)
        )
        if sample.mask is not None:
            assert picture_of(sample.mask, Folders()) == sample.path


@pytest.mark.parametrize("name", SETS)
def test_a_part_of_a_set_tells_masks_as_well(tmp_path: Path, name: str) -> None:
    """Each folder that holds pictures, given alone, also as the current folder."""
    SETS[name][0](tmp_path)
    pictures = {sample.path for sample in find_samples(tmp_path).samples}
    for folder in {path.parent for path in list_pictures(tmp_path)}:
        expected = sorted(path.name for path in pictures if path.is_relative_to(folder))
        if not expected:
            with pytest.raises(PictureError, match="found masks alone"):
                choose_pictures(folder)
            continue
        assert sorted(path.name for path in choose_pictures(folder)[0]) == expected
        before = Path.cwd()
        os.chdir(folder)
        try:
            assert sorted(path.name for path in choose_pictures(Path())[0]) == expected
        finally:
            os.chdir(before)


@pytest.mark.parametrize("name", SETS)
def test_what_systems_leave_behind_is_passed_by(tmp_path: Path, name: str) -> None:
    SETS[name][0](tmp_path)
    before = find_samples(tmp_path)
    for path in list(tmp_path.rglob("*")):
        if path.is_file():
            path.with_name(f"._{path.name}").write_bytes(b"\0\5\26\7")
            for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
                path.with_name(name).write_bytes(b"junk")
    for junk in ("__MACOSX/MT_Free/Imgs", "@eaDir/good", ".git", "$RECYCLE.BIN"):
        put(tmp_path / junk / "a.png")
        put(tmp_path / junk / "a.jpg")
    assert find_samples(tmp_path) == before
    assert choose_pictures(tmp_path)[0] == [sample.path for sample in before.samples]


def test_masks_in_upper_case_are_found(tmp_path: Path) -> None:
    put(tmp_path / "MT_Crack/Imgs/a.JPG")
    put(tmp_path / "MT_Crack/Imgs/a.PNG", mask(255))
    put(tmp_path / "kos01/Part0.JPG")
    Image.fromarray(mask(1)).save(tmp_path / "kos01/Part0_label.BMP")
    chosen, _ = choose_pictures(tmp_path)
    assert [path.name for path in chosen] == ["a.JPG", "Part0.JPG"]
    (sample,) = find_pairs(tmp_path).samples
    assert sample.mask == tmp_path / "MT_Crack/Imgs/a.PNG"


def test_a_single_file_is_what_it_is_asked_to_be(tmp_path: Path) -> None:
    kolektor_sdd(tmp_path)
    path = tmp_path / "kos01/Part1_label.bmp"
    assert choose_pictures(path) == (
        [path],
        ["Part1_label.bmp is the mask of Part1.jpg, taken for a picture here"],
    )


def test_two_pictures_of_one_name_are_two(tmp_path: Path) -> None:
    """A .png beside a .jpg is a mask where it looks like one, not by its name."""
    for kind in ("good", "bad"):
        put(tmp_path / kind / "a.jpg")
        put(tmp_path / kind / "a.png", 150)
        put(tmp_path / kind / "b.jpg")
        put(tmp_path / kind / "b.png", mask(255))
        put(tmp_path / kind / "c.jpg")
        put(tmp_path / kind / "c_mask.png", mask(255))
        put(tmp_path / kind / "d.png")
        put(tmp_path / kind / "d_label.png", 120)
    names = ["a.jpg", "a.png", "b.jpg", "c.jpg", "d.png", "d_label.png"]
    assert [path.name for path in choose_pictures(tmp_path)[0]] == names * 2
    assert [sample.path.name for sample in find_samples(tmp_path).samples] == names * 2
    found = {
        name: known and known.mask and known.mask.name
        for name in names
        for known in [mask_of(tmp_path / "good" / name, Folders())]
    }
    assert found == dict.fromkeys(names) | {"b.jpg": "b.png", "c.jpg": "c_mask.png"}


def yolo(root: Path) -> None:
    for part in ("train", "val"):
        put(root / f"images/{part}/crazing_1.jpg")
        put(root / f"images/{part}/patches_1.jpg")
        (root / f"labels/{part}").mkdir(parents=True)
        (root / f"labels/{part}/crazing_1.txt").write_text("0 0.5 0.5 0.1 0.1\n")


def yolo_inside(root: Path) -> None:
    for part in ("train", "valid", "test"):
        put(root / part / "images/crazing_1.jpg")
        put(root / part / "images/patches_1.jpg")
        (root / part / "labels").mkdir()
        (root / part / "labels/crazing_1.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    (root / "data.yaml").write_text("nc: 2\n")


def yolo_flat(root: Path) -> None:
    for part in ("train", "val"):
        put(root / part / "a.jpg")
        (root / part / "a.txt").write_text("0 0.5 0.5 0.1 0.1\n")


def yolo_undivided(root: Path) -> None:
    for name in ("crazing_1", "patches_1"):
        put(root / f"images/{name}.jpg")
    (root / "labels").mkdir()
    (root / "labels/crazing_1.txt").write_text("0 0.5 0.5 0.1 0.1\n")


def coco(root: Path) -> None:
    for part in ("train2017", "val2017"):
        put(root / part / "000000001.jpg")
    (root / "annotations").mkdir()
    (root / "annotations/instances_train2017.json").write_text("{}")


def image_folder(root: Path) -> None:
    for part in ("train", "test"):
        for kind in ("good", "bad"):
            put(root / part / kind / "a.png")


def parts_by_other_names(root: Path) -> None:
    for part in ("train_images", "test_images"):
        put(root / part / "a.jpg")


def darknet(root: Path) -> None:
    for part in ("obj_train_data", "obj_Test2"):
        put(root / part / "a.jpg")


def parts_with_masks(root: Path) -> None:
    for part in ("train", "test"):
        put(root / part / "images/a.jpg")
        put(root / part / "masks/a.png", mask(255))


def rail(root: Path) -> None:
    """RSDDs: folders that are none of the known names for pictures and masks."""
    put(root / "Rail surface images/rail_1.jpg")
    put(root / "GroundTruth/rail_1.jpg", mask(255))


def masks_of_0_and_1(root: Path) -> None:
    for n in range(2):
        put(root / f"images/{n}.jpg")
        put(root / f"masks/{n}.png", mask(n))


VOC = "<annotation><object><name>{}</name><bndbox>{}</bndbox></object></annotation>"
BOX = "<xmin>1</xmin><ymin>1</ymin><xmax>3</xmax><ymax>3</ymax>"


def boxes(root: Path, *names: tuple[str, str]) -> None:
    (root / "annotations").mkdir(parents=True)
    for name, kind in names:
        put(root / f"images/{name}.jpg")
        (root / f"annotations/{name}.xml").write_text(VOC.format(kind, BOX))


def names_of_cameras(root: Path) -> None:
    boxes(root, ("IMG_1", "crack"), ("DSC_1", "hole"))


def coco_flat(root: Path) -> None:
    for name in ("img_1", "cam_1"):
        put(root / f"images/{name}.jpg")
    (root / "annotations").mkdir()
    (root / "annotations/instances.json").write_text("{}")


def wrapped(root: Path) -> None:
    for kind in ("good", "bad"):
        put(root / "archive/set" / kind / "a.png")


def divided_neu_det(root: Path) -> None:
    for part in ("train", "validation"):
        for kind in ("crazing", "patches"):
            put(root / f"{part}/images/{kind}/{kind}_1.jpg")
            (root / f"{part}/annotations").mkdir(exist_ok=True)


def among_classes(root: Path) -> None:
    for kind in ("good", "bad", "Test"):
        put(root / kind / "a.png")


def nested(root: Path) -> None:
    put(root / "good/a.png")
    put(root / "good/monday/b.png")
    put(root / "bad/a.png")


def rooms(root: Path) -> None:
    put(root / "labels/a.png")
    put(root / "other/b.png")


REFUSED: list[tuple[Make, str]] = [
    (yolo, "found images/train, images/val, the parts of a divided set"),
    (yolo_inside, "found test, train, valid, the parts of a divided set"),
    (yolo_flat, "found train, val, the parts of a divided set"),
    (yolo_undivided, "labels: found boxes as YOLO has them"),
    (coco, "found train2017, val2017, the parts of a divided set"),
    (image_folder, "found a set divided into test, train, .* give one part of it"),
    (divided_neu_det, "found a set divided into train, validation, .* give one part of it"),
    (among_classes, "found Test, the parts of a divided set"),
    (nested, "good/monday: found pictures below a class's folder"),
    (parts_by_other_names, "found test_images, train_images, the parts of a divided set"),
    (darknet, "found obj_Test2, obj_train_data, the parts of a divided set"),
    (parts_with_masks, "found a set divided into test, train, .* give one part of it"),
    (rail, "GroundTruth: found a folder of that name among classes"),
    (masks_of_0_and_1, "masks/1.png: found 1 as the mask's largest value"),
    (names_of_cameras, "begin with DSC, IMG, but boxes of crack, hole, expected"),
    (coco_flat, "annotations: found boxes as COCO has them"),
    (wrapped, "but a data set below; give its folder: .*/archive/set$"),
    (rooms, "labels: found a folder of that name among classes"),
]


@pytest.mark.parametrize(
    ("make", "message"), REFUSED, ids=lambda value: getattr(value, "__name__", "")
)
def test_what_names_no_class_is_refused_in_one_line(
    tmp_path: Path, make: Make, message: str
) -> None:
    make(tmp_path)
    with pytest.raises(DatasetError, match=message) as caught:
        find_samples(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_part_of_a_divided_set_is_taken(tmp_path: Path) -> None:
    image_folder(tmp_path / "a")
    assert find_samples(tmp_path / "a/train").classes == ("bad", "good")
    divided_neu_det(tmp_path / "b")
    assert find_samples(tmp_path / "b/train").classes == ("crazing", "patches")


def test_classes_that_sound_like_parts_are_classes(tmp_path: Path) -> None:
    for kind in ("good", "train_wheel", "test_failed", "label", "mask"):
        put(tmp_path / kind / "a.png")
    assert len(find_samples(tmp_path).classes) == 5


def test_names_agree_with_boxes_where_one_does(tmp_path: Path) -> None:
    """A picture may show several defects, and a name may be short."""
    boxes(tmp_path, ("In_1", "inclusion"), ("RS_1", "rolled-in_scale"), ("Sc_1", "patches"))
    assert find_samples(tmp_path).classes == ("In", "RS", "Sc")


def test_names_of_neu_cls_are_classes_in_any_folder(tmp_path: Path) -> None:
    for name in ("Cr_1", "rolled-in_scale_2"):
        put(tmp_path / f"{name}.bmp")
    assert find_samples(tmp_path).classes == ("Cr", "rolled-in_scale")
    put(tmp_path / "IMG_3.bmp")
    with pytest.raises(DatasetError, match="found no labelled pictures"):
        find_samples(tmp_path)


def test_boxes_beside_classes_are_passed_by(tmp_path: Path) -> None:
    """GC10-DET has ten folders of pictures and one of boxes, called lable."""
    for kind in ("1", "2"):
        put(tmp_path / kind / "a.jpg")
    (tmp_path / "lable").mkdir()
    with pytest.raises(DatasetError, match="lable: found no pictures of this class"):
        find_samples(tmp_path)
    (tmp_path / "lable/a.xml").write_text("<annotation>")
    assert find_samples(tmp_path).classes == ("1", "2")
    (tmp_path / "lable/a.txt").touch()
    with pytest.raises(DatasetError, match="lable: found no pictures of this class"):
        find_samples(tmp_path)


@pytest.mark.parametrize("place", ["bad/masks", "bad_masks", "bad_GT", "masks/bad"])
@pytest.mark.parametrize("end", ["", "_mask", "_SEG"])
def test_masks_in_a_folder_of_their_own_are_no_class(tmp_path: Path, place: str, end: str) -> None:
    put(tmp_path / "good/a.png")
    for name in ("a", "b"):
        put(tmp_path / f"bad/{name}.jpg")
        put(tmp_path / f"{place}/{name}{end}.png", mask(255))
    dataset = find_samples(tmp_path)
    assert (dataset.classes, len(dataset.samples)) == (("bad", "good"), 3)
    assert len(choose_pictures(tmp_path)[0]) == 3
    known = mask_of(tmp_path / "bad/b.jpg", Folders())
    assert known is not None and known.mask == tmp_path / f"{place}/b{end}.png"
    put(tmp_path / f"{place}/b{end}.png")  # grey: a picture
    assert len(choose_pictures(tmp_path)[0]) == 4


def test_a_mask_in_a_sibling_folder_may_end_as_beside_its_picture(tmp_path: Path) -> None:
    for name, end in (("a", "_seg"), ("b", "_GT"), ("c", "_Mask")):
        put(tmp_path / f"images/{name}.jpg")
        put(tmp_path / f"masks/{name}{end}.tif", mask(255))
    assert [s.mask is not None for s in find_pairs(tmp_path).samples] == [True] * 3
    assert len(choose_pictures(tmp_path)[0]) == 3


def test_masks_of_mvtec_may_have_the_pictures_name(tmp_path: Path) -> None:
    """BTAD has the folders of MVTec AD, BMP pictures and PNG masks of the same names."""
    put(tmp_path / "train/ok/0000.bmp")
    for kind in ("ok", "ko"):
        put(tmp_path / f"test/{kind}/0001.bmp")
    put(tmp_path / "ground_truth/ko/0001.png", mask(255))
    assert sum(s.mask is not None for s in find_pairs(tmp_path).samples) == 1
    assert len(choose_pictures(tmp_path)[0]) == 3
    put(tmp_path / "test/ko/0002.bmp")
    with pytest.raises(DatasetError, match="ko/0002.bmp: found no mask"):
        find_pairs(tmp_path)


def test_one_texture_of_dagm_is_a_set(tmp_path: Path) -> None:
    dagm(tmp_path)
    dataset = find_samples(tmp_path / "Class2")
    assert (dataset.classes, [s.group for s in dataset.samples]) == (("defect",), ["Class2"])


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    real = put(tmp_path / "store/a.png")
    root = tmp_path / "root"
    for kind in ("good", "bad"):
        put(root / kind / "a.png")
        (root / kind / "b.png").symlink_to(real)
    (root / "good/circle").symlink_to(root)
    (root / "circle").symlink_to(root)
    (root / "ugly").symlink_to(tmp_path / "store")
    assert len(list_pictures(root)) == 5
    assert [len([s for s in find_samples(root).samples if s.label == i]) for i in range(3)] == [
        2, 2, 1,
    ]  # fmt: skip
    (root / "bad/c.png").symlink_to(tmp_path / "absent.png")
    for ask in (list_pictures, find_samples):
        with pytest.raises(FolderError, match="c.png: found a link that leads to no file"):
            ask(root)


def test_a_missing_mask_is_named_by_every_layout(tmp_path: Path) -> None:
    for name, (make, layout, _, _) in SETS.items():
        (masks,) = (entry.masks for entry in LAYOUTS if entry.name == layout)
        if masks != "every":
            continue
        root = tmp_path / name
        make(root)
        sample = find_samples(root).samples[1]
        assert sample.mask is not None
        sample.mask.unlink()
        with pytest.raises(DatasetError, match=f"{sample.path.name}: found no mask, expected"):
            find_pairs(root)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "layout", "count", "masks"),
    [
        ("dagm-class1", "dagm", 150, 50),
        ("kolektor-sdd", "kolektor-sdd", 153, 153),
        ("magnetic-tile", "magnetic-tile", 1076, 1076),
        ("neu-det", "neu-det", 1440, 0),
        ("sd-saliency-900", "mask-folder", 720, 720),
    ],
)
def test_real_sets(andpop_data: Path, name: str, layout: str, count: int, masks: int) -> None:
    dataset = find_samples(andpop_data / name)
    assert (dataset.layout, len(dataset.samples)) == (layout, count)
    assert sum(sample.mask is not None for sample in dataset.samples) == masks
    assert choose_pictures(andpop_data / name)[0] == [sample.path for sample in dataset.samples]


def test_a_file_is_taken_where_its_folder_may_not_be_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may enter a folder but not list it; root may do both, so the error is raised here."""
    path = put(tmp_path / "images/a.png")

    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert choose_pictures(path) == ([path], [])
    with pytest.raises(PermissionError):
        choose_pictures(path.parent)
