# SPDX-License-Identifier: Apache-2.0
"""Looks into folders of inputs: what is hidden or junk is passed by, names in any case are found.

One rule for every layout and every command. Links are followed, those that lead back to a folder
they lie in are not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from .names import printable

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""Ends of picture names, in any case."""

JUNK = frozenset({"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"})
"""Folders that operating systems and archivers leave behind; hidden files are junk too."""


class FolderError(ValueError):
    """A folder that cannot be searched; the message is one line."""


class Folders:
    """Folders as they are when first looked at; every folder is read once.

    Make one for each search: it does not notice later changes.
    """

    def __init__(self) -> None:
        self._entries: dict[Path, dict[str, list[Path]]] = {}

    def _read(self, folder: Path) -> dict[str, list[Path]]:
        """Entries that are no junk: name in lower case -> paths."""
        if folder not in self._entries:
            found: dict[str, list[Path]] = {}
            for path in sorted(folder.iterdir()):
                name = path.name.lower()
                if not name.startswith(".") and name not in JUNK:
                    found.setdefault(name, []).append(path)
            self._entries[folder] = found
        return self._entries[folder]

    def _named(self, folder: Path, name: str) -> list[Path]:
        """Entries of a folder by name in lower case; none where it may not be listed."""
        try:
            return self._read(folder).get(name, [])
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return []

    def _all(self, folder: Path) -> Iterator[Path]:
        for paths in self._read(folder).values():
            yield from paths

    def pictures(self, folder: Path) -> list[Path]:
        """Return the ``files`` of a folder with a picture's suffix."""
        return self.files(folder, SUFFIXES)

    def files(self, folder: Path, suffixes: Collection[str]) -> list[Path]:
        """Return the files of a folder with one of these suffixes, in any case.

        Raises:
            FolderError: one is a link that leads nowhere.
        """
        found = []
        for path in self._all(folder):
            if path.suffix.lower() not in suffixes:
                continue
            if path.is_file():
                found.append(path)
            elif path.is_symlink() and not path.is_dir():
                raise FolderError(
                    f"{printable(path)}: found a link that leads to no file; "
                    "fetch the file or remove the link"
                )
        return found

    def folders(self, folder: Path) -> list[Path]:
        """Return the subfolders of a folder, without links to a folder they lie in."""
        return [path for path in self._all(folder) if path.is_dir() and not _leads_back(path)]

    def child(self, folder: Path, *names: str) -> Path | None:
        """Return the first subfolder of one of these names, given in lower case: IMAGES, images."""
        found = (path for name in names for path in self._named(folder, name))
        return next((path for path in found if path.is_dir()), None)

    def file(self, folder: Path, name: str) -> Path | None:
        """Return the file of that name, or the one whose name differs in case alone."""
        found = [path for path in self._named(folder, name.lower()) if path.is_file()]
        exact = [path for path in found if path.name == name]
        return next(iter(exact or found), None)

    def has(self, folder: Path, suffix: str) -> bool:
        """Tell whether a file of that suffix lies in a folder or below it."""
        return any(p.suffix.lower() == suffix and p.is_file() for p in self._all(folder)) or any(
            self.has(below, suffix) for below in self.folders(folder)
        )

    def holds_only(self, folder: Path, suffixes: frozenset[str]) -> bool:
        """Tell whether a folder and those below it hold files, all of them of these suffixes."""
        below = self.folders(folder)
        files = [path for path in self._all(folder) if path not in below]
        return (
            bool(files or below)
            and all(path.suffix.lower() in suffixes for path in files)
            and all(self.holds_only(inside, suffixes) for inside in below)
        )

    def picture(self, folder: Path, stem: str) -> Path | None:
        """Return a picture of that stem, whatever its suffix."""
        names = (stem + suffix for suffix in sorted(SUFFIXES))
        return next((path for name in names if (path := self.file(folder, name))), None)

    def walk(self, folder: Path, suffixes: Collection[str] = SUFFIXES) -> Iterator[Path]:
        """Yield the files of these suffixes, else pictures, of a folder and of those below it."""
        yield from self.files(folder, suffixes)
        for below in self.folders(folder):
            yield from self.walk(below, suffixes)


def _leads_back(path: Path) -> bool:
    return path.is_symlink() and any(path.samefile(parent) for parent in path.absolute().parents)
