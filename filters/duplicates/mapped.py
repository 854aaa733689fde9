"""Large arrays on disk, of which memory holds what is used."""

from __future__ import annotations

import math
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np


def mapped(folder: Path, shape: tuple[int, ...], dtype: type[np.generic]) -> np.ndarray[Any, Any]:
    """An array of zeros in a file of the folder that has no name, and so is gone with the array.

    Unlike memory, the system can take its pages back: they are written to the file. Raises OSError if the
    disk has no room for it.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if not size:  # nothing cannot be mapped
        return np.zeros(shape, dtype)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        # Without it, writing to a page for which a full disk has no room would end the process.
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        return np.memmap(file, dtype, "w+", shape=shape)
