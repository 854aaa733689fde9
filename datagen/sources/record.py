"""Reads a source's row into a record: texts, choices, and references to its images."""

from __future__ import annotations

import ast
import base64
import binascii
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from vlt.datagen.sources.columns import LETTERED
from vlt.grade import extract

Row = Mapping[str, Any]
MAX_TEXT = 100_000
"""Characters of a question, an answer or a choice; more is no question."""
MAX_META = 20_000
"""Characters of what is kept of one other column."""


class BadRow(Exception):
    """The row makes no item; `reason` says why, with what differs from row to row behind a colon."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Unreadable:
    """Stands in for a row that could not even be read from its source."""

    raw: str
    reason: str


class ImageFile(NamedTuple):
    """An image's file."""

    path: str
    shown: str
    """As the row has it, which is what messages say."""


ImageRef = bytes | ImageFile | str
"""The image's bytes, its file, or its URL."""


@dataclass
class Record:
    """A row, read; nothing of it is checked beyond its types."""

    question: str
    choices: list[str]
    answer: Any
    answer_type: str | None
    images: list[ImageRef]
    source: str | None
    counted: bool = False
    """Whether the choices are numbers: then a number as the answer is one of them, not a place."""
    meta: dict[str, Any] = field(default_factory=dict)


def read_record(row: Row, columns: Mapping[str, str], folder: Path | None) -> Record:
    """The row's record; image paths lie under `folder`. Raises BadRow for what has the wrong type."""

    def cell(target: str) -> Any:
        value = row.get(columns[target]) if target in columns else None
        return None if isinstance(value, float) and math.isnan(value) else value

    source, answer_type = cell("source"), cell("answer_type")
    meta = _meta(row, columns, cell("meta"))
    answer = cell("answer")
    if isinstance(answer, str) and ("<answer>" in answer or "\\boxed" in answer):
        meta["solution"], answer = answer[:MAX_META], extract(answer)
    return Record(
        question=_text(cell("question"), "question"),
        choices=_lettered(row)
        if columns.get("choices") == "A,B,..."
        else _choices(cell("choices")),
        answer=answer,
        answer_type=answer_type if isinstance(answer_type, str) and answer_type else None,
        images=image_refs(cell("images"), folder),
        source=source if isinstance(source, str) and source else None,
        counted=_are_numbers(cell("choices")),
        meta=meta,
    )


def raw_text(row: Row | Unreadable, length: int = 2_000) -> str:
    """The row as JSON for the meta of one that failed: bytes as their count, cut at `length`."""
    if isinstance(row, Unreadable):
        return row.raw[:length]
    return json.dumps({k: _short(v, length) for k, v in row.items()}, ensure_ascii=True)[:length]


def _short(value: Any, length: int) -> Any:
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, str):
        return value[:length]
    if isinstance(value, Mapping):
        return {str(k): _short(v, length) for k, v in list(value.items())[:50]}
    if isinstance(value, list | tuple):
        return [_short(v, length) for v in value[:50]]
    return value if isinstance(value, bool | int | float | None) else str(value)[:length]


def _text(value: Any, what: str) -> str:
    if value is None:
        raise BadRow(f"no {what}")
    if not isinstance(value, str):
        raise BadRow(f"{what} is not text: {type(value).__name__}")
    if not value.strip():
        raise BadRow(f"{what} is empty")
    if len(value) > MAX_TEXT:
        raise BadRow(f"{what} is too long ({len(value):,} characters, at most {MAX_TEXT:,})")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadRow(f"{what} is not valid Unicode") from None
    return value.strip()


def _choices(value: Any) -> list[str]:
    """A list; a text that holds one (JSON or Python); {"A": ..., "B": ...}; {"text": [...]}."""
    if isinstance(value, str) and value.strip()[:1] in ("[", "{", "("):
        value = _literal(value.strip())
    if value is None or (isinstance(value, str) and not value.strip()):
        return []
    if isinstance(value, Mapping):
        if "text" in value and isinstance(value["text"], list):
            value = value["text"]
        else:
            value = [v for k, v in sorted(value.items()) if v is not None]
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise BadRow(f"choices are no list: {str(value)[:80]}")
    return [_choice(choice) for choice in value]


def _are_numbers(value: Any) -> bool:
    return (
        isinstance(value, list) and bool(value) and all(isinstance(v, int | float) for v in value)
    )


def _choice(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, bytes | Mapping):
        raise BadRow("choices are images")
    return _text(value, "choice")


def _lettered(row: Row) -> list[str]:
    found = []
    for letter in LETTERED:
        value = row.get(letter)
        if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
            break
        found.append(_choice(value))
    return found


def _literal(text: str) -> Any:
    if len(text) > MAX_TEXT:
        raise BadRow(f"choices are too long ({len(text):,} characters)")
    for parse in (json.loads, ast.literal_eval):  # literal_eval builds values and runs nothing
        try:
            return parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    raise BadRow(f"choices cannot be read: {text[:80]}")


def image_refs(value: Any, folder: Path | None) -> list[ImageRef]:
    """The images that a cell holds or names; raises BadRow for what can be no image."""
    if value is None:
        return []
    if isinstance(value, str) and value.startswith("["):
        value = _literal(value)
    if isinstance(value, list | tuple):
        return [_image(v, folder) for v in value if v is not None]
    return [_image(value, folder)]


def _image(value: Any, folder: Path | None) -> ImageRef:
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path") or value.get("url")
    if isinstance(value, str) and value:
        if value[:4].lower() == "http" and re.match(r"https?://", value, re.I):
            return value
        if value.startswith("data:"):
            return _base64(value.partition(",")[2])
        return _base64(value) if len(value) > 1000 else _file(value, folder)
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    if hasattr(value, "tobytes") and hasattr(
        value, "save"
    ):  # a PIL image from a builder of its own
        return _encoded(value)
    raise BadRow(f"image is no file, no bytes and no URL: {type(value).__name__}")


def _file(value: str, folder: Path | None) -> ImageFile:
    """The file under `folder`; links in it may lead elsewhere, the text of a path may not."""
    if folder is None:
        raise BadRow(f"image is a path where there is no folder: {value[:200]}")
    if "\0" in value:
        raise BadRow("image path holds a null character")
    root = _normal(folder)
    if value[0] == os.sep or ".." in value:
        path = os.path.normpath(os.path.join(root, value))
        if not path.startswith(root.rstrip(os.sep) + os.sep) and path != root:
            raise BadRow(f"image path leads out of the folder: {value[:200]}")
    else:
        path = f"{root}{os.sep}{value}"
    return ImageFile(path, value[:200])


@lru_cache(maxsize=16)
def _normal(folder: Path) -> str:
    return os.path.normpath(folder)


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise BadRow("image text is no base64") from None


def _encoded(image: Any) -> bytes:
    import io

    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _meta(row: Row, columns: Mapping[str, str], given: Any) -> dict[str, Any]:
    """All that the row says beside what an item holds, with `id` and the source's own meta in it."""
    used = {c for t, c in columns.items() if t not in ("id",)}
    used |= set(LETTERED) if columns.get("choices") == "A,B,..." else set()
    meta = dict(given) if isinstance(given, Mapping) else {}
    if isinstance(given, str) and given:
        try:
            loaded = json.loads(given)
        except ValueError:
            loaded = given
        meta = loaded if isinstance(loaded, dict) else {"meta": loaded}
    for name, value in row.items():
        if name in used or value is None or isinstance(value, bytes):
            continue
        value = _short(value, MAX_META)
        if len(json.dumps(value)) <= MAX_META:
            meta.setdefault(name, value)
    return meta
