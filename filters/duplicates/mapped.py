"""Large arrays on disk, of which memory holds what is used."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np


def mapped(folder: Path, shape: tuple[int, ...], dtype: type[np.generic]) -> np.ndarray[Any, Any]:
    """An array of zeros in a file of the folder that has no name, and so is gone with the array.

    Unlike memory, the system can take its pages back: they are written to the file.
    """
    if not np.prod(shape):  # nothing cannot be mapped
        return np.zeros(shape, dtype)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, dtype, "w+", shape=shape)
