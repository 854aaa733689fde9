"""The settings of an import: one object, filled by the command line, by a recipe or in Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge

from vlt.errors import UsageError
from vlt.fields import FORBID, Option, check

KINDS = {"items": "item", "captions": "caption", "samples": "sample"}
"""Value of `kind` -> the kind of the dataset."""
ALWAYS = "source config split revision limit sample seed where map settings".split()


@dataclass(frozen=True, kw_only=True)
class Import:
    """Where rows come from, which of them to take, and how to read them."""

    __pydantic_config__ = FORBID

    source: Annotated[str, Option(hidden=True)]
    """A file, a quoted glob pattern, a folder, a Hub id (user/name), a name that `vlt sources`
    lists, or a function that yields records: file.py:name."""
    kind: Literal["items", "captions", "samples"] = "items"
    """What the rows are: items, or your own captions or samples (responses)."""
    map: Annotated[Mapping[str, str], Option(hidden=True)] = field(default_factory=dict)
    """Columns that cannot be guessed: {"question": "problem", "images": "pic"}."""
    limit: Annotated[int | None, Ge(1)] = None
    """Take only the first N rows."""
    sample: Annotated[int | None, Ge(1)] = None
    """Take N rows at random, in the order of the source."""
    seed: int = 0
    """Seed of --sample."""
    where: str | None = None
    """SQL condition on question, choices, answer, answer_type, source and meta (other columns):
    "meta->>'grade' = '3'"."""
    split: str | None = None
    """Split of a Hub dataset, of a folder, or of an object in a JSON file."""
    config: str | None = None
    """Configuration of a Hub dataset, or of a folder with several."""
    revision: str | None = None
    """Revision of a Hub dataset."""
    unlabelled: bool = False
    """Also take rows without a gold answer: `vlt label` gives them the majority answer of samples."""
    images: Literal["optional", "required"] = "optional"
    """Whether a row without an image is text-only, or fails."""
    image_root: Path | None = None
    """Root of image paths, by default the file's own folder; no image outside it is opened."""
    private_urls: bool = False
    """Also fetch image URLs that point into your own network."""
    settings: Annotated[Mapping[str, Any], Option("--set", hidden=True)] = field(
        default_factory=dict
    )
    """Settings of a named source or of a function: {"n": 500}, {"path": COPY}."""

    def __post_init__(self) -> None:
        check(self)
        if self.limit is not None and self.sample is not None:
            raise UsageError("--limit and --sample exclude each other; give one of them")
        if self.kind not in KINDS:
            raise UsageError(f"--kind {self.kind!r} is not known; write one of {', '.join(KINDS)}")
        if self.images not in ("optional", "required"):
            raise UsageError(f"--images {self.images!r} is neither optional nor required")

    @property
    def row_kind(self) -> str:
        """The kind of the dataset: item, caption or sample."""
        return KINDS[self.kind]

    def as_json(self) -> dict[str, Any]:
        """The settings as recorded for a recipe."""
        said: dict[str, Any] = {name: getattr(self, name) for name in ALWAYS}
        said |= {"map": dict(self.map), "settings": dict(self.settings)}
        if self.kind != "items":
            said["kind"] = self.kind
        if self.unlabelled:
            said["unlabelled"] = True
        if self.images != "optional":
            said["images"] = self.images
        return said
