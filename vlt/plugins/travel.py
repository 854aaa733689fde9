"""Objects that go to another process, with functions and classes of the user's own in them.

`pickle` names a function by its module. A module of a user's file has a name that no other process knows;
so its functions go as the file's path, and the file is loaded again where they arrive.
"""

from __future__ import annotations

import errno
import io
import os
import pickle
import socket
import sys
from pathlib import Path
from types import FunctionType
from typing import Any

from vlt.errors import UserError
from vlt.plugins.source import UNIQUE, source_digest, unique_name


def travels(given: Any) -> bytes | None:
    """The object as `pickle.load` takes it in another process of vlt; None where that cannot be.

    It cannot where it holds a function of a notebook, of the script that runs, or of another function
    (a lambda, a closure): what it uses is here alone.
    """
    out = io.BytesIO()
    try:
        _Travelling(out, 5).dump(given)
    except (pickle.PicklingError, TypeError, AttributeError):
        return None
    return out.getvalue()


class _Travelling(pickle.Pickler):
    def reducer_override(self, given: Any) -> Any:
        """How functions and classes are written down; anything else as pickle does it."""
        if not isinstance(given, type | FunctionType):
            return NotImplemented
        module = sys.modules.get(given.__module__)
        if given.__module__ == "__main__" or "<locals>" in given.__qualname__:
            raise pickle.PicklingError(f"{given.__qualname__} is known in this process alone")
        ours = given.__module__.startswith(UNIQUE)
        if module is not None and not ours:
            return NotImplemented
        file = _file_of(given, module)
        digest = source_digest(Path(file), Path(file).read_bytes())
        if ours and unique_name(Path(file), digest) != given.__module__:
            raise pickle.PicklingError(f"{file} has changed since it was loaded")
        return _arrived, (file, digest, given.__qualname__)


def _file_of(given: Any, module: Any) -> str:
    """The file of a module that other processes cannot import by its name."""
    names = vars(module) if module else getattr(given, "__globals__", {})
    if "." in given.__module__ or not isinstance(names.get("__file__"), str):
        raise pickle.PicklingError(f"{given.__qualname__} has no file of its own")
    return str(names["__file__"])


def _arrived(file: str, digest: str, name: str) -> Any:
    """The function or class of this name in the file, which must be as it was."""
    from vlt.plugins import load_file

    if not os.path.exists(file):  # on another machine
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), file)
    found, now = load_file(Path(file), f"{file}:{name}")
    if now != digest:
        raise UserError(
            f"{file!r} on {socket.gethostname()} is not as it was when its functions were loaded; leave it "
            "as it is, the same on all nodes of a cluster, and run again"
        )
    for part in name.split("."):
        found = getattr(found, part)
    return found
