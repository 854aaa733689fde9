"""The decorators `vlt.filter` and `vlt.reward`: they record what vlt must know about a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])
MARK = "__vlt__"
"""The attribute in which a decorator stores its settings."""


@dataclass(frozen=True)
class Mark:
    """The settings of a decorator."""

    kind: str
    """filter or reward."""
    name: str | None = None
    columns: tuple[str, ...] | None = None
    batch: bool = False
    stateful: bool = False


def filter(
    function: Any = None,
    *,
    name: str | None = None,
    columns: tuple[str, ...] | list[str] | None = None,
    batch: bool = False,
    stateful: bool = False,
) -> Any:
    """Mark a function as a filter, without changing it. Usable with or without arguments.

    Args:
        name: Its name in ledgers, instead of the function's own.
        columns: The only columns that it reads; all by default, which is slower.
        batch: It takes a `pyarrow.RecordBatch` of rows, not one row.
        stateful: It keeps state from row to row (a count, a set of seen values), so it gets all rows in
            their order in one process.
    """
    read = None if columns is None else (*columns,)
    return _marked(function, Mark("filter", name, read, batch, stateful))


def reward(
    function: Any = None,
    *,
    name: str | None = None,
    columns: tuple[str, ...] | list[str] | None = None,
) -> Any:
    """Mark a function with TRL's signature as a reward, without changing it.

    Args:
        name: Its name in logs and recipes, instead of the function's own.
        columns: The columns of the rows that it takes besides prompts and completions.
    """
    return _marked(function, Mark("reward", name, None if columns is None else (*columns,)))


def _marked(function: Any, mark: Mark) -> Any:
    def put(function: Function) -> Function:
        setattr(function, MARK, mark)
        return function

    return put if function is None else put(function)


def mark_of(function: Any) -> Mark | None:
    """The settings of the decorator on this function, if there is one."""
    mark = getattr(function, MARK, None)
    return mark if isinstance(mark, Mark) else None
