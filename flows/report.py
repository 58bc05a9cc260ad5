# SPDX-License-Identifier: Apache-2.0
"""report.html: one self-contained page, written from report.json and nothing else."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt
from PIL import Image

from ..quant import tasks
from ..quant.files import replace_file
from ..quant.names import printable
from .compare import gap_lines

ACCENT, QUIET = "#c2410c", "#7b8794"
CHART_NODES = 40
"""Most bars in the chart of cycles."""


def picture_uri(picture: npt.NDArray[np.uint8], side: int = 160) -> str:
    """Return a (H, W, C) picture as a data URI, enlarged without smoothing."""
    # Channels that are no colours lie beside one another.
    colours = picture.shape[-1] == 3
    image = Image.fromarray(picture if colours else picture.reshape(len(picture), -1))
    scale = max(1, side // max(image.size))
    image = image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def cycles_chart(nodes: list[dict[str, Any]], most: int = CHART_NODES) -> str:
    """Return an SVG bar chart of stated cycles per frame, the slowest node named and coloured.

    With more than ``most`` nodes the slowest ``most`` are drawn, in graph order.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    slowest = max(nodes, key=lambda n: n["cycles"])
    by_cycles = sorted(range(len(nodes)), key=lambda i: -nodes[i]["cycles"])
    shown = [nodes[i] for i in sorted(by_cycles[:most])]
    with matplotlib.rc_context({"svg.hashsalt": "andpop", "svg.fonttype": "none"}):
        figure = Figure(figsize=(9, 0.22 * len(shown) + 0.8), layout="constrained")
        axes = figure.subplots()
        colours = [ACCENT if n is slowest else QUIET for n in shown]
        positions = range(len(shown))
        axes.barh(positions, [n["cycles"] for n in shown], color=colours, height=0.75)
        # A dollar in a node's name is no formula.
        names = [printable(n["name"]) for n in shown]
        axes.set_yticks(positions, names, fontsize=7, parse_math=False)
        axes.invert_yaxis()
        axes.margins(y=0.01)
        axes.set_xlabel("cycles per frame, as stated by each node", fontsize=8)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.tick_params(axis="x", labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        buffer = io.StringIO()
        figure.savefig(
            buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type"))
        )
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]


def _shown(value: Any) -> Any:
    """Names as text that a page can hold; what is a page's own part stays."""
    return printable(value) if type(value) is str else value


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Write the page for ``report`` (the content of report.json) to ``path``, atomically."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
    )
    environment.filters["thousands"] = lambda v: f"{v:,}" if isinstance(v, int) else v
    environment.filters["gap_lines"] = gap_lines
    chart = cycles_chart(report["cycles"]["nodes"])
    largest = sorted(report["fifos"], key=lambda f: -f["bits"])[:10]
    ways = dict.fromkeys(way for row in report["implementations"] for way in row["luts"])
    page = environment.get_template("report.html.jinja").render(
        report=report,
        task=tasks.named(report["task"]) if report["task"] else None,
        chart=chart,
        largest=largest,
        drawn=CHART_NODES,
        ways=list(ways),
    )
    replace_file(path, page.encode())
