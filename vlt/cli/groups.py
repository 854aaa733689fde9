"""How `vlt --help` lists the commands: grouped, in the order of use."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

GROUPS = {
    "Start": ("demo", "init", "doctor", "run", "schema"),
    "Questions and images": ("import", "sources", "dedup", "decontaminate"),
    "Responses": ("gen", "filter", "judge", "label", "grade"),
    "Training and evaluation": ("train", "eval", "compare"),
    "Looking": ("ls", "show", "stats", "log", "diff", "status", "view", "report"),
    "Sharing": ("push", "pull", "export"),
}
"""The commands in the order of use; any not named here is listed last."""


class Commands(TyperGroup):
    """Lists the commands before the options, in groups, each with its whole summary."""

    def format_options(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """Write what follows the command's description."""
        names = self.list_commands(ctx)
        grouped = [name for group in GROUPS.values() for name in group]
        groups = {**GROUPS, "Commands": tuple(name for name in names if name not in grouped)}
        widest = max(map(len, names), default=0)
        for title, group in groups.items():
            commands = [(name, self.commands[name]) for name in group if name in names]
            rows = [
                (name.ljust(widest), command.get_short_help_str(1_000))
                for name, command in commands
                if not command.hidden
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
        super().format_options(ctx, formatter)

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """Write nothing: the commands are already listed, before the options."""
