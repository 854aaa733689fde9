"""The state in the URL of a grid: which rows, in which order, which page. Every view has a URL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self
from urllib.parse import urlencode

from vlt.errors import UsageError

PAGE = 24
"""Rows per page."""
WHERE = 2_000
"""Maximum characters of a condition: DuckDB's parser takes minutes for 8,000 open brackets."""
NONE = "(none)"
"""The value that stands for null in a filter by column."""
JUDGED = "judged by "
"""Prefix of a rubric, by whose verdicts rows can be filtered as by a column."""
READ = frozenset({"caption", "response"})
"""Columns that judges read."""
RUBRIC = 100
"""Maximum characters of a rubric's name."""


@dataclass(frozen=True)
class State:
    """The filters, the order and the page of a grid."""

    q: str = ""
    """Free text: rows in which a text column contains it, ignoring case."""
    where: str = ""
    """A SQL condition."""
    equal: tuple[tuple[str, str], ...] = ()
    """(column, value) pairs."""
    sort: str = ""
    down: bool = False
    dropped: bool = False
    page: int = 1

    @classmethod
    def read(cls, values: Mapping[str, str], columns: list[str]) -> Self:
        """From a URL's query; raises UsageError if it names an unknown column."""
        equal = {k[3:]: v for k, v in values.items() if k.startswith("is.") and v}
        sort = values.get("sort", "")
        for column in [*equal, *([sort] if sort else [])]:
            # Allowed for rows that judges read, even if written by a release without judges.
            by_judges = (
                column in equal and column.startswith(JUDGED) and not READ.isdisjoint(columns)
            )
            if column not in columns and not (by_judges and len(column) <= RUBRIC):
                raise UsageError(f"there is no column {column!r}; choose {', '.join(columns)}")
        where = values.get("where", "").strip()
        if len(where) > WHERE:
            raise UsageError(f"a condition has at most {WHERE:,} characters, not {len(where):,}")
        return cls(
            q=values.get("q", "").strip(),
            where=where,
            equal=tuple(sorted(equal.items())),
            sort=sort,
            down=values.get("down") == "1",
            dropped=values.get("dropped") == "1",
            page=max(1, number(values.get("page")) or 1),
        )

    @property
    def filtered(self) -> bool:
        """Whether rows are filtered at all."""
        return bool(self.q or self.where or self.equal)

    def fields(self) -> dict[str, str]:
        """The parameters that differ from the plain grid's, without the page."""
        found = {"q": self.q, "where": self.where, "sort": self.sort}
        found |= {f"is.{column}": value for column, value in self.equal}
        found |= {"down": "1" if self.down else "", "dropped": "1" if self.dropped else ""}
        return {name: value for name, value in found.items() if value}

    def query(self, **changes: Any) -> str:
        """The URL's query with these fields changed, including the `?`; a change starts at page 1."""
        new = replace(self, **{"page": 1, **changes})
        fields = new.fields() | ({"page": str(new.page)} if new.page > 1 else {})
        return "?" + urlencode(fields) if fields else ""


def number(given: str | None) -> int | None:
    """A number from a URL, or None for anything but up to nine digits."""
    return int(given) if given and given.isascii() and given.isdigit() and len(given) < 10 else None
