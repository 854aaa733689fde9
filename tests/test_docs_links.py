"""No dead links: pages, anchors and images that README and docs point to exist."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest

from docs.generate import PAGES
from tests.docs_blocks import ROOT, pages

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
EVERY = ["CONTRIBUTING.md", "CHANGELOG.md", *pages()]


@functools.cache
def text_of(file: Path) -> str:
    """A page's text, also of one that is made from the code; fails where there is none."""
    if file.parent == ROOT / "docs" / "reference":
        assert file.name in PAGES, f"docs/reference has no {file.name}"
        return PAGES[file.name]()
    notebook = file.with_suffix(".py")
    if file.parent == ROOT / "docs" / "notebooks" and notebook.is_file():
        return notebook.read_text("utf-8").replace("\n# #", "\n#")
    assert file.is_file(), f"there is no {file.relative_to(ROOT)}"
    return file.read_text("utf-8") if file.suffix == ".md" else ""


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST make them."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    heads = re.findall(r"^#{1,4} (.+)$", text, re.M)
    plain = [re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", head).lower() for head in heads]
    return {re.sub(r"[^\w\- ]", "", head).replace(" ", "-") for head in plain}


@pytest.mark.parametrize("page", EVERY)
def test_links(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    outside = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    for target in LINK.findall(re.sub(r"`[^`\n]*`", "", outside)):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        there = text_of(file.resolve())
        if anchor:
            # Sphinx writes vlt.Model as vlt-model, GitHub as vltmodel.
            known = anchors(there) | anchors(there.replace("vlt.", "vlt-"))
            assert anchor in known, f"{page}: {target} has no such heading"


def test_every_page_is_in_the_navigation() -> None:
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    trees = "\n".join(re.findall(r"```\{toctree\}(.*?)```", index, re.S))
    listed = set(re.findall(r"^(?:.*<)?([\w/-]+)>?$", trees, re.M))
    written = {Path(page).stem for page in pages() if page.startswith("docs/")} - {"index"}
    notebooks = {f"notebooks/{file.stem}" for file in (ROOT / "docs/notebooks").glob("*.py")}
    made = {f"reference/{Path(name).stem}" for name in PAGES}
    assert listed == written | notebooks | made
