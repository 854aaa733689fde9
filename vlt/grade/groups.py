"""Answers of several parts: tuples, intervals, sets, lists, unions, matrices, ratios.

`group_of` splits a cleaned text; comparing the parts is left to `judge`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from vlt.grade.expression import parse
from vlt.grade.spans import SERIES, range_of

Kind = Literal["bracket", "set", "list", "union", "matrix", "ratio", "range"]

MAX_ITEMS = 100


@dataclass(frozen=True, slots=True)
class Group:
    """The parts of an answer, as texts."""

    kind: Kind
    """bracket: (1, 2), [1, 2] and the half-open ones; list: parts without brackets."""
    items: tuple[str, ...]
    """The parts; for a matrix its rows' entries one after the other."""
    brackets: str = ""
    """The brackets of a `bracket`: "()", "[]", "[)" or "(]"."""
    shape: tuple[int, int] = (0, 0)
    """(rows, columns) of a matrix."""
    joined: bool = False
    """A list joined by "or": legitimate only if gold has several solutions."""


_MATRIX = re.compile(
    r"^[(\[]?\s*\\begin\s*\{(?:small)?(?:[pbvBV]?matrix|array)\}\s*(?:\{[lcr| ]*\})?"
    r"(?P<body>.*?)\\end\s*\{(?:small)?(?:[pbvBV]?matrix|array)\}\s*[)\]]?$",
    re.S,
)
_ROW = re.compile(r"\\\\(?:\s*\[[^\]]*\])?|\\cr\b")
_RATIO = re.compile(r"-?\d+(?:\.\d+)?(?:\s*:\s*-?\d+(?:\.\d+)?)+")
_ROOT = re.compile(r"\d*\\sqrt ?(?:\{\d+\}|\d)|\\frac ?\{\d+\} ?\{\d+\}")
_TO = re.compile(r"\d+(?:\.\d+)?(?:\s+to\s+\d+(?:\.\d+)?)+", re.I)
_THOUSANDS_ONLY = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_BULLET = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)])\s+")
_AND = re.compile(r"\s*(?:\band\b|&)\s*", re.I)
_OR = re.compile(r"\s+or\s+", re.I)
_OPEN, _CLOSE = "([{⦃", ")]}⦄"


@lru_cache(maxsize=8192)
def group_of(text: str) -> Group | None:
    """The parts of a cleaned text, or None if it is a single answer."""
    if len(text) > 2000 or not text:
        return None
    if "\\begin" in text:
        return _matrix(text)
    if text in ("∅", "⦃⦄", "{}", "⦃ ⦄") or text.casefold() in ("empty set", "the empty set"):
        return Group("set", ())
    if "±" in text or "∓" in text:
        text = _plus_minus(text)
    if "∪" in text or " U " in text:
        parts = re.split(r"\s*∪\s*|\s+U\s+", text)
        if len(parts) > 1 and all(part[:1] in _OPEN for part in parts if part):
            return Group("union", tuple(parts))
    if ":" in text and "\\" in text and _RATIO.fullmatch(_ROOT.sub("1", text)):
        return Group("ratio", tuple(part.strip() for part in text.split(":")))
    if _RATIO.fullmatch(text):
        return Group("ratio", tuple(part.strip() for part in text.split(":")))
    ends = range_of(text)
    if ends is not None:
        return Group("range", ends[:2], "to" if ends[2] else "")
    if SERIES.fullmatch(text):
        return Group("list", tuple(text[1:-1].split(")(")))
    if _TO.fullmatch(text):
        return Group("ratio", tuple(re.split(r"\s+to\s+", text, flags=re.I)))
    first, last = text[0], text[-1]
    if first in "([{⦃" and last in ")]}⦄" and _matching(text) == len(text) - 1:
        return _bracketed(text, first, last)
    return _bare(text)


def _bracketed(text: str, first: str, last: str) -> Group | None:
    inner = text[1:-1].strip()
    if first == "⦃" or (first == "{" and last == "}"):
        if first == "{" and not _commas(inner):
            return None
        return Group("set", _items(inner))
    if not _commas(inner) and not (first == "[" and last == "]"):
        return None
    items = _items(inner)
    if len(items) > 1 and all(item[:1] in "([" and item[-1:] in ")]" for item in items):
        rows = [group_of(item) for item in items]
        widths = {len(row.items) if row and row.kind == "bracket" else 0 for row in rows}
        if len(widths) == 1 and 0 not in widths:
            entries = tuple(entry for row in rows if row for entry in row.items)
            return Group("matrix", entries, first + last, (len(rows), widths.pop()))
    return Group("bracket", items, first + last)


def _bare(text: str) -> Group | None:
    """A list without brackets: commas, semicolons, "and", lines."""
    if "\n" in text:
        lines = [_BULLET.sub("", line).strip() for line in text.split("\n") if line.strip()]
        if 1 < len(lines) <= MAX_ITEMS:
            return Group("list", tuple(line.rstrip(",;.") for line in lines))
        text = " ".join(lines)
    joined = False
    if "=" in text and _OR.search(text):
        joined, text = True, _OR.sub(", ", text)
    lower = text.casefold()
    if not ("," in text or ";" in text or " and " in lower or "&" in text):
        return None
    if lower.startswith("both ") and " and " in lower:
        text = text[5:]
    items = [part for piece in _items(text) for part in _AND.split(piece) if part.strip()]
    items = [item.strip() for item in items]
    if not 1 < len(items) <= MAX_ITEMS:
        return None
    return Group("list", tuple(items), joined=joined)


def _matrix(text: str) -> Group | None:
    text = text.strip()
    match = _MATRIX.match(text)
    if match is None:
        scale, _, rest = text.partition("\\begin")
        inner = _matrix("\\begin" + rest) if scale and len(scale) <= 60 else None
        scale = scale.strip(" *")
        if inner is None or parse(scale) is None:
            return None
        items = tuple(f"({scale})*({item})" for item in inner.items)
        return Group("matrix", items, inner.brackets, inner.shape)
    rows = [row.strip() for row in _ROW.split(match["body"])]
    rows = [row for row in rows if row and row != "\\hline"]
    cells = [[cell.strip() for cell in row.split("&")] for row in rows]
    widths = {len(row) for row in cells}
    if len(widths) != 1:
        return Group("matrix", tuple(c for row in cells for c in row), "()", (len(cells), -1))
    return Group("matrix", tuple(c for row in cells for c in row), "()", (len(cells), widths.pop()))


def _plus_minus(text: str) -> str:
    """Two answers for "1 ± x"; in a list, each part with the sign becomes two."""
    out = []
    first, last = text[0], text[-1]
    wrapped = first in "{⦃" and last in "}⦄" and _matching(text) == len(text) - 1
    inner = text[1:-1] if wrapped else text
    for part in _items(inner) or [inner]:
        if "±" in part or "∓" in part:
            plus = part.replace("±", "+").replace("∓", "-")
            minus = part.replace("±", "-").replace("∓", "+")
            out += [re.sub(r"^\s*\+\s*|(?<==)\s*\+\s*", "", plus), minus]
        else:
            out.append(part)
    joined = ", ".join(out)
    return f"⦃{joined}⦄" if wrapped else joined


def _matching(text: str) -> int:
    """Where the bracket at the start of the text closes, any kind closing any (intervals), or -1."""
    depth = 0
    for i, c in enumerate(text):
        if c in _OPEN:
            depth += 1
        elif c in _CLOSE:
            depth -= 1
            if depth == 0:
                return i
    return -1


def _commas(text: str) -> bool:
    return "," in text or ";" in text


def _items(text: str) -> tuple[str, ...]:
    """The parts between commas (or semicolons) outside brackets.

    If some commas are followed by a space and others by three digits, the latter separate thousands.
    """
    text = text.strip()
    if not text:
        return ()
    separator = ";" if ";" in text else ","
    places, depth, quote = [], 0, ""
    for i, c in enumerate(text):
        if quote:
            quote = "" if c == quote else quote
        elif c == '"' and text.count('"') % 2 == 0:
            quote = c
        elif c in _OPEN:
            depth += 1
        elif c in _CLOSE:
            depth -= 1
        elif c == separator and depth <= 0:
            places.append(i)
    if separator == "," and any(text[i + 1 : i + 2] == " " for i in places):
        places = [i for i in places if not re.match(r"\d,\d{3}(?!\d)", text[max(0, i - 1) : i + 5])]
    ends = [*places, len(text)]
    starts = [0, *(i + 1 for i in places)]
    parts = [text[a:b].strip() for a, b in zip(starts, ends, strict=True)]
    if parts and not parts[-1]:
        parts.pop()
    return tuple(_unquoted(part) for part in parts)


def _unquoted(part: str) -> str:
    lower = part[:4].casefold()
    if lower == "and ":
        part = part[4:].strip()
    if len(part) > 1 and part[0] == part[-1] and part[0] in "\"'":
        part = part[1:-1]
    return part.strip()
