# SPDX-License-Identifier: Apache-2.0
"""The command: pictures of a folder through the network, classes printed or masks written."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .accelerator import BATCH, Accelerator, Pictures
from .errors import BoardError, FrameLost
from .names import printable
from .reading import list_folder, read


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    options = _options(arguments)
    try:
        _run(options)
    except FrameLost as error:
        sys.stderr.write(f"{error}\n{error.state.text()}\n")
        if options.dump is not None:
            options.dump.write_text(json.dumps(error.state.as_dict(), indent=1) + "\n")
        return 1
    except (BoardError, OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m andpop_board", description="Pictures through the network on this board."
    )
    parser.add_argument("--images", type=Path, help="a picture, or a folder of them")
    parser.add_argument("--out", type=Path, help="where masks and maps are written")
    parser.add_argument("--folder", type=Path, help="with andpop.bit; where this package lies")
    parser.add_argument("--batch", type=int, default=BATCH, help="pictures of a batch")
    parser.add_argument("--timeout", type=float, help="seconds after which a batch is lost")
    parser.add_argument("--dump", type=Path, help="file for the state where a batch is lost")
    parser.add_argument("--json", action="store_true", help="results as JSON, one line a picture")
    parser.add_argument("--no-self-test", action="store_true", help="skip the stored vectors")
    parser.add_argument("--no-download", action="store_true", help="the bit file is loaded already")
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace) -> None:
    paths = None if options.images is None else list_folder(options.images)
    accelerator = Accelerator(
        options.folder,
        batch=options.batch,
        timeout=options.timeout,
        self_test=False,
        download=not options.no_download,
    )
    if not options.no_self_test:
        sys.stderr.write(f"self-test: {accelerator.self_test()} values, all equal\n")
    if paths is None:
        sys.stdout.write(accelerator.state().text() + "\n")
        return
    number = 0
    for found in accelerator.stream(_batches(accelerator, paths)):
        for i in range(len(next(iter(found.values())))):
            row = {name: values[i] for name, values in found.items()}
            shown = _answer(accelerator, row, paths[number], options)
            line = json.dumps(shown) if options.json else "\t".join(map(str, shown.values()))
            sys.stdout.write(line + "\n")
            number += 1


def _batches(accelerator: Accelerator, paths: Sequence[Path]) -> Iterator[Pictures]:
    for start in range(0, len(paths), accelerator.batch):
        yield read(accelerator.network, paths[start : start + accelerator.batch])


def _answer(
    accelerator: Accelerator, row: dict[str, Any], path: Path, options: argparse.Namespace
) -> dict[str, Any]:
    """Return what is shown of a picture; write what is no line."""
    shown: dict[str, Any] = {"picture": printable(path)}
    images: Path = options.images
    for head in accelerator.network.heads:
        values = row[head.name]
        if head.kind == "class":
            shown[head.name] = printable(accelerator.class_name(int(values)))
            continue
        if head.kind == "class_map":
            shown[head.name] = int(np.count_nonzero(values))
        if options.out is None:
            continue
        inside = path.relative_to(images) if images.is_dir() else Path(path.name)
        target = options.out / inside.with_suffix("")
        target.parent.mkdir(parents=True, exist_ok=True)
        end = head.name if len(accelerator.network.heads) > 1 else "mask"
        if head.kind == "class_map":
            file = target.with_name(f"{target.name}.{end}.png")
            Image.fromarray(np.where(values, 255, 0).astype(np.uint8)).save(file)
        else:
            file = target.with_name(f"{target.name}.{head.name}.npy")
            np.save(file, values)
        shown[f"{head.name} file"] = str(file)
    return shown


if __name__ == "__main__":
    sys.exit(main())
