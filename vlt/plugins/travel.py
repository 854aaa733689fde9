"""Pickling of objects that contain users' functions and classes, for another process.

`pickle` names a function by its module. The module of a user's file has a name that other processes do not
know, so its functions are pickled as the file's path, and the file is loaded again on arrival.
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
    """The object pickled for another process of vlt; None if it cannot be.

    It cannot if it contains a function of a notebook, of the running script, or of another function
    (a lambda, a closure), since what they use exists only in this process.
    """
    out = io.BytesIO()
    try:
        _Travelling(out, 5).dump(given)
    except (pickle.PicklingError, TypeError, AttributeError):
        return None
    return out.getvalue()


class _Travelling(pickle.Pickler):
    def reducer_override(self, given: Any) -> Any:
        """How functions and classes are pickled; anything else is left to pickle."""
        if not isinstance(given, type | FunctionType):
            return NotImplemented
        module = sys.modules.get(given.__module__)
        if given.__module__ == "__main__" or "<locals>" in given.__qualname__:
            raise pickle.PicklingError(f"{given.__qualname__} exists only in this process")
        ours = given.__module__.startswith(UNIQUE)
        if module is not None and not ours:
            return NotImplemented
        file = _file_of(given, module)
        digest = source_digest(Path(file), Path(file).read_bytes())
        if ours and unique_name(Path(file), digest) != given.__module__:
            raise pickle.PicklingError(f"{file} has changed since it was loaded")
        return _arrived, (file, digest, given.__qualname__)


def _file_of(given: Any, module: Any) -> str:
    """The file of a module that other processes cannot import by name."""
    names = vars(module) if module else getattr(given, "__globals__", {})
    if "." in given.__module__ or not isinstance(names.get("__file__"), str):
        raise pickle.PicklingError(f"{given.__qualname__} has no source file")
    return str(names["__file__"])


def _arrived(file: str, digest: str, name: str) -> Any:
    """The function or class of this name in the file, which must be unchanged."""
    from vlt.plugins import load_file

    if not os.path.exists(file):  # on another machine
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), file)
    found, now = load_file(Path(file), f"{file}:{name}")
    if now != digest:
        raise UserError(
            f"{file!r} on {socket.gethostname()} was changed while its functions were in use, or differs "
            "from the file on other nodes; run the command again with the same file everywhere"
        )
    for part in name.split("."):
        found = getattr(found, part)
    return found
