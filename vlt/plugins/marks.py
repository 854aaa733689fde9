"""The decorators `vlt.filter` and `vlt.reward`: they write down what vlt must know of a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])
MARK = "__vlt__"
"""The attribute in which a decorator leaves what it was told."""


@dataclass(frozen=True)
class Mark:
    """What a decorator says of a function."""

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
    """Mark a function as a filter; it behaves as before. With or without arguments.

    Args:
        name: In ledgers, instead of the function's own.
        columns: The only columns that it reads; all by default, which is slower.
        batch: It takes a `pyarrow.RecordBatch` of rows and not one row.
        stateful: It keeps something from row to row (a count, what it has seen), so all rows go to it
            in their order and in one process.
    """
    read = None if columns is None else (*columns,)
    return _marked(function, Mark("filter", name, read, batch, stateful))


def reward(
    function: Any = None,
    *,
    name: str | None = None,
    columns: tuple[str, ...] | list[str] | None = None,
) -> Any:
    """Mark a function of TRL's signature as a reward; it behaves as before.

    Args:
        name: In logs and recipes, instead of the function's own.
        columns: The columns of the rows that it takes beside prompts and completions.
    """
    return _marked(function, Mark("reward", name, None if columns is None else (*columns,)))


def _marked(function: Any, mark: Mark) -> Any:
    def put(function: Function) -> Function:
        setattr(function, MARK, mark)
        return function

    return put if function is None else put(function)


def mark_of(function: Any) -> Mark | None:
    """What a decorator said of this function, if one did."""
    mark = getattr(function, MARK, None)
    return mark if isinstance(mark, Mark) else None
