"""Arrow's values as Python's, without loss.

A float16 or float32 becomes the shortest decimal that represents it (0.1, not 0.10000000149); a label of
`datasets` becomes its name; a date outside Python's range becomes text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from vlt.datagen.sources.record import Row, Unreadable

Convert = Callable[[Any], Any]
"""Converts a value that is not None."""
TROUBLE = (ValueError, OverflowError, pa.ArrowException)


def converters(schema: pa.Schema) -> dict[str, Convert]:
    """Column -> the conversion of its values; columns that need none are left out."""
    described = features_of(schema)
    found = {field.name: converter(field.type, described.get(field.name)) for field in schema}
    return {name: convert for name, convert in found.items() if convert}


def features_of(schema: pa.Schema) -> Mapping[str, Any]:
    """The features that `datasets` stores in the schema's metadata."""
    written = (schema.metadata or {}).get(b"huggingface")
    if not written:
        return {}
    try:
        described = json.loads(written)["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}  # another library's metadata under that key: no conversion
    return described if isinstance(described, dict) else {}


def converter(type: pa.DataType, feature: Any = None) -> Convert | None:
    """The conversion of values of this type, or None; `feature` is its description by `datasets`."""
    if isinstance(type, pa.BaseExtensionType):
        return converter(type.storage_type, feature)
    if pa.types.is_dictionary(type):
        return converter(type.value_type, feature)
    if pa.types.is_float16(type):
        return lambda v: float(str(np.float16(v)))
    if pa.types.is_float32(type):
        return lambda v: float(str(np.float32(v)))
    if pa.types.is_integer(type) and (names := _label_names(feature)):
        return lambda v: names[v] if 0 <= v < len(names) else None
    if pa.types.is_map(type):
        return _map(type)
    if _is_list(type):
        inner = converter(type.value_type, _element(feature))
        return (lambda v: [None if e is None else inner(e) for e in v]) if inner else None
    if pa.types.is_struct(type):
        return _struct(type, feature)
    return None


def rows_of(batch: pa.RecordBatch, convert: Mapping[str, Convert]) -> Iterator[Row | Unreadable]:
    """The rows of a batch; a row with invalid text is Unreadable."""
    names = batch.schema.names
    broken: dict[int, str] = {}
    columns: list[list[Any]] = []
    for name, column in zip(names, batch.columns, strict=True):
        try:
            values = column.to_pylist()
        except TROUBLE:
            values = [_careful(scalar, place, name, broken) for place, scalar in enumerate(column)]
        if change := convert.get(name):
            values = [None if v is None else change(v) for v in values]
        columns.append(values)
    if not columns:
        yield from ({} for _ in range(batch.num_rows))
        return
    for place, cells in enumerate(zip(*columns, strict=True)):
        if place in broken:
            yield Unreadable("", broken[place])
        else:
            yield dict(zip(names, cells, strict=True))


def _careful(scalar: pa.Scalar, place: int, name: str, broken: dict[int, str]) -> Any:
    """A value of a column in which at least one cannot be converted to Python."""
    try:
        return _value(scalar)
    except UnicodeDecodeError:
        broken[place] = f"not UTF-8 (column {name!r})"
        return None


def _value(scalar: pa.Scalar) -> Any:
    if not scalar.is_valid:
        return None
    if isinstance(scalar, pa.StructScalar):
        return {name: _value(scalar[name]) for name in scalar.type.names}
    if isinstance(scalar, pa.ListScalar | pa.LargeListScalar | pa.FixedSizeListScalar):
        return [_value(element) for element in scalar]
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        raise
    except TROUBLE:
        return f"{getattr(scalar, 'value', '')} ({scalar.type}, out of range)"


def _is_list(type: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(type) or pa.types.is_large_list(type) or pa.types.is_fixed_size_list(type)
    )


def _label_names(feature: Any) -> list[str] | None:
    names = feature.get("names") if isinstance(feature, dict) else None
    return names if isinstance(names, list) and feature.get("_type") == "ClassLabel" else None


def _element(feature: Any) -> Any:
    """The description of a list's elements."""
    if isinstance(feature, list):
        return feature[0] if feature else None
    return feature.get("feature") if isinstance(feature, dict) else None


def _struct(type: pa.DataType, feature: Any) -> Convert | None:
    described = feature if isinstance(feature, dict) else {}
    if "_type" in described:  # a sequence of objects, stored as an object of sequences
        within = described.get("feature")
        described = {k: [v] for k, v in within.items()} if isinstance(within, dict) else {}
    inner = {field.name: converter(field.type, described.get(field.name)) for field in type}
    wanted = {name: change for name, change in inner.items() if change}
    if not wanted:
        return None
    return lambda value: {
        k: wanted[k](v) if k in wanted and v is not None else v for k, v in value.items()
    }


def _map(type: pa.DataType) -> Convert:
    inner = converter(type.item_type)
    return lambda value: {
        str(k): inner(v) if inner and v is not None else v
        for k, v in (value.items() if isinstance(value, dict) else value)
    }
