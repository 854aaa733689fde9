"""A page of `vlt view` in a real Chromium, watched for what it must not do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from benchmarks.browser import MISSING, chromium, opened
from tests.viewed import Site

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 800}
UNFOLD = "for (const fold of document.querySelectorAll('details')) fold.open = true"


class Watched:
    """A page, and what it must not do: console errors, dialogs, requests elsewhere."""

    def __init__(self, browser: Any, site: Site, size: dict[str, int]):
        self.site, self.wrong = site, []
        self.context = browser.new_context(viewport=size)
        self.page = self.context.new_page()
        self.page.set_default_timeout(30_000)
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: self.wrong.append(f"dialog: {dialog.message}"))
        self.page.on("request", self._asked)

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(f"console: {message.text}")

    def _asked(self, request: Any) -> None:
        if urlsplit(request.url).netloc != urlsplit(self.site.address).netloc:
            self.wrong.append(f"asked {request.url}")

    def go(self, path: str) -> Any:
        """The page, loaded, with the item's history if it shows one."""
        self.page.goto(self.site.address + path)
        return self.settled()

    def settled(self) -> Any:
        """The page, once nothing is loading any more."""
        self.page.wait_for_load_state("networkidle")
        return self.page

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        root = "document.documentElement"
        return int(self.page.evaluate(f"{root}.scrollWidth - {root}.clientWidth"))


@contextmanager
def browsing() -> Iterator[Any]:
    """A started Chromium; without one the tests are skipped, but not in CI."""
    if not chromium():
        if os.environ.get("CI"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with opened() as started:
        yield started


@contextmanager
def watching(browser: Any, site: Site, size: dict[str, int]) -> Iterator[Watched]:
    """A page of this size; at the end it must have done nothing wrong."""
    watched = Watched(browser, site, size)
    try:
        yield watched
        assert watched.wrong == []
    finally:
        watched.context.close()
