"""Where items come from: files, folders, the Hub, and sources known by name.

A source yields rows as they stand there; `record.py` reads a row by a mapping of columns,
`check.py` decides whether it is a sound item, and `items.py` writes the dataset version.
"""

from __future__ import annotations

from vlt.datagen.sources.items import make_items
from vlt.datagen.sources.locate import Source, open_source

__all__ = ["Source", "make_items", "open_source"]
