"""What the names of files tell: their split, and which are parts of one whole."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from vlt.datagen.sources.formats import ENDINGS, ending_of, format_of, stem_of
from vlt.errors import UsageError

ALIKE = (
    ("train", "training"),
    ("test", "testing"),
    ("validation", "valid", "val", "dev"),
)
"""Names of splits; those on one line mean the same."""
SPLITS = frozenset(name for names in ALIKE for name in names) | {"eval", "evaluation", "testmini"}
_OF = re.compile(r"\A(.*?)[-_.](\d+)[-_.]of[-_.](\d+)(?:[-_.][0-9a-f]{8,})?\Z")
_SPARK = re.compile(r"\Apart-\d+-[0-9a-f-]{36}.*\Z")
_NUMBER = re.compile(r"\A(.*?)[-_.]?(\d+)\Z")
NO_ROWS = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
"""Files of `datasets` that describe rows but contain none."""


def is_rows(file: Path) -> bool:
    """Whether a file may contain rows: by its ending, and not hidden or a description."""
    hidden = file.name.startswith((".", "_"))
    return not hidden and file.name not in NO_ROWS and format_of(file) is not None


def in_order(files: Sequence[Path]) -> list[Path]:
    """Sorted by name, with numbers by value: part-2 before part-10."""

    def key(file: Path) -> list[tuple[int, int, str]]:
        pieces = re.split(r"(\d+)", str(file))
        return [(1, int(p), p) if p.isdigit() else (0, 0, p) for p in pieces]

    return sorted(files, key=key)


def by_split(files: Sequence[Path], base: Path) -> dict[str, list[Path]]:
    """Split -> its files, by their folders and names.

    `train-00000-of-00002` belongs to train; `part-0`, `0001` and `chunk1` are parts of one whole; a name
    that contains a split's (`problems_train`) belongs to it. If a split has several formats, one is taken.
    """
    named: dict[str, list[Path]] = {}
    for file in in_order(files):
        folders = [p for p in file.relative_to(base).parts[:-1] if p.lower() in SPLITS]
        named.setdefault(folders[0] if folders else _whole(stem_of(file)), []).append(file)
    shorter = {name: _split_in(name) for name in named}
    taken = list(shorter.values())
    return {
        short if taken.count(short) == 1 and short not in named else name: _one_format(named[name])
        for name, short in shorter.items()
    }


def pick_split(splits: dict[str, list[Path]], split: str | None, path: Path) -> list[Path]:
    """The files of `split`, by default the only one, or train. Raises UsageError if there is none."""
    if split is None and len(splits) == 1:
        return next(iter(splits.values()))
    wanted = [split] if split else ["train", "training"]
    if split:
        wanted += [name for names in ALIKE if split in names for name in names]
    for name in wanted:
        if name in splits:
            return splits[name]
    raise UsageError(
        f"folder {str(path)!r} has the splits {', '.join(splits)}; name one with --split"
        + ("" if split else f", or all of them with a quoted pattern: {str(path / '*')!r}")
    )


def missing_parts(files: Sequence[Path]) -> str | None:
    """A message if file names (train-00000-of-00003) show that parts are missing."""
    whole: dict[tuple[str, int], set[int]] = {}
    for file in files:
        if of := _OF.match(stem_of(file)):
            whole.setdefault((of[1], int(of[3])), set()).add(int(of[2]))
    for (name, count), there in whole.items():
        if len(there) < count:
            return f"only {len(there)} of the {count} parts of {name!r} are here"
    return None


def _whole(stem: str) -> str:
    """The name of the whole to which a part belongs."""
    if of := _OF.match(stem):
        return of[1]
    if _SPARK.match(stem):
        return "part"
    while number := _NUMBER.match(stem):
        stem = number[1]
    return stem


def _split_in(name: str) -> str:
    """The split whose name is a word of this one; the name itself if there is none or several."""
    words = [word for word in re.split(r"[-_. ]", name.lower()) if word in SPLITS]
    return words[0] if len(words) == 1 else name


def _one_format(files: list[Path]) -> list[Path]:
    endings = sorted({ending_of(file) for file in files}, key=_preferred)
    return [file for file in files if ending_of(file) == endings[0]]


def _preferred(ending: str) -> int:
    return -1 if ending == ".parquet" else ENDINGS.index(ending)
