# SPDX-License-Identifier: Apache-2.0
"""The documents build as a site without a warning, and read in short sentences."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MOST_WORDS = 35
"""Longest sentence of a document."""
DOCUMENTS = sorted(
    [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
    + [
        f
        for room in ("hw", "quant", "models", "flows", "sim")
        for f in ROOT.glob(f"{room}/**/*.md")
    ]
)
FENCED = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)
ITEM = re.compile(r"\n\s*(?:[*+-]|\d+\.)\s+")
END = re.compile(r"(?<=[.!?:;])\s+")


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a Markdown text: no code, no table, no heading."""
    for paragraph in re.split(r"\n\s*\n", FENCED.sub("", text)):
        lines = paragraph.split("\n")
        if all(line.startswith("    ") or not line.strip() for line in lines):
            continue
        prose = [ln for ln in lines if not ln.lstrip().startswith(("|", "#", "!!!", ":::", "<!--"))]
        for item in ITEM.split("\n".join(["", *prose])):
            yield from END.split(" ".join(item.split()))


def test_sentences_are_found() -> None:
    prose = "# No\n\nOne two. Three:\nfour\n\n* five six\n* seven\n\n"
    text = prose + "| no | no |\n\n    no\n\n```\nno\n```\n"
    assert [s for s in sentences(text) if s] == ["One two.", "Three:", "four", "five six", "seven"]


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda f: str(f.relative_to(ROOT)))
def test_no_sentence_is_long(file: Path) -> None:
    long = [s for s in sentences(file.read_text(encoding="utf-8")) if len(s.split()) > MOST_WORDS]
    assert not long, f"{len(long)} sentences above {MOST_WORDS} words: {long}"


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    page = (tmp_path / "site/03_reference/api.html").read_text(encoding="utf-8")
    # A function of the API without its docstring would be a page of names.
    for name in ("build", "compare", "train"):
        assert f'id="andpop.flows.api.{name}"' in page
    assert "Raises" in page
