# SPDX-License-Identifier: Apache-2.0
"""FINN's own sources that Verilator does not compile, adapted in the copy that is built.

The installed files stay as they are. Each edit belongs to one text, known by its checksum: another
version's text is left alone, with a warning.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path

KNOWN = "finn-plus 1.6.1"


@dataclass(frozen=True)
class Edit:
    """Replacements in the one text that has this SHA-256; each ``old`` stands there once."""

    sha256: str
    replacements: tuple[tuple[str, str], ...]

    def apply(self, text: str) -> str:
        """Return the text with every replacement made."""
        for old, new in self.replacements:
            text = text.replace(old, new)
        return text


LEAF_LOADS = """\
		function leaf_load_t init_leaf_loads();
			automatic leaf_load_t  res;
			for(int unsigned  i = 2*N-1; i-- > N-1;)  res[i] = 1;
			for(int unsigned  i =   N-1; i-- >   0;)  res[i] = res[2*i+1] + res[2*i+2];
			return  res;
		endfunction : init_leaf_loads
"""
LEAF_LOAD_T = "		typedef int unsigned  leaf_load_t[2*N-1];\n"
ADD_MULTI_BODY = "	uwire [SUM_WIDTH-1:0]  sum0;\n"

EDITS = {
    # A function cannot return an unpacked struct while constants are evaluated.
    "fifo.sv": Edit(
        "88ad786a5885c7994c7e2d26e1ef2ffdf688310e941feaa0651332da49ec58c4",
        (("	typedef struct {\n", "	typedef struct packed {\n"),),
    ),
    # Nor an unpacked array, and a constant function stands outside of generate blocks.
    "add_multi.sv": Edit(
        "245c88f80677355afd487f9cb69d71b85c4873eceae5bb828b1dcac43ca71f94",
        (
            (LEAF_LOAD_T + LEAF_LOADS, ""),
            (
                ADD_MULTI_BODY,
                "	typedef bit [2*N-2:0][31:0]  leaf_load_t;\n" + LEAF_LOADS + ADD_MULTI_BODY,
            ),
        ),
    ),
}
"""File name -> what is changed in it."""


def adapt(source: Path, folder: Path) -> Path:
    """Return a source that Verilator compiles: ``source`` itself, or its edited copy.

    Args:
        source: a file of FINN or of anybody else.
        folder: where an edited copy is written; made if needed.
    """
    edit = EDITS.get(source.name)
    if edit is None or not source.is_file():
        return source
    content = source.read_bytes()
    if hashlib.sha256(content).hexdigest() != edit.sha256:
        warnings.warn(
            f"{source}: is not the text of {KNOWN} that is adapted for Verilator; it is compiled "
            "as it is and may be refused",
            stacklevel=2,
        )
        return source
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / source.name
    copy.write_text(edit.apply(content.decode()), encoding="utf-8")
    return copy
