# SPDX-License-Identifier: Apache-2.0
"""Puts the engine that `make sanitize` built in the place of the installed one.

Python imports this by its name before anything else, in tests and in the programs they start.
"""

import importlib.util
import os
import sys
from pathlib import Path

NAME = "andpop.hw.cpu._engine"

_folder = Path(os.environ["ANDPOP_SANITIZED"]) / "andpop" / "hw" / "cpu"
(_file,) = _folder.glob("_engine.*.so")
assert b"__asan_init" in _file.read_bytes(), f"{_file} is not instrumented"
_spec = importlib.util.spec_from_file_location(NAME, _file)
assert _spec is not None and _spec.loader is not None
sys.modules[NAME] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sys.modules[NAME])
