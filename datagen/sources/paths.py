"""Finds an image's file by the path in its row: at that path, or where the same file must be.

Rows are moved between machines: their paths may be Windows paths, file:// URLs, in another Unicode form,
or relative to a parent folder. Nothing outside the allowed folders is opened, whatever a path says.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from vlt.datagen.sources.row import BadRow

_DRIVE = re.compile(r"\A[A-Za-z]:[\\/]")
_FILE_URL = re.compile(r"\Afile:(?://(?:localhost(?=/))?)?", re.I)


@dataclass(frozen=True)
class Folders:
    """The roots of image paths, in order; symbolic links inside them may lead elsewhere."""

    roots: tuple[str, ...]

    @staticmethod
    def of(*folders: Path | None) -> Folders:
        """These folders, without repetition."""
        found = [os.path.normpath(folder.absolute()) for folder in folders if folder is not None]
        return Folders(tuple(dict.fromkeys(found)))

    def hold(self, path: str) -> bool:
        """Whether a normalised path is inside one of them."""
        return any(path == r or path.startswith(r.rstrip(os.sep) + os.sep) for r in self.roots)


class ImageFile(NamedTuple):
    """An image's file."""

    path: str
    """Where it is expected."""
    written: str
    """The path as written in the row."""
    folders: Folders

    @property
    def shown(self) -> str:
        """The path for messages."""
        return self.written[:200]

    def elsewhere(self) -> str | None:
        """Another place where the file exists, if it is not at `path`."""
        return next((p for p in _places(self.written, self.folders) if os.path.lexists(p)), None)


def image_file(value: str, folders: Folders) -> ImageFile:
    """The file that `value` names. Raises BadRow for a path that leads out of the folders."""
    if "\0" in value:
        raise BadRow("image path holds a null character")
    root = folders.roots[0]
    if value[0] not in "/\\" and ".." not in value and ":" not in value[:6]:
        return ImageFile(f"{root}{os.sep}{value}", value, folders)
    for path in _places(value, folders):
        if os.path.lexists(path):
            return ImageFile(path, value, folders)
    text = _readings(value)[-1]
    path = os.path.normpath(os.path.join(root, text))
    if not folders.hold(path) or _DRIVE.match(value):
        raise BadRow(
            "image path leads out of the folder (say where image paths begin with --image-root "
            f"FOLDER): {value[:200]}"
        )
    return ImageFile(path, value, folders)


def _readings(value: str) -> list[str]:
    """The path as written, and its possible meanings on this machine."""
    found = [value]
    if url := _FILE_URL.match(value):
        found.append(unquote(value[url.end() :]))
    if "\\" in found[-1]:
        found.append(found[-1].replace("\\", "/"))
    if _DRIVE.match(found[-1]):
        found.append(found[-1][2:])
    if found[-1] != found[-1].strip():
        found.append(found[-1].strip())
    return found


def _places(value: str, folders: Folders) -> Iterator[str]:
    """Where the file may be, likeliest first; all of them inside the folders."""
    for text in _readings(value):
        for root in folders.roots:
            path = os.path.normpath(os.path.join(root, text))
            if folders.hold(path):
                yield path
                if not text.isascii() and (same := _same_letters(path, root)):
                    yield same
            yield from _overlapping(text, root)


def _overlapping(text: str, root: str) -> Iterator[str]:
    """Candidates for `set/pictures/1.png` and `/elsewhere/set/pictures/1.png` in a folder named `set`."""
    parts = [part for part in text.split("/") if part not in ("", ".")]
    own = root.split(os.sep)
    if ".." in parts:
        return
    for at in range(len(parts) - 2, -1, -1) if text.startswith("/") else [0]:
        for length in range(min(len(parts) - 1 - at, len(own)), 0, -1):
            if parts[at : at + length] == own[-length:]:
                yield os.path.join(root, *parts[at + length :])


def _same_letters(path: str, root: str) -> str | None:
    """The file whose name has the same letters in another Unicode form (é as one or two code points)."""
    at = root
    for part in os.path.relpath(path, root).split(os.sep):
        if os.path.lexists(os.path.join(at, part)):
            at = os.path.join(at, part)
            continue
        named = _names(at).get(unicodedata.normalize("NFKC", part))
        if named is None:
            return None
        at = os.path.join(at, named)
    return at


@lru_cache(maxsize=64)
def _names(folder: str) -> dict[str, str]:
    try:
        return {unicodedata.normalize("NFKC", name): name for name in sorted(os.listdir(folder))}
    except OSError:
        return {}
