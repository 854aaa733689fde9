"""The text of a recipe in parts, one for each top-level key, with their comments."""

from __future__ import annotations

import re
from collections.abc import Sequence

import yaml

COLUMN = 54
"""Column where comments begin, if the line is short enough."""
KEY = re.compile(r"^([A-Za-z_][\w-]*):", re.M)


def parts_of(text: str) -> dict[str, str]:
    """Key -> its lines with the comments above them; under "" what comes before the first key."""
    lines = text.splitlines(keepends=True)
    starts = [place for place, line in enumerate(lines) if KEY.match(line)]
    ends: list[int] = []
    for place in starts:
        above = place
        while above and lines[above - 1].startswith("#"):
            above -= 1
        ends.append(above)
    first = ends[0] if ends else len(lines)
    found = {"": "".join(lines[:first])}
    for place, start, end in zip(starts, ends, [*ends[1:], len(lines)], strict=True):
        key = KEY.match(lines[place])
        assert key
        found[key[1]] = "".join(lines[start:end])
    return found


def without_lines(part: str, key: str) -> str:
    """The part without the one-line setting `key`, wherever it occurs."""
    return re.sub(rf"^ +(- )?{re.escape(key)}:.*\n", "", part, flags=re.M)


def with_value(part: str, key: str, value: str, why: str = "") -> str:
    """The part with another value of the setting `key`, and another comment after it."""
    found, times = re.subn(
        rf"^( *(?:- )?{re.escape(key)}:) *[^#\n]*?( *#.*)?$",
        lambda m: remarked(f"{m[1]} {value}", why),
        part,
        count=1,
        flags=re.M,
    )
    assert times, f"the recipe has no {key}"
    return found


def scalar_at(text: str, path: Sequence[str]) -> str | None:
    """The value under these keys, if it is a scalar."""
    node = _node(text, path)
    return node.value if node else None


def with_scalar(text: str, path: Sequence[str], value: str) -> str:
    """The text with another value under these keys; for an alias, its anchor's value changes."""
    node = _node(text, path)
    assert node, f"the recipe has no {'.'.join(path)}"
    return text[: node.start_mark.index] + value + text[node.end_mark.index :]


def _node(text: str, path: Sequence[str]) -> yaml.ScalarNode | None:
    node = yaml.compose(text, yaml.SafeLoader)
    for key in path:
        if not isinstance(node, yaml.MappingNode):
            return None
        node = next((value for name, value in node.value if name.value == key), None)
    return node if isinstance(node, yaml.ScalarNode) else None


def remarked(line: str, why: str) -> str:
    """The line with a comment, at the column where recipes have theirs."""
    return f"{line:<{COLUMN}}  # {why}" if why else line
