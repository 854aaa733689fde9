"""A headless Chromium for tests and screenshots: an installed one, never a downloaded one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
MISSING = "no Chromium was found; `make browser` installs Debian's, or set VLT_CHROMIUM=FILE"


def chromium() -> str | None:
    """The program: VLT_CHROMIUM, else the one in the PATH."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("VLT_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


@contextmanager
def opened() -> Iterator[Any]:
    """Playwright's Browser; raises FileNotFoundError if there is no Chromium."""
    from playwright.sync_api import sync_playwright

    program = chromium()
    if not program:
        raise FileNotFoundError(MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


if __name__ == "__main__":
    print(chromium() or MISSING)
    raise SystemExit(0 if chromium() else 1)
