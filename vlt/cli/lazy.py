"""Commands whose options are built on first use.

`vlt --help` must not import what some settings' modules need (pyarrow, numpy, duckdb): a command whose
options are derived from such settings is built only when it is called.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import typer
import typer.main
from typer.core import TyperCommand

ORDER = "options in the order given"
CHOSEN = "what the derived options say"
"""Keys of `context.meta`."""
Decorate = Callable[[], Callable[[Any], Any]]


class LazyCommand(TyperCommand):
    """See `lazily`."""

    decorate: Decorate

    @cached_property
    def whole(self) -> Any:
        """The command with all its options."""
        function = type(self).decorate()(self._function)
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command()(function)
        return typer.main.get_command(alone)

    @property
    def params(self) -> Any:
        """The arguments and options."""
        return self.whole.params

    @params.setter
    def params(self, params: Any) -> None:
        """Ignore Typer's parameters of the bare function; `whole` has them too."""

    @property
    def callback(self) -> Any:
        """The function that is called."""
        return self.whole.callback

    @callback.setter
    def callback(self, callback: Any) -> None:
        self._function = callback.__wrapped__


class Ordered(LazyCommand):
    """Keeps the names of the options in the order given, with repeats, in `context.meta[ORDER]`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse as any command does, and keep the order."""
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        ctx.meta[ORDER] = [parameter.name for parameter in order]
        return super().parse_args(ctx, args)


def lazily(decorate: Decorate, kind: type[LazyCommand] = LazyCommand) -> type[LazyCommand]:
    """For `app.command(cls=...)`: `decorate()` is a decorator that gives the function its options."""
    return type(kind.__name__, (kind,), {"decorate": staticmethod(decorate)})
