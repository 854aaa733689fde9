"""vlt view in a real Chromium: a user's session, keys, maths, narrow screens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.viewed import Site
from tests.watched import NARROW, UNFOLD, WIDE, Watched, watching
from vlt.workspace.flags import Flags


@pytest.fixture
def wide(browser: Any, site: Site) -> Iterator[Watched]:
    with watching(browser, site, WIDE) as watched:
        yield watched


def test_a_persons_way_through_it(wide: Watched) -> None:
    page = wide.go("/")
    assert page.locator("h1").inner_text() == "sft"
    page.get_by_role("link", name="Datasets").click()
    page.get_by_role("link", name="samples@v1").click()
    page.wait_for_url("**/d/samples%40v1")
    assert wide.settled().locator(".card").count() == 24
    painted = "() => [...document.images].every((i) => !i.complete || i.naturalWidth > 0)"
    page.wait_for_function(painted)

    page.get_by_role("link", name="Next →").first.click()
    page.wait_for_url("**page=2")
    page.locator("#search").fill("zebras")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**q=zebras**")
    assert page.locator(".card").count() == 2
    assert page.locator("#search").input_value() == "zebras"

    page.locator(".card").nth(1).click()
    wide.settled()
    assert page.locator(".sample").count() == 2
    assert page.locator(".sample.current .num").inner_text() == "sample 1"
    fold = page.locator("#sample-0 details")
    assert not fold.locator(".think").is_visible()
    fold.locator("summary").click()
    assert "Let me count the animals" in fold.locator(".think").inner_text()
    fold.locator("summary").click()
    assert not fold.locator(".think").is_visible()

    page.locator("#note").fill("off by one")
    page.get_by_role("button", name="Flag").click()
    wide.settled()
    assert "flagged" in page.locator("#mark").inner_text()
    assert page.locator("#note").input_value() == "off by one"
    assert [(f.sample, f.mark, f.note) for f in Flags(wide.site.workspace).all()] == [
        (1, "flag", "off by one")
    ]

    page.locator("#path").get_by_role("link", name="sft@v1").click()
    wide.settled()
    assert "/d/sft%40v1/row/" in page.url
    assert "wrong: another number" in page.locator("#sample-1").inner_text()
    page.locator("#path").get_by_role("link", name="items@v1").click()
    wide.settled()
    assert page.locator(".sample").count() == 0
    page.go_back()
    page.go_back()
    wide.settled()
    page.locator("#back").click()
    page.wait_for_url("**q=zebras**")
    assert "flagged" in page.locator(".card").nth(1).inner_text()
    page.get_by_role("link", name="Marks").click()
    page.wait_for_url("**/flags")
    assert "off by one" in page.locator("main").inner_text()


def test_keys(wide: Watched) -> None:
    page = wide.go("/d/samples?where=sample=0")
    page.keyboard.press("n")
    page.wait_for_url("**page=2**")
    page.keyboard.press("p")
    page.wait_for_function("() => !location.search.includes('page')")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.type("nap")  # letters that are keys elsewhere
    assert page.locator("#search").input_value() == "nap"
    page.keyboard.press("Escape")
    page.locator(".card").first.click()
    page.wait_for_url("**at=0**")
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**at=1**")
    page.keyboard.press("k")
    page.wait_for_url("**at=0**")
    folds = "[...document.querySelectorAll('.sample details')].filter((f) => f.open).length"
    before = page.evaluate(folds)
    page.keyboard.press("t")
    assert page.evaluate(folds) == 2 != before
    page.keyboard.press("t")
    assert page.evaluate(folds) == 0
    page.keyboard.press("a")
    page.get_by_text("accepted").first.wait_for()
    wide.settled()
    page.keyboard.press("f")
    assert page.evaluate("document.activeElement.id") == "note"
    page.keyboard.type("a fault")
    page.keyboard.press("Enter")
    page.get_by_text("flagged").first.wait_for()
    wide.settled()
    assert "a fault" in [f.note for f in Flags(wide.site.workspace).all()]
    page.keyboard.press("u")
    page.locator("#unmark").wait_for(state="detached")
    assert "a fault" not in [f.note for f in Flags(wide.site.workspace).all()]
    wide.settled().keyboard.press("Escape")
    page.wait_for_url("**/d/samples*where*")
    assert page.locator(".card").count() == 24


def test_maths_is_rendered(wide: Watched) -> None:
    page = wide.go("/d/samples")
    page.locator(".card").first.click()
    wide.settled()
    page.keyboard.press("t")
    assert page.locator(".asked .katex .mfrac").count() == 1  # $\frac{1}{2}$
    assert page.locator(".think .katex .msupsub").count() == 2  # \(x^2\), in each sample
    assert page.locator(".maths.broken").count() == 0
    fonts = page.evaluate(
        "document.fonts.ready.then((f) => [...f].filter((x) => x.status == 'loaded').length)"
    )
    assert fonts > 0


def test_narrow_screens_scroll_one_way(browser: Any, site: Site) -> None:
    with watching(browser, site, NARROW) as watched:
        row = watched.go("/d/samples").locator(".card").first.get_attribute("href")
        for path in ("/d/samples", "/d/sft?dropped=1", "/datasets", "/flags", row):
            page = watched.go(path)
            page.evaluate(UNFOLD)
            assert watched.overflow() <= 0, path
