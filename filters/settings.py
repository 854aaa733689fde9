"""Settings of filters: values converted to their types, or a UsageError."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, get_type_hints

from vlt.errors import UsageError


def built(kind: Any, name: str, values: Mapping[str, Any]) -> Any:
    """The dataclass with these settings; raises UsageError if one is unknown, missing or ill-typed."""
    known = {field.name: field for field in fields(kind) if field.init}
    for key in values:
        if key not in known:
            settings = f"it has {', '.join(known)}" if known else "it has none"
            raise UsageError(f"{name} has no setting {key!r}; {settings}")
    for key, field in known.items():
        if key not in values and field.default is field.default_factory is MISSING:
            raise UsageError(f"{name} needs {key}; write {name}: {{{key}: ...}}")
    types = get_type_hints(kind)
    return kind(**{key: fitting(name, key, types[key], value) for key, value in values.items()})


def fitting(name: str, setting: str, type: Any, value: Any) -> Any:
    """The value converted to its type; raises UsageError if it does not fit."""
    from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError

    try:
        return TypeAdapter(type).validate_python(value)
    except PydanticSchemaGenerationError:  # a type that does not constrain values
        return value
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in (setting, *first["loc"]))
        raise UsageError(
            f"{name}: {where} cannot be {first['input']!r} ({first['msg'].lower()})"
        ) from None
