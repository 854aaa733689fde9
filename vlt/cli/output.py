"""Printing: results on stdout (a table or one JSON object), everything else on stderr."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vlt.plural import plural

if TYPE_CHECKING:
    from rich.console import Console

    from vlt.workspace.store import Dataset

DONE, FAILED, USAGE, SOME_ROWS_FAILED, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes."""


def say(sentence: str) -> None:
    """Print one line of progress or advice on stderr."""
    print(sentence, file=sys.stderr, flush=True)


def as_called() -> str:
    """How the shell can call this program again: `vlt`, or its path where that is not on the PATH."""
    program = Path(sys.argv[0])
    if program.name != "vlt" or not program.is_file():  # python -m vlt
        return "vlt"
    found = shutil.which("vlt")
    return "vlt" if found and program.samefile(found) else str(program)


# Escape sequences would control the terminal, and bidi marks reorder the text around them.
_HIDDEN = {
    **dict.fromkeys((*range(32), *range(127, 160)), "�"),
    **dict.fromkeys((*range(8234, 8239), *range(8294, 8298)), "�"),
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),  # surrogates, which no file can hold
    **{0x200E: "\ufffd", 0x200F: "\ufffd", 0x061C: "\ufffd", ord("\n"): "\n", ord("\t"): "    "},
}


# Escaped in JSON they are still the same text; json.dumps itself escapes those below 32.
_ESCAPED = {code: f"\\u{code:04x}" for code in _HIDDEN if code >= 32}


def plain(text: str) -> str:
    """Untrusted text, made safe for a terminal: control characters and bidi marks become \ufffd."""
    return text.replace("\r\n", "\n").translate(_HIDDEN)


def print_json(value: Any) -> None:
    """Print one JSON object on stdout; what would control a terminal is escaped."""
    print(json.dumps(value, indent=1, ensure_ascii=False, default=str).translate(_ESCAPED))


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
    """Print rows as aligned columns on stdout, numbers to the right, fitted to a terminal's width.

    A column without any value is left out.
    """
    if not rows:
        return
    columns = [c for c in columns or rows[0] if any(row.get(c) is not None for row in rows)]
    cells = [[_cell(row.get(c)) for c in columns] for row in rows]
    right = [all(isinstance(row.get(c), int | float | None) for row in rows) for c in columns]
    if sys.stdout.isatty():
        _print_fitted(columns, cells, right)
        return
    widths = [max(len(line[i]) for line in [list(columns), *cells]) for i in range(len(columns))]
    for line in [list(columns), *cells]:
        padded = [
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(line, widths, right, strict=True)
        ]
        print("  ".join(padded).rstrip())


def _print_fitted(
    columns: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[bool]
) -> None:
    """On a terminal: texts wrap between words inside their column, and no cell is cut.

    Where not even their longest words fit beside each other, each row is a block of lines.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    every = list(zip(columns, *cells, strict=True))
    values = [max(map(cell_len, column[1:])) for column in every]
    widest = [max(map(cell_len, column)) for column in every]
    longest = [
        max(cell_len(word) for text in column for word in text.split() or [""]) for column in every
    ]
    widths = [
        wide if is_right else word
        for wide, word, is_right in zip(widest, longest, right, strict=True)
    ]
    room = console.width - 2 * (len(columns) - 1) - sum(widths)
    if room < 0 and len(columns) > 2:
        _print_blocks(columns, cells, console)
        return
    for wanted in (values, widest):  # titles wrap before values do
        needs = [max(0, want - width) for want, width in zip(wanted, widths, strict=True)]
        while room > 0 and any(needs):
            place = needs.index(max(needs))
            widths[place], needs[place], room = widths[place] + 1, needs[place] - 1, room - 1
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title, is_right, width in zip(columns, right, widths, strict=True):
        justify: Literal["left", "right"] = "right" if is_right else "left"
        fixed = width if room >= 0 else None
        table.add_column(
            Text(title), justify=justify, no_wrap=is_right, overflow="fold", width=fixed
        )
    for line in cells:
        table.add_row(*map(Text, line))
    console.print(table)


def _print_blocks(columns: Sequence[str], cells: Sequence[Sequence[str]], console: Console) -> None:
    """Each row as its first cell, and below it the others with the titles of their columns."""
    from rich.table import Table
    from rich.text import Text

    for place, (first, *others) in enumerate(cells):
        block = Table.grid(padding=(0, 2, 0, 0))
        block.add_column(no_wrap=True)
        block.add_column(overflow="fold")
        for title, cell in zip(columns[1:], others, strict=True):
            if cell not in ("-", ""):
                block.add_row(Text(f"  {title}"), Text(cell))
        if place:
            console.print()
        console.print(Text(first, style="bold"))
        console.print(block)


def describe(dataset: Dataset, *, existed: bool = False) -> str:
    """One line about a version that was made or existed already."""
    m = dataset.manifest
    dropped = sum(sum(reasons.values()) for reasons in m.dropped.values())
    failed = sum(m.failed.values())
    parts = [plural(m.rows, m.kind)] if m.kind != "checkpoint" else ["checkpoint"]
    parts += [f"{dropped:,} dropped"] if dropped else []
    parts += [f"{failed:,} failed"] if failed else []
    state = "already there, nothing to do" if existed else f"{m.seconds:.1f} s"
    return f"{m.ref}: {', '.join(parts)} ({state})"


def percent(score: Mapping[str, Any] | None) -> str | None:
    """A score {value, low, high} as `51.2 % [48.1, 54.3]`."""
    if score is None:
        return None
    return f"{100 * score['value']:.1f} % [{100 * score['low']:.1f}, {100 * score['high']:.1f}]"


def chosen_score(chosen: Mapping[str, Any]) -> Mapping[str, Any]:
    """The validation score of the model that was kept (see vlt.train.selection)."""
    (best,) = (score for score in chosen["of"] if score["step"] == chosen["step"])
    return best


def exit_code(dataset: Dataset) -> int:
    """0, or 3 if some rows failed."""
    return SOME_ROWS_FAILED if dataset.manifest.failed else DONE


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".") if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return plain(str(value))
