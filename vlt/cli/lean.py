"""Keeps a process small that only sends requests."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from typing import Any


class _NoPandas(MetaPathFinder):
    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:  # noqa: ARG002
        if fullname == "pandas":
            raise ModuleNotFoundError(fullname)


def lean_arrow() -> None:
    """Load Arrow without pandas, and let it return freed memory to the system.

    The first `pa.array` imports pandas only to check whether it was given a Series: 40 MB and 0.16 s
    of CPU. Once the import has failed, Arrow does without pandas; `to_pandas` tries again and works.
    The default allocator keeps some 30 MB of freed memory.
    """
    import pyarrow as pa

    pa.set_memory_pool(pa.system_memory_pool())
    sys.meta_path.insert(0, finder := _NoPandas())
    try:
        pa.array([])
    finally:
        sys.meta_path.remove(finder)
