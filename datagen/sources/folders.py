"""What a folder of files contains: an image folder, `save_to_disk`, configurations, splits, parts, items.

Hidden folders (.git, .cache) are ignored.
"""

from __future__ import annotations

import fnmatch
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlt.datagen.sources.formats import ending_of
from vlt.datagen.sources.shards import SPLITS, by_split, is_rows, pick_split
from vlt.errors import UsageError, UserError

METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
DATA = "data"
"""A folder of this name has a repository's rows, whatever else is beside it."""
FORMATS_IN_TURN = (
    (".parquet",),
    (".arrow", ".feather"),
    (".tar",),
    (".jsonl", ".ndjson", ".json", ".csv", ".tsv"),
)
"""Of the formats found in a folder, the first of these is read."""


@dataclass(frozen=True)
class Found:
    """The files to read."""

    files: list[Path]
    base: Path
    """The root of image paths."""
    one_item_each: bool = False
    """Whether each file is one row, with paths relative to its own folder."""


def look_into(path: Path, split: str | None, config: str | None) -> Found:
    """The files of rows in a folder. Raises UserError or UsageError if there are none, or several choices."""
    if config is not None:
        return _configured(path, split, config)
    if saved := _saved_to_disk(path, split):
        return saved
    for place in (path / split, path) if split else (path, path / "train"):
        for metadata in METADATA:
            if (place / metadata).is_file() and (place != path or not split):
                return Found([place / metadata], place)
    if described := cards_configurations(path):
        return _by_card(path, described, split)
    every = list(_below(path))
    for endings in FORMATS_IN_TURN:
        found = [file for file in every if ending_of(file) in endings]
        if here := [file for file in found if file.parent == path]:
            return _of_files(here, path, split)
        if found:
            return _of_folders(found, path, split)
    raise UserError(
        f"folder {str(path)!r} has no metadata.jsonl, metadata.csv or Parquet files"
        + (f" of split {split!r}" if split else "")
        + "; an image folder needs a metadata file with file_name, question and answer"
    )


def _of_files(files: Sequence[Path], path: Path, split: str | None) -> Found:
    splits = by_split(files, path)
    if split is None and len(splits) > 1 and not set(splits) & SPLITS and _is_one_item(files):
        return Found(sorted(files), path, one_item_each=True)
    if split is None and len(splits) == 1 and len(files) > 1 and _is_one_item(files):
        return Found(next(iter(splits.values())), path, one_item_each=True)
    return Found(pick_split(splits, split, path), path)


def _of_folders(files: Sequence[Path], path: Path, split: str | None) -> Found:
    """Files in subfolders: of splits, of configurations, of the repository's data, or of one item each."""
    tops = {f.relative_to(path).parts[0] for f in files}
    if DATA in tops and len(tops) > 1 and not tops & SPLITS:
        return look_into(path / DATA, split, None)
    if split in tops:
        return look_into(path / str(split), None, None)
    if tops & SPLITS:
        return Found(pick_split(by_split(files, path), split, path), path)
    if len(tops) == 1:
        return look_into(path / next(iter(tops)), split, None)
    alone = {f.parent for f in files}
    if len(alone) == len(files) and _is_one_item(files):
        return Found(sorted(files), path, one_item_each=True)
    raise _which_configuration(path, sorted(tops))


def _configured(path: Path, split: str | None, config: str) -> Found:
    described = cards_configurations(path)
    if config in described:
        return _by_card(path, {config: described[config]}, split)
    if (path / config).is_dir():
        return look_into(path / config, split, None)
    names = sorted(described) or sorted(
        p.name for p in path.iterdir() if p.is_dir() and any(_below(p))
    )
    raise UsageError(
        f"folder {str(path)!r} has no configuration {config!r}"
        + (f"; it has {', '.join(names)}" if names else "; leave out --config")
    )


def _below(path: Path) -> Iterator[Path]:
    """All files of rows in the folder and its subfolders, except hidden ones."""
    for at, folders, names in os.walk(path, followlinks=True):
        folders[:] = sorted(f for f in folders if not f.startswith((".", "__")))
        for name in sorted(names):
            if is_rows(file := Path(at, name)) and file.is_file():
                yield file


def _which_configuration(path: Path, names: Sequence[str]) -> UsageError:
    return UsageError(
        f"folder {str(path)!r} has the configurations {', '.join(names)}; name one with "
        f"--config {names[0]}"
    )


def _is_one_item(files: Sequence[Path]) -> bool:
    """Whether a folder's JSON files are one row each."""
    from vlt.datagen.sources.formats.documents import document

    if any(ending_of(file) != ".json" for file in files):
        return False
    try:
        rows = document(min(files))
    except UserError:
        return False  # reported as broken when it is read
    return len(rows) == 1 and isinstance(rows[0], dict) and "id" not in list(rows[0])[:1]


def _saved_to_disk(path: Path, split: str | None) -> Found | None:
    """The files written by `save_to_disk` of `datasets`: a dataset, or one for each split."""
    splits = path / "dataset_dict.json"
    if splits.is_file():
        names = json.loads(splits.read_text()).get("splits", [])
        files = {name: _arrow_files(path / name) for name in names}
        return Found(pick_split(files, split, path), path)
    if (path / "state.json").is_file() and (files_here := _arrow_files(path)):
        if split:
            raise UsageError(f"{str(path)!r} is one saved dataset; leave out --split")
        return Found(files_here, path)
    return None


def _arrow_files(path: Path) -> list[Path]:
    state = path / "state.json"
    named: list[Any] = (
        json.loads(state.read_text()).get("_data_files", []) if state.is_file() else []
    )
    return [path / file["filename"] for file in named]


def cards_configurations(path: Path) -> dict[str, Any]:
    """Configuration -> its data files, from the dataset card (README.md) of a Hub repository."""
    card = path / "README.md"
    if not card.is_file():
        return {}
    text = card.read_text(encoding="utf-8", errors="replace")
    if not text.startswith("---\n"):
        return {}
    import yaml

    try:
        head = yaml.safe_load(text[4:].partition("\n---")[0])
    except yaml.YAMLError:
        return {}  # an unreadable card is ignored; the folders decide
    listed = head.get("configs") if isinstance(head, dict) else None
    return {
        str(config.get("config_name", "default")): config["data_files"]
        for config in listed or []
        if isinstance(config, dict) and config.get("data_files")
    }


def _by_card(path: Path, described: dict[str, Any], split: str | None) -> Found:
    if len(described) > 1 and "default" not in described:
        raise _which_configuration(path, list(described))
    files = described.get("default") or next(iter(described.values()))
    splits: dict[str, list[Path]] = {}
    for entry in files if isinstance(files, list) else [files]:
        of = entry if isinstance(entry, dict) else {"split": "train", "path": entry}
        patterns = of.get("path") or []
        found = [
            file
            for pattern in (patterns if isinstance(patterns, list) else [patterns])
            for file in _below(path)
            if fnmatch.fnmatch(str(file.relative_to(path)), str(pattern).replace("**/", "*"))
        ]
        if found:
            splits.setdefault(str(of.get("split", "train")), []).extend(sorted(set(found)))
    if not splits:
        raise UserError(
            f"folder {str(path)!r} has none of the files that its README.md names; fetch them with "
            "`git lfs pull`, or name a file"
        )
    return Found(pick_split(splits, split, path), path)
