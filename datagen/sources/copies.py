"""Opens a local copy of a dataset known by name: from its repository on the Hub, or from its authors."""

from __future__ import annotations

from pathlib import Path

from vlt.datagen.sources.files import FileSource, open_path
from vlt.datagen.sources.folders import cards_configurations
from vlt.errors import UsageError


def open_copy(
    who: str, path: str, split: str | None, config: str | None, folder: Path | None
) -> FileSource:
    """The file, or the split and configuration of the folder, at `path`; `who` is for messages.

    `folder` is the root of image paths. Raises UsageError if there is nothing.
    """
    place = Path(path).expanduser()
    if place.is_file():
        return open_path(place, None, folder)
    if not place.is_dir():
        raise UsageError(f"{who}: path {path!r} is not a file or folder; correct the path")
    if config and (place / config).is_dir():
        return open_path(place / config, split, folder, above=place)
    named = config if config in cards_configurations(place) else None
    return open_path(place, split, folder, named)
