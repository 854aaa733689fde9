"""Where items come from: files, folders, the Hub, and sources known by name.

A source yields raw rows (`formats/` has a module for each file format, `folders.py` finds the files of a
folder); `layouts.py` converts rows whose columns are not those of an item; `record.py` reads a row by a
mapping of columns, `check.py` decides whether it is a valid item, and `items.py` writes the dataset version.
"""

from __future__ import annotations

from vlt.datagen.import_settings import Import
from vlt.datagen.sources.items import make_items
from vlt.datagen.sources.locate import Source, open_source

__all__ = ["Import", "Source", "make_items", "open_source"]
