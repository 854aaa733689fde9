"""Where items come from: files, folders, the Hub, and sources known by name.

A source yields rows as they stand there (`formats/` has a module for each kind of file, `folders.py`
says what a folder holds); `layouts.py` puts those in order whose columns do not say what an item is;
`record.py` reads a row by a mapping of columns, `check.py` decides whether it is a sound item, and
`items.py` writes the dataset version.
"""

from __future__ import annotations

from vlt.datagen.import_settings import Import
from vlt.datagen.sources.items import make_items
from vlt.datagen.sources.locate import Source, open_source

__all__ = ["Import", "Source", "make_items", "open_source"]
