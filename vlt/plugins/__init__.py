"""A user's functions, wherever a filter, reward, grader, source, prompt, method or engine is named.

    mine.py:no_apologies          a function in a file (its path: see `beside`)
    my_package.rules:no_apologies a function in an importable module
    no_apologies                  an entry point `vlt.filters` of an installed package

For the code that takes such a name:

    plugin = resolve(name, "filter", FILTERS)    # raises UsageError, one sentence
    plugin.object                                # the function, or what is registered in FILTERS
    {**settings, **plugin.identity}              # into the stage's parameters: {} where registered

and for a function object, from Python, `of_function(function, "filter")` instead. `mark_of` returns the
settings of the decorators `filter` and `reward` (`vlt.filter`, `vlt.reward`) on a function.

A file is loaded by its path, under a unique module name: a user's `train.py` or `vlt.py` is never confused
with a module of vlt. While it loads, its folder is last on `sys.path`, so it may import modules beside it
at its top.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from vlt.errors import UsageError
from vlt.plugins.marks import filter, mark_of, reward
from vlt.plugins.source import UNIQUE, function_digest, source_digest, unique_name
from vlt.plugins.travel import travels

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = [
    "Plugin",
    "beside",
    "blame",
    "entry_points",
    "filter",
    "is_path",
    "load_file",
    "mark_of",
    "of_function",
    "resolve",
    "reward",
    "travels",
]

PATH = re.compile(r"(?P<place>.+\.py|[A-Za-z_][\w.]*):(?P<name>[A-Za-z_][\w.]*)")
"""file.py:name or package.module:name"""


@dataclass(frozen=True)
class Plugin:
    """The object that a name refers to."""

    name: str
    """The function's name, or the registered name, as in ledgers and recipes."""
    object: Any
    identity: Mapping[str, str] = field(default_factory=dict)
    """Its part of a stage's identity, so that an edited function makes a new version: the name and the
    digest of the source, but no path. Empty for vlt's own."""
    source: str = ""
    """How the user named it, for messages."""


def is_path(name: str) -> bool:
    """Whether it has the form file.py:name or package.module:name."""
    return PATH.fullmatch(name) is not None


def beside(name: str, folder: Path) -> str:
    """A recipe's `file.py:name` with its path resolved from the recipe's folder; other names unchanged."""
    file, colon, function = name.rpartition(":")
    if not colon or not file.endswith(".py"):
        return name
    return f"{(folder / Path(file).expanduser()).resolve()}:{function}"


def resolve(
    name: str,
    kind: str,
    registered: Mapping[str, Any] | None = None,
    *,
    folder: Path | None = None,
    of: type | None = None,
) -> Plugin:
    """The object that `name` refers to, as a `kind` (filter, reward, ...).

    Args:
        registered: vlt's own by name; they take precedence.
        folder: The folder for relative file paths; by default the working directory.
        of: The class of which it must be an instance; by default it must be callable.

    Raises UsageError if there is nothing of that name or it cannot be loaded.
    """
    registered = registered or {}
    if name in registered:
        return Plugin(name, registered[name], source=name)
    if not (parsed := PATH.fullmatch(name)):
        if ":" not in name and not name.endswith(".py"):
            return _of_package(name, kind, registered, of)
        raise UsageError(
            f"{name!r} is not a {kind}; write file.py:name or package.module:name, with the name of a "
            "function after the colon"
        )
    left, wanted = parsed["place"], parsed["name"]
    folder = folder or Path.cwd()
    if left.endswith(".py"):
        module, digest = load_file((folder / Path(left).expanduser()).resolve(), name)
        identity = {"plugin": wanted, "sha256": digest}
    else:
        module = _load_module(left, name, folder)
        identity = _module_identity(module, f"{left}:{wanted}")
    found = _attribute(module, wanted, name, kind, of)
    return _plugin(found, wanted, identity, name)


def of_function(function: Any, kind: str) -> Plugin:
    """The plugin for a function object, from Python.

    A top-level function of a module is identified by the module's source, as on the command line; one of a
    notebook or a script by its own source and the values that it uses.
    """
    name = getattr(function, "__name__", None)
    if not callable(function) or not name:
        raise UsageError(
            f"{function!r} is not a {kind}; give a function, or its name as file.py:name"
        )
    module = sys.modules.get(getattr(function, "__module__", None) or "__main__")
    file = getattr(module, "__file__", None)
    held = getattr(module, name, None) is function
    if module and file and held and module.__name__ != "__main__" and Path(file).is_file():
        digest = source_digest(Path(file), Path(file).read_bytes())
    else:
        digest = function_digest(function)
    return _plugin(function, name, {"plugin": name, "sha256": digest}, f"the function {name}")


def entry_points(kind: str) -> dict[str, EntryPoint]:
    """What installed packages provide, by name: the entry points of the group vlt.<kind>s."""
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=f"vlt.{kind}s")}


def blame(error: BaseException, file: str | Path | None = None) -> str:
    """A short description of an error in the user's code: its type, its message, and its line.

    The line is the innermost one in `file`, or in a file beside it.
    """
    words = " ".join(str(error).split())
    said = f"{type(error).__name__}: {words}" if words else type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error.msg} ({Path(error.filename).name}, line {error.lineno})"
    if file and (place := _place(error, Path(file).parent)):
        return f"{said} ({place})"
    return said


def _place(error: BaseException, folder: Path) -> str | None:
    place, trace = None, error.__traceback__
    while trace:
        file = Path(trace.tb_frame.f_code.co_filename)
        if file.is_relative_to(folder) and "site-packages" not in file.parts:
            place = f"{file.relative_to(folder)}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return place


def _of_package(name: str, kind: str, registered: Mapping[str, Any], of: type | None) -> Plugin:
    points = entry_points(kind)
    if name not in points:
        known = ", ".join([*registered, *sorted(set(points) - set(registered))])
        raise UsageError(
            f"no {kind} is called {name!r}; "
            + (f"there are {known}, or " if known else "")
            + "name a function of your own: file.py:name"
        )
    point = points[name]
    with _errors(name, None):
        found, module = point.load(), importlib.import_module(point.module)
    if not _fits(found, of):
        raise UsageError(
            f"{kind} {name!r} of an installed package ({point.value}) is not a {_what(of)}"
        )
    return _plugin(found, name, _module_identity(module, point.value), name)


def _plugin(found: Any, name: str, identity: Mapping[str, str], source: str) -> Plugin:
    mark = mark_of(found)
    return Plugin((mark and mark.name) or name.rpartition(".")[2], found, identity, source)


def load_file(file: Path, name: str) -> tuple[ModuleType, str]:
    """The module of a file, and the digest of its source; it is loaded again if that has changed.

    Raises UsageError, with the name `name`, if it cannot be loaded.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        why = "does not exist" if isinstance(error, FileNotFoundError) else str(error.strerror)
        raise UsageError(f"{name!r}: the file {str(file)!r} {why}; name a Python file") from None
    digest = source_digest(file, content)
    unique = unique_name(file, digest)
    if unique in sys.modules:
        return sys.modules[unique], digest
    spec = importlib.util.spec_from_file_location(unique, file)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[unique] = module
    try:
        with _errors(name, file), _reachable(file.parent):
            exec(compile(content, str(file), "exec"), module.__dict__)
    except BaseException:
        del sys.modules[unique]
        raise
    return module, digest


def _load_module(module: str, name: str, folder: Path) -> ModuleType:
    with _errors(name, None), _reachable(folder):
        return importlib.import_module(module)


@contextmanager
def _errors(name: str, file: Path | None) -> Iterator[None]:
    """Turn what the user's code raises while loading into a UsageError."""
    try:
        yield
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(f"{name!r} cannot be loaded: {blame(error, file)}") from error


@contextmanager
def _reachable(folder: Path) -> Iterator[None]:
    """With `folder` last on sys.path. Modules imported from it are removed from sys.modules again, so that
    a helper of the same name in another folder is not confused with them."""
    there = {Path(entry or ".").resolve() for entry in sys.path}
    if folder.resolve() in there:
        yield
        return
    before = set(sys.modules)
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for new in set(sys.modules) - before:
            origin = getattr(sys.modules[new], "__file__", None)
            if origin and not new.startswith(UNIQUE) and Path(origin).is_relative_to(folder):
                del sys.modules[new]


def _attribute(module: ModuleType, wanted: str, name: str, kind: str, of: type | None) -> Any:
    found: Any = module
    for part in wanted.split("."):
        if not hasattr(found, part):
            own = [
                key
                for key, value in vars(module).items()
                if getattr(value, "__module__", None) == module.__name__ and callable(value)
            ]
            holds = f"it has {', '.join(own)}" if own else "it has no functions"
            raise UsageError(f"{name!r}: the module has no {wanted!r}; {holds}")
        found = getattr(found, part)
    if not _fits(found, of):
        raise UsageError(
            f"{name!r} is a value of type {type(found).__name__}; a {kind} is a {_what(of)}"
        )
    return found


def _fits(found: Any, of: type | None) -> bool:
    return callable(found) if of is None else isinstance(found, of)


def _what(of: type | None) -> str:
    return "function" if of is None else f"{of.__module__}.{of.__name__}"


def _module_identity(module: ModuleType, name: str) -> dict[str, str]:
    origin = getattr(module, "__file__", None)
    if not origin or not Path(origin).is_file():
        raise UsageError(
            f"{name!r} has no source file, by whose digest versions are identified; put the function into "
            "a file and name it as file.py:name"
        )
    return {"plugin": name, "sha256": hashlib.sha256(Path(origin).read_bytes()).hexdigest()}
