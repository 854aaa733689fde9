"""A workspace as stages use it: its versions, images and journal, opened once."""

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
"""Called with the state of a stage, one line at a time; each line replaces the one before."""


class Workspace(Store):
    """The store of versions, with its images and journal.

    Both are opened on first use, and closed with the workspace.

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
        """Called with progress lines; None for no progress."""
        self.notice = notice
        """Called with what a user should know about a server, once for each; None for no notices."""
        self._opened = ExitStack()

    @cached_property
    def images(self) -> ImageStore:
        """The image store, by sha256."""
        return self._opened.enter_context(ImageStore(self.images_folder))

    @cached_property
    def journal(self) -> Journal:
        """The journal of all answers."""
        journal = Journal(self.journal_file)
        self._opened.callback(journal.close)
        return journal

    @property
    def logs(self) -> Path:
        """The folder for the logs of programs started by vlt."""
        return self.root / "logs"

    def close(self) -> None:
        """Close what was opened; it is opened again when needed."""
        self._opened.close()
        for name in ("images", "journal"):
            self.__dict__.pop(name, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_ended: object) -> None:
        self.close()
