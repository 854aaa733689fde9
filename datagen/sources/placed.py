"""Images without a path in the rows: found by the row's id, split or file name.

`tables/12.png` for the row 12, `images/train/12/image.png` for its `image.png`, `coco/train2017/x.jpg`
for `x.jpg`: a pattern is used if it finds the files of all of the first rows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from vlt.datagen.sources.files import ITEM_IMAGES
from vlt.datagen.sources.images_of import is_base64
from vlt.datagen.sources.layouts import LOOK, LaidOut, readable
from vlt.datagen.sources.locate import Source
from vlt.datagen.sources.paths import Folders
from vlt.datagen.sources.row import Row, Unreadable

KEYS = ("id", "image_id", "imageId", "image_index", "img_id", "pid", "index")
"""Columns whose values may be the names of image files."""
MOST, MOST_FOLDERS = 2_000, 40
"""Maximum entries of a folder, and folders, searched for images."""


class Placed(LaidOut):
    """Images located by the row's id: `tables/12.png`, `images/train/12/image.png`."""

    def __init__(self, origin: Any, column: str, pattern: str):
        super().__init__(origin)
        self.column, self.pattern = column, pattern

    def columns(self) -> list[str]:
        """The columns, with one for the image."""
        return list(dict.fromkeys([*self.origin.columns(), self.column]))

    def changed(self, row: Row) -> Iterator[Row | Unreadable]:
        """The row with the path of its image."""
        cell = row.get(self.column)
        if "{name}" not in self.pattern:
            yield {**row, self.column: _filled(self.pattern, row, cell)}
            return
        names = cell if isinstance(cell, list) else [cell]
        made = [_filled(self.pattern, row, n) if _is_path(n) else n for n in names]
        yield {**row, self.column: made if isinstance(cell, list) else made[0]}


def placed(source: Source, columns: Mapping[str, str]) -> tuple[Source, dict[str, str]]:
    """The source, with images located by the rows' ids if they have no paths and a pattern fits."""
    found = dict(columns)
    folders = source.folder
    if not isinstance(folders, Folders) or source.as_it_is:
        return source, found
    column = columns.get("images", "image")
    rows = list(islice(readable(source.rows()), LOOK))
    if "images" in columns:
        rows = [row for row in rows if row.get(column) is not None]
        if not all(_is_path(name) for row in rows for name in _names(row[column])):
            return source, found
    keys = [key for key in KEYS if rows and all(row.get(key) is not None for row in rows)]
    for root in folders.roots if rows else ():
        for pattern in _patterns(Path(root), keys, with_name="images" in columns):
            if all(_lie(root, pattern, row, row.get(column)) for row in rows):
                if pattern == "{name}":
                    return source, found
                return Placed(source, column, pattern), {**found, "images": column}
    return source, found


def _patterns(root: Path, keys: Sequence[str], *, with_name: bool) -> Iterator[str]:
    """Possible locations of images below a folder, likeliest first."""
    if with_name:
        yield "{name}"
    named = [f"{{name}}{ending}" for ending in ("", *ITEM_IMAGES)]
    inside = [f"{{{key}}}/" for key in keys]
    if with_name:
        forms = [*named, "{split}/{name}", *(f + "{name}" for f in inside)]
        forms += [f"{{split}}/{f}{{name}}" for f in inside]
    else:
        forms = [f"{{{key}}}{ending}" for key in keys for ending in ITEM_IMAGES]
    for folder in ["", *_folders(root)]:
        yield from (folder + form for form in forms)


def _folders(root: Path) -> list[str]:
    """Subfolders, two levels deep, as `name/`; at most MOST_FOLDERS."""

    def below(path: Path) -> list[Path]:
        with os.scandir(path) as entries:
            named = islice(entries, MOST)
            return sorted(Path(e.path) for e in named if e.is_dir() and e.name[0] not in ".{")

    top = below(root)[:MOST_FOLDERS]
    deep = [inner for folder in top for inner in below(folder)[:MOST_FOLDERS]]
    return [f"{path.relative_to(root)}/" for path in (*top, *deep)][:MOST_FOLDERS]


def _lie(root: str, pattern: str, row: Row, cell: Any) -> bool:
    """Whether all images of a row exist at the pattern's location."""
    paths = [_filled(pattern, row, name) for name in _names(cell)]
    return all(os.path.isfile(os.path.join(root, path)) for path in paths)


def _names(cell: Any) -> list[Any]:
    return cell if isinstance(cell, list) else [cell]


def _filled(pattern: str, row: Row, name: Any) -> str:
    for key in (*KEYS, "split"):
        pattern = pattern.replace("{" + key + "}", str(row.get(key)))
    return pattern.replace("{name}", str(name))


def _is_path(value: Any) -> bool:
    """Whether it is a relative path, not a URL or an image."""
    return (
        isinstance(value, str)
        and 0 < len(value) < 300
        and not value.startswith(("/", "[", "data:"))
        and ":" not in value[:8]
        and ".." not in value
        and not is_base64(value)
    )
