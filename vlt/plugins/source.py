"""Digests of sources, by which edited functions are recognised."""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from vlt.errors import UsageError

UNIQUE = "vlt_plugin_"
"""Prefix of the module names under which users' files are loaded."""


def unique_name(file: Path, digest: str) -> str:
    """The module name under which a file with this digest is loaded."""
    place = hashlib.sha256(f"{file}\0{digest}".encode()).hexdigest()[:16]
    return f"{UNIQUE}{file.stem}_{place}"


def source_digest(file: Path, content: bytes) -> str:
    """sha256 of a file's content, and of the files beside it that it imports, if there are any."""
    digest = hashlib.sha256(content)
    seen = {file.resolve()}
    waiting = [content]
    helpers: dict[str, bytes] = {}
    while waiting:
        for module in _imported(waiting.pop()):
            for helper in _files_of(file.parent, module):
                if helper.resolve() not in seen:
                    seen.add(helper.resolve())
                    text = helper.read_bytes()
                    helpers[str(helper.relative_to(file.parent))] = text
                    waiting.append(text)
    for path, text in sorted(helpers.items()):
        digest.update(f"\0{path}\0".encode() + text)
    return digest.hexdigest()


def _imported(content: bytes) -> set[str]:
    """The top-level names of the modules that a source imports."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):  # reported when it is loaded
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def _files_of(folder: Path, module: str) -> list[Path]:
    """The sources of a module or package of this name in the folder, if there is one."""
    if any((folder / module).glob("*.py")):
        return sorted((folder / module).rglob("*.py"))
    file = folder / f"{module}.py"
    return [file] if file.is_file() else []


def function_digest(function: Any) -> str:
    """sha256 of a function's source and of the global and captured values that it uses.

    Raises UsageError if such a value has no stable representation.
    """
    digest = hashlib.sha256()
    waiting, seen = [function], set[int]()
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        digest.update(_source(current).encode())
        if not isinstance(current, FunctionType):
            continue
        for name, value in sorted(_outside(current).items()):
            if isinstance(value, FunctionType | type) and _own(value, function):
                waiting.append(value)
            else:
                digest.update(f"\0{name}={_looks(name, value, current)}".encode())
    return digest.hexdigest()


def _source(function: Any) -> str:
    try:
        return textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        raise UsageError(
            f"the source of {function!r}, by whose digest versions are identified, cannot be found; put "
            "the function into a file and name it as file.py:name"
        ) from None


def _outside(function: FunctionType) -> dict[str, Any]:
    """The global and captured values that a function uses, by name; defaults are in its source."""
    names, values = _names(function.__code__), function.__globals__
    found = {name: values[name] for name in names if name in values}
    return {**found, **inspect.getclosurevars(function).nonlocals}


def _names(code: CodeType) -> set[str]:
    """The names that a function and its inner functions look up."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names(constant)
    return names


def _own(value: Any, function: Any) -> bool:
    """Whether it is defined in the script or notebook, or in the function's own module."""
    return getattr(value, "__module__", None) in ("__main__", function.__module__)


def _looks(name: str, value: Any, function: Any) -> str:
    """A representation of a value that is the same in every process."""
    if isinstance(value, ModuleType):
        return value.__name__
    if isinstance(value, FunctionType | type):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, set | frozenset):
        return f"{type(value).__name__} {sorted(map(repr, value))}"
    looks = repr(value)
    if " at 0x" in looks:
        raise UsageError(
            f"the function {function.__name__} uses {name!r}, a {type(value).__name__} without a stable "
            "representation to identify versions by; put the function into a file and name it as "
            "file.py:name"
        )
    return looks
