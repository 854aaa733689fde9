"""Names, types and defaults of TRL's config fields, read from its source without importing torch.

Importing TRL takes seconds; a mistyped setting should fail at once, and `--explain` should not load a
framework to print a table.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BASES = (
    ("transformers", "training_args.py", "TrainingArguments"),
    ("trl", "trainer/base_config.py", "_BaseConfig"),
)
"""The base classes of every TRL config, the most general one first."""


@dataclass(frozen=True)
class Field:
    """One field of TRL's config."""

    name: str
    type: str
    """The annotation's source text, e.g. `float | None`."""
    default: Any
    """The value if it is a literal, else its source text."""


@functools.cache
def fields(config: tuple[str, str, str]) -> dict[str, Field]:
    """Every field of TRL's config (package, file, class) as installed."""
    found: dict[str, Field] = {}
    for package, file, name in (*BASES, config):
        found.update((field.name, field) for field in _class_fields(_source(package, file), name))
    return found


def _source(package: str, file: str) -> str:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{package} is not installed")
    return (Path(spec.submodule_search_locations[0]) / file).read_text()


def _class_fields(source: str, name: str) -> Iterator[Field]:
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                    yield Field(line.target.id, ast.unparse(line.annotation), _default(line.value))


def _default(value: ast.expr | None) -> Any:
    """The default in `= literal` or `= field(default=literal, ...)`."""
    if isinstance(value, ast.Call):
        for keyword in value.keywords:
            if keyword.arg in ("default", "default_factory"):
                return _default(keyword.value)
        return None
    if isinstance(value, ast.Lambda):  # default_factory, e.g. of a list
        return _default(value.body)
    if value is None:
        return None
    try:
        return ast.literal_eval(value)
    except ValueError:
        return ast.unparse(value)
