"""Resolves SOURCE: a known name, a function, a file or folder, a bucket, or a dataset on the Hub."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from vlt.datagen.sources.files import open_path, open_pattern
from vlt.datagen.sources.formats import ENDINGS
from vlt.datagen.sources.function import FunctionSource
from vlt.datagen.sources.paths import Folders
from vlt.datagen.sources.remote import is_remote, open_remote
from vlt.datagen.sources.row import Row, Unreadable
from vlt.errors import UsageError, UserError
from vlt.plugins import entry_points, is_path, resolve

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class Source(Protocol):
    """Raw rows from their origin."""

    name: str
    """The value of the column `source` for rows without their own."""
    where: str
    """Its name in messages."""
    folder: Folders | None
    """The roots of image paths; None if there are none."""
    notes: list[str]
    """What the user should know about the files found: missing parts, guesses."""
    as_it_is: bool
    """Whether the rows already have the columns of an item, so that no layout is detected."""
    description: dict[str, Any]
    """Facts for the manifest that are not part of the identity, such as the licence."""

    def columns(self) -> list[str]:
        """The names of the columns."""
        ...

    def rows(self, leave_out: Sequence[str] = ()) -> Iterator[Row | Unreadable]:
        """The rows, always in the same order; columns in `leave_out` need not be read."""
        ...

    def identity(self, columns: Mapping[str, str]) -> dict[str, Any]:
        """Everything that decides the rows: a content digest, a revision, settings. No paths."""
        ...


def open_source(
    source: str,
    *,
    split: str | None = None,
    config: str | None = None,
    revision: str | None = None,
    folder: Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Source:
    """The source that `source` names; raises UserError or UsageError if there is none."""
    from vlt.datagen.sources.named import NAMED

    path = Path(source).expanduser()
    if source in NAMED:
        where = {"split": split, "config": config, "revision": revision}
        return NAMED[source](dict(settings or {}), folder=folder, **where)
    if is_path(source) or source in entry_points("source"):
        given = [n for n, v in (("split", split), ("config", config), ("revision", revision)) if v]
        if given:
            raise UsageError(f"{source!r} does not take --{given[0]}; give its settings with --set")
        return FunctionSource(resolve(source, "source"), settings or {}, folder)
    if settings:
        raise UsageError(
            f"source {source!r} takes no settings; only named sources do (see `vlt sources`)"
        )
    if is_remote(source):
        if revision:
            raise UsageError(f"{source!r} is not on the Hub; leave out --revision")
        return open_remote(source, split, folder, config)
    if path.exists():
        if revision:
            raise UsageError(f"{source!r} is local and not on the Hub; leave out --revision")
        return open_path(path, split, folder, config)
    if any(sign in source for sign in "*?[") and (found := open_pattern(str(path), split, folder)):
        return found
    if HUB_ID.fullmatch(source) and path.suffix.lower() not in ENDINGS:
        from vlt.datagen.sources.repository import HubSource

        return HubSource(source, split, config, revision)
    raise UserError(_nothing(source))


def check_source(source: str, settings: Mapping[str, Any]) -> None:
    """Check that `open_source` would find it, without reading or fetching anything.

    Hub ids and buckets are not checked. Raises UserError or UsageError.
    """
    from vlt.datagen.sources.named import NAMED

    path = Path(source).expanduser()
    if source in NAMED:
        copy = settings.get("path")
        if copy and not Path(str(copy)).expanduser().exists():
            raise UserError(f"no copy of {source} at {str(copy)!r}; correct the path")
    elif is_path(source) or source in entry_points("source"):
        resolve(source, "source")
    elif settings:
        raise UsageError(
            f"source {source!r} takes no settings; only named sources do (see `vlt sources`)"
        )
    elif not (
        is_remote(source)
        or path.exists()
        or any(sign in source for sign in "*?[")
        or (HUB_ID.fullmatch(source) and path.suffix.lower() not in ENDINGS)
    ):
        raise UserError(_nothing(source))


def _nothing(source: str) -> str:
    return (
        f"no source {source!r}: it is not a file, folder or pattern, a function (file.py:name), a Hub id "
        "(user/name) or a name that `vlt sources` lists; correct the name"
    )
