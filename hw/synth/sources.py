# SPDX-License-Identifier: Apache-2.0
"""Which source files a module needs, found by the names in them."""

from __future__ import annotations

import re
from collections.abc import Mapping

DEFINITION = re.compile(r"^\s*(?:module|package)\s+(\w+)", re.M)
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)


class Sources:
    """A set of source texts by file name, in compile order."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = texts
        bare = {name: COMMENT.sub("", text) for name, text in texts.items()}
        self._defined = {
            word: name for name, text in bare.items() for word in DEFINITION.findall(text)
        }
        self._words = {
            name: set(re.findall(r"\w+", text)) & self._defined.keys()
            for name, text in bare.items()
        }

    def needed(self, top: str) -> list[str]:
        """Names of the files of module ``top`` and of everything below it, in compile order.

        Raises:
            ValueError: no file defines ``top``.
        """
        if top not in self._defined:
            raise ValueError(f"module {top} is not defined in any of the {len(self.texts)} sources")
        found: set[str] = set()
        words = {top}
        while words:
            name = self._defined[words.pop()]
            if name not in found:
                found.add(name)
                words |= self._words[name]
        return [name for name in self.texts if name in found]
