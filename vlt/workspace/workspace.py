"""A workspace as a stage uses it: its versions, its images and its journal, opened once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Self

from vlt.images.store import ImageStore
from vlt.workspace.journal import Journal
from vlt.workspace.store import Store

Tell = Callable[[str], None]
"""Told the state of a stage, one line at a time; the newest replaces the one before."""


class Workspace(Store):
    """The store of versions, with the images and the journal that belong to it.

    Both are opened when they are first needed, and closed with the workspace.

        with Workspace("workspace") as workspace:
            make_captions(workspace, items, Model("..."), Asking(...))
    """

    def __init__(
        self,
        root: Path | str = "workspace",
        progress: Tell | None = None,
        notice: Tell | None = None,
    ):
        super().__init__(root)
        self.progress = progress
        """None: stages say nothing."""
        self.notice = notice
        """Told, once each, what should be known of a server; None: nobody is."""
        self._opened = ExitStack()

    @cached_property
    def images(self) -> ImageStore:
        """Every image once, by its sha256."""
        return self._opened.enter_context(ImageStore(self.images_folder))

    @cached_property
    def journal(self) -> Journal:
        """Every answer that has arrived."""
        journal = Journal(self.journal_file)
        self._opened.callback(journal.close)
        return journal

    @property
    def logs(self) -> Path:
        """Where programs that are started for a run write theirs."""
        return self.root / "logs"

    def close(self) -> None:
        """Close what was opened; it opens again when it is needed."""
        self._opened.close()
        for name in ("images", "journal"):
            self.__dict__.pop(name, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_ended: object) -> None:
        self.close()
