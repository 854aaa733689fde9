"""What an import takes: one object that the command line, a recipe and Python fill alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge

from vlt.errors import UsageError
from vlt.fields import FORBID, Option, check

KINDS = {"items": "item", "captions": "caption", "samples": "sample"}
"""What `kind` calls the rows -> the kind of the dataset that they make."""
ALWAYS = "source config split revision limit sample seed where map settings".split()


@dataclass(frozen=True, kw_only=True)
class Import:
    """Where rows come from, which of them are wanted, and how they are read."""

    __pydantic_config__ = FORBID

    source: Annotated[str, Option(hidden=True)]
    """A file, a pattern of files in quotes, a folder, a Hub id (user/name), a name that `vlt sources`
    lists, or a function that yields records: file.py:name."""
    kind: Literal["items", "captions", "samples"] = "items"
    """What a row is: captions and samples (responses) may be your own."""
    map: Annotated[Mapping[str, str], Option(hidden=True)] = field(default_factory=dict)
    """Columns that cannot be guessed: {"question": "problem", "images": "pic"}."""
    limit: Annotated[int | None, Ge(1)] = None
    """Take only the first N rows."""
    sample: Annotated[int | None, Ge(1)] = None
    """Take N rows at random, in the order of the source."""
    seed: int = 0
    """Of --sample."""
    where: str | None = None
    """SQL on question, choices, answer, answer_type, source and meta (other columns):
    "meta->>'grade' = '3'"."""
    split: str | None = None
    """Split of a Hub dataset, of a folder, or of an object in a JSON file."""
    config: str | None = None
    """Configuration of a Hub dataset, or of a folder that holds several."""
    revision: str | None = None
    """Revision of a Hub dataset."""
    unlabelled: bool = False
    """Take rows without a gold answer, too: `vlt label` answers them by what most samples say."""
    images: Literal["optional", "required"] = "optional"
    """Whether a row without an image is text only, or fails."""
    image_root: Path | None = None
    """Where image paths begin, if not in the file's own folder; no image outside is opened."""
    private_urls: bool = False
    """Fetch images by URL from addresses of your own network, too."""
    settings: Annotated[Mapping[str, Any], Option("--set", hidden=True)] = field(
        default_factory=dict
    )
    """Of a source with a name, or of a function: {"n": 500}, {"path": COPY}."""

    def __post_init__(self) -> None:
        check(self)
        if self.limit is not None and self.sample is not None:
            raise UsageError("--limit and --sample exclude each other; name one of them")
        if self.kind not in KINDS:
            raise UsageError(f"--kind {self.kind!r} is none of {', '.join(KINDS)}")
        if self.images not in ("optional", "required"):
            raise UsageError(f"--images {self.images!r} is neither optional nor required")

    @property
    def row_kind(self) -> str:
        """The kind of the dataset: item, caption or sample."""
        return KINDS[self.kind]

    def as_json(self) -> dict[str, Any]:
        """The settings as a recipe's record keeps them."""
        said: dict[str, Any] = {name: getattr(self, name) for name in ALWAYS}
        said |= {"map": dict(self.map), "settings": dict(self.settings)}
        if self.kind != "items":
            said["kind"] = self.kind
        if self.unlabelled:
            said["unlabelled"] = True
        if self.images != "optional":
            said["images"] = self.images
        return said
