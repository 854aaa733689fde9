"""What the address of a grid says: which rows, in which order, which page. Every view has an address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self
from urllib.parse import urlencode

from vlt.errors import UsageError

PAGE = 24
"""Rows of a page."""
WHERE = 2_000
"""Characters of the longest condition: DuckDB's parser takes minutes for 8,000 open brackets."""
NONE = "(none)"
"""In a filter by column: where the column is null."""
JUDGED = "judged by "
"""Begins the name of what judges said by a rubric, which rows are filtered by as by a column."""
READ = frozenset({"caption", "response"})
"""Columns that judges read."""
RUBRIC = 100
"""Characters of the longest rubric's name."""


@dataclass(frozen=True)
class State:
    """The filters, the order and the page of a grid."""

    q: str = ""
    """Free text: rows in which one of the text columns holds it, in upper or lower case."""
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
        """From an address; raises UsageError where it names a column that is not there."""
        equal = {k[3:]: v for k, v in values.items() if k.startswith("is.") and v}
        sort = values.get("sort", "")
        for column in [*equal, *([sort] if sort else [])]:
            # Rows of a kind that judges read, also where a release before theirs wrote them.
            by_judges = (
                column in equal and column.startswith(JUDGED) and not READ.isdisjoint(columns)
            )
            if column not in columns and not (by_judges and len(column) <= RUBRIC):
                raise UsageError(f"there is no column {column!r}; there are {', '.join(columns)}")
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
        """Whether any row may be left out."""
        return bool(self.q or self.where or self.equal)

    def fields(self) -> dict[str, str]:
        """The parts of the address that differ from the plain grid, without the page."""
        found = {"q": self.q, "where": self.where, "sort": self.sort}
        found |= {f"is.{column}": value for column, value in self.equal}
        found |= {"down": "1" if self.down else "", "dropped": "1" if self.dropped else ""}
        return {name: value for name, value in found.items() if value}

    def query(self, **changes: Any) -> str:
        """The address's query with these fields changed, `?` included; a change starts at page 1."""
        new = replace(self, **{"page": 1, **changes})
        fields = new.fields() | ({"page": str(new.page)} if new.page > 1 else {})
        return "?" + urlencode(fields) if fields else ""


def number(given: str | None) -> int | None:
    """A number that an address gives, or None for all that is not one of up to nine digits."""
    return int(given) if given and given.isascii() and given.isdigit() and len(given) < 10 else None
