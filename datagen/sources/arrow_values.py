"""Arrow's values as Python's, those too that Python's own types cannot hold."""

from __future__ import annotations

from typing import Any

import pyarrow as pa


def python_rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """The rows as dicts.

    Dates and times that Python cannot hold (beyond the year 9999, a day of more than 24 hours) are the
    numbers that the file has for them; all others are as Arrow gives them.
    """
    try:
        return batch.to_pylist()
    except (OverflowError, ValueError):
        columns = [_values(column) for column in batch.columns]
    return [
        dict(zip(batch.schema.names, values, strict=True)) for values in zip(*columns, strict=True)
    ]


def _values(column: pa.Array) -> list[Any]:
    try:
        return column.to_pylist()
    except (OverflowError, ValueError):
        return [_value(scalar) for scalar in column]


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except (OverflowError, ValueError):
        return scalar.cast(_in_numbers(scalar.type)).as_py()


def _in_numbers(type: pa.DataType) -> pa.DataType:
    """The type with numbers where it has dates and times."""
    if pa.types.is_list(type) or pa.types.is_large_list(type):
        return pa.list_(_in_numbers(type.value_type))
    if pa.types.is_struct(type):
        return pa.struct([(field.name, _in_numbers(field.type)) for field in type])
    if pa.types.is_date32(type) or pa.types.is_time32(type):
        return pa.int32()
    return pa.int64() if pa.types.is_temporal(type) else type
