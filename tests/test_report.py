# SPDX-License-Identifier: Apache-2.0
"""The report of a build: one self-contained page that names the slowest node."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from andpop.flows.report import CHART_NODES, cycles_chart, picture_uri, write_report
from andpop.quant.tasks.masks import Masks
from andpop.quant.tasks.task import Output


def nodes(count: int, slowest: int) -> list[dict[str, Any]]:
    """Equally fast nodes but for one."""
    return [
        {"name": f"node_{i}", "op": "XnorMvu", "cycles": 900 if i == slowest else 800}
        for i in range(count)
    ]


def row(picture: str, text: str, **panels: str) -> dict[str, Any]:
    """A picture of a report, panels by title."""
    shown = [{"title": title, "uri": uri} for title, uri in panels.items()]
    return {"picture": picture, "text": text, "panels": shown}


@pytest.fixture
def report() -> dict[str, Any]:
    picture = np.arange(32 * 32, dtype=np.int64).reshape(32, 32, 1).astype(np.uint8)
    return {
        "network": "bi-shufflenet",
        "task": "classification",
        "input": [64, 64, 1],
        "source": "<script>alert(1)</script>.safetensors",
        "source_sha256": "0123456789abcdef" * 4,
        "board": "pynq-z2",
        "clock_mhz": 100.0,
        "cycles": {
            "nodes": nodes(60, 59),
            "slowest": {"name": "node_59", "cycles": 900},
            "fps": 111111.1,
        },
        "implementations": [
            {"name": "pa_1", "implementation": "coded", "luts": {"literal": 4321, "coded": 1234}},
            {"name": "up_1", "implementation": "serial", "luts": {"serial": 321, "addsub": 432}},
        ],
        "fit": {
            "board": "pynq-z2",
            "fits": True,
            "resources": [
                {
                    "resource": "lut",
                    "called": "LUTs",
                    "used": 5320,
                    "allowed": 39900,
                    "have": 53200,
                },
                {"resource": "dsp", "called": "DSPs", "used": 220, "allowed": 198, "have": 220},
            ],
            "nodes": [{"name": "up_1", "op": "XnorMvu", "lut": 5319, "dsp": 7}],
            "moves": [{"node": "up_1", "attribute": "rom", "value": "lut"}],
            "notes": [],
        },
        "fifos": [
            {"name": f"fifo_{i}", "width": 8, "depth": 2 + i, "peak": 1 + i, "bits": 16 + 8 * i}
            for i in range(30)
        ],
        "skips": [],
        "versions": {"andpop": "0.1.0", "torch": "missing"},
        "commands": ["andpop build model.safetensors --out BUILD"],
        "trained": {
            "accuracy": 0.99,
            "dice": None,
            "validation_pictures": 288,
            "input": [128, 128, 1],
        },
        "synthetic": True,
        "backends": [
            {
                "backend": "rtl",
                "pictures": 1,
                "layers": 60,
                "layers_total": 63,
                "not_covered": [
                    {"kind": "windows", "reason": "they <b>hide</b>", "layers": ["x", "y"]},
                    {"kind": "picture", "reason": "they <b>hide</b>", "layers": ["p"]},
                ],
                "values_compared": 123456,
                "values_differing": 0,
                "seconds": 1.5,
            }
        ],
        "predictions": [row("a", "patches", input=picture_uri(picture))],
        "simulation": {"cycles_per_frame": 5000, "interval": 900, "sim_cycles_per_second": 1e5},
    }


def test_chart_holds_the_slowest_of_many_nodes() -> None:
    """It may be the last of more equals than the chart has room for."""
    chart = cycles_chart(nodes(60, 59))
    assert "node_59" in chart
    assert len(set(re.findall(r"node_\d+", chart))) == CHART_NODES


def test_page_says_what_was_found(report: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(path, report)
    page = path.read_text(encoding="utf-8")
    for text in (
        "0 differing of 123,456 values compared",
        "<td>60 of 63</td>",
        "<li>rtl: windows (2), picture (1); they &lt;b&gt;hide&lt;/b&gt;</li>",
        "Slowest node: <b>node_59</b> with 900 cycles",
        "99.00 % of 288 validation pictures",
        "No accuracy is claimed at 64x64x1",
        "Synthetic steel surfaces",
        "<b>patches</b>",
        "<td>up_1</td><td>-</td><td>-</td><td><b>321</b></td><td>432</td>",
        "<td>LUTs</td><td>5,320</td><td>53,200</td><td>10 %</td><td>39,900</td>",
        "<td>up_1</td><td>XnorMvu</td><td>5,319</td><td>7</td>",
        "<td>up_1</td><td>rom</td><td>lut</td>",
        "fits in its share of the board",
        "fifo_29",
        "andpop build model.safetensors --out BUILD",
    ):
        assert text in page
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_masks_are_shown_beside_the_truth(report: dict[str, Any], tmp_path: Path) -> None:
    mask = picture_uri(np.full((8, 8, 1), 255, dtype=np.uint8))
    found = np.zeros((1, 617, 8), dtype=np.int64)
    found.flat[:1234] = 1
    outputs = {"mask": Output("class_map", found)}
    (new,) = Masks().report_rows(outputs, [], ["new"], np.zeros((1, 617, 8, 1), np.uint8))
    assert [title for title, _ in new.panels] == ["input", "mask"]
    report["task"] = "masks"
    report["predictions"] = [
        row("known", new.text, input=mask, truth=mask, mask=mask, difference=mask),
        row("new", new.text, input=mask, mask=mask),
    ]
    report["trained"]["dice"] = 0.5
    report["skips"] = [
        {"edge": "up_2 skip", "depth": 77, "bits": 1232, "bound_bits": 1200, "map_bits": 65536}
    ]
    write_report(tmp_path / "report.html", report)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    titles = re.findall(r'alt="(\w+) of (\w+)"', page)
    assert titles == [
        ("input", "known"),
        ("truth", "known"),
        ("mask", "known"),
        ("difference", "known"),
        ("input", "new"),
        ("mask", "new"),
    ]
    for text in (
        "1,234 defect pixels, 25.00 %",
        "99.00 % of the pixels of 288 validation pictures right at 128x128x1, with a Dice "
        "coefficient of 0.5000.",
        "cycles from first pixel to last of the mask",
        "<td>up_2 skip</td><td>77</td><td>1,232</td><td>1,200</td><td>65,536</td>",
    ):
        assert text in page


def test_page_needs_no_other_file_and_runs_no_code(report: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(path, report)
    page = path.read_text(encoding="utf-8")
    assert "<script" not in page
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)


def test_report_is_the_same_twice(report: dict[str, Any], tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        write_report(tmp_path / name, json.loads(json.dumps(report)))
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
