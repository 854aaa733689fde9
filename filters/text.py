"""Measures of text columns, computed on Arrow's buffers without Python code per row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vlt.segment import segmented

Ints = np.ndarray[Any, np.dtype[np.int64]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]


def buffers(column: pa.Array) -> tuple[Bytes, Ints]:
    """(all bytes of a string column, [n + 1] offsets into them); a null is an empty text."""
    if column.null_count:
        column = pc.fill_null(column, "")
    ends = np.frombuffer(column.buffers()[1], np.int32)[column.offset :][: len(column) + 1]
    offsets = ends.astype(np.int64)
    data = column.buffers()[2]
    if data is None or not len(column):
        return np.zeros(0, np.uint8), np.zeros(len(column) + 1, np.int64)
    start, end = int(offsets[0]), int(offsets[-1])
    return np.frombuffer(data, np.uint8)[start:end], offsets - start


def count_words(column: pa.Array) -> Ints:
    """Words of each text: runs of bytes above the space; characters in scripts without spaces."""
    data, offsets = buffers(segmented(column))
    if not len(data):
        return np.zeros(len(column), np.int64)
    word = data > 32
    starts = word.copy()
    starts[1:] &= ~word[:-1]
    first = offsets[:-1][offsets[:-1] < len(data)]
    starts[first] = word[first]  # a text's first word starts, whatever the text before ended with
    at = np.flatnonzero(starts)
    return np.diff(np.searchsorted(at, offsets))


def either(column: pa.Array, other: pa.Array) -> pa.Array:
    """The text, or the other one if it is null or empty."""
    empty = pc.equal(pc.binary_length(pc.fill_null(column, "")), 0)
    return pc.if_else(empty, other, column) if pc.any(empty).as_py() else column


def reasoning(rows: pa.RecordBatch) -> pa.Array:
    """The reasoning of each sample; the whole response if it has no <think>."""
    return either(rows.column("reasoning"), rows.column("response"))


def normalised(column: pa.Array) -> pa.Array:
    """In lower case, NFKC, runs of whitespace as one space, so that typographic variants of a text agree."""
    text = pc.fill_null(column, "")
    if not pc.all(pc.string_is_ascii(text)).as_py():
        text = pc.utf8_normalize(text, "NFKC")
        return pc.utf8_trim_whitespace(
            pc.replace_substring_regex(pc.utf8_lower(text), r"[\s\pZ]+", " ")
        )
    lower = pc.ascii_lower(text)
    if pc.any(pc.match_substring_regex(lower, r"\s\s|[\t\n\r\f\v]")).as_py():
        lower = pc.replace_substring_regex(lower, r"\s+", " ")
    return pc.ascii_trim_whitespace(lower)
