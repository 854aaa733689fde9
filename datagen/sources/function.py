"""A user's function that yields records as a source, in a file or a module (see vlt.plugins).

    def records():
        for n in range(100):
            yield {"question": f"What is {n} + 1?", "answer": n + 1, "image": f"pictures/{n}.png"}

Records are treated like rows of a file: columns are guessed or mapped, images are bytes, PIL images, paths
(relative to the file's own folder) or URLs. The function is called more than once, and must yield the same
records each time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from vlt.datagen.sources.files import PEEK, state_of
from vlt.datagen.sources.images_of import image_refs
from vlt.datagen.sources.paths import Folders, ImageFile
from vlt.datagen.sources.record import images_cell
from vlt.datagen.sources.row import BadRow, Row, Unreadable
from vlt.errors import UserError
from vlt.plugins import Plugin, blame


class FunctionSource:
    """The records of a function; its settings are the function's keyword arguments."""

    as_it_is = False

    def __init__(self, plugin: Plugin, settings: Mapping[str, Any], folder: Path | None):
        self.plugin, self.settings = plugin, dict(settings)
        self.name, self.where = plugin.name, plugin.source
        self.file = plugin.object.__code__.co_filename if _is_plain(plugin.object) else None
        beside = Path(self.file).parent if self.file and os.path.isfile(self.file) else Path.cwd()
        self.folder: Folders | None = Folders.of(folder, beside)
        self.description: dict[str, Any] = {}
        self.notes: list[str] = []

    def columns(self) -> list[str]:
        """The keys of the first records."""
        found = [row for row in islice(self.rows(), PEEK) if not isinstance(row, Unreadable)]
        if not found:
            raise UserError(f"{self.where} yields no records; there is nothing to import")
        return list(dict.fromkeys(name for row in found for name in row))

    def rows(self, leave_out: Sequence[str] = ()) -> Iterator[Row | Unreadable]:
        """The records, with NumPy numbers converted to Python's; what is not a dict is Unreadable."""
        for record in self._called():
            if not isinstance(record, Mapping):
                yield Unreadable(str(record)[:4000], f"no dict (a {type(record).__name__})")
                continue
            yield {str(k): _plain(v) for k, v in record.items() if k not in leave_out}

    def identity(
        self, columns: Mapping[str, str], rows: Iterable[Row | Unreadable] | None = None
    ) -> dict[str, Any]:
        """Name and content of the function's file, its settings, and sizes and times of the image files."""
        digest = hashlib.sha256()
        for row in self.rows() if rows is None else rows:
            if isinstance(row, Unreadable):
                continue
            try:
                found = image_refs(images_cell(row, columns), self.folder)
            except BadRow:
                continue
            for image in found:
                if isinstance(image, ImageFile):
                    line = f"{image.shown}\0{state_of(image)}\n"
                    digest.update(line.encode(errors="replace"))
        return {**self.plugin.identity, "settings": self.settings, "images": digest.hexdigest()}

    def _called(self) -> Iterator[Any]:
        try:
            yield from self.plugin.object(**self.settings)
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"{self.where} failed: {blame(error, self.file)}") from error


def _is_plain(function: Any) -> bool:
    return hasattr(function, "__code__")


def _plain(value: Any) -> Any:
    if isinstance(value, np.float16 | np.float32):
        return float(str(value))  # the shortest decimal that represents it
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
