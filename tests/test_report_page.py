"""The report as a page: nothing runs, nothing is loaded, and it fits, whatever texts it contains."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.cli import vlt_json
from tests.made_run import HELD_OUT, evaluation, made_run
from tests.report_page import Page
from tests.rows import dataset, item
from tests.small_recipe import write_small
from vlt.evaluation.interval import wilson
from vlt.report import find, report_html
from vlt.workspace.store import Store

HOSTILE = (
    "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    "</pre></details></main><svg onload=document.title='owned'><a href='javascript:alert(1)'>a</a>"
    "[a](javascript:alert(1)) ![](http://evil.example/x.png) <style>*{display:none}</style>"
    "<iframe src=//evil.example></iframe> {{ 7*7 }} {% raw %} &lt;b&gt; $\\frac{1}{ \\(\\href{http"
    "://evil.example}{x}\\) \u202eevil\u2066 \x00\x1b[2J ]]> \U000e0041 '\""
)
LINE = "<b>x</b>" * 125_000
"""A megabyte without a space to break at."""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run whose every text attacks it, and one of whose responses is a megabyte."""
    folder = tmp_path_factory.mktemp("hostile") / "<img src=x onerror=document.title=1>"
    store = Store(folder)
    made_run(store, text=HOSTILE + LINE)
    stranger = {"name": HOSTILE + LINE, "revision": None}
    evaluation(store, "eval-stranger", store.open("heldout"), stranger, 1)
    file = folder / "report.html"
    file.write_text(report_html(find(store)), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run."""
    folder = tmp_path_factory.mktemp("plain")
    store = Store(folder)
    made_run(store)
    file = folder / "report.html"
    file.write_text(report_html(find(store)), encoding="utf-8")
    return file


def test_hostile_text_is_text(hostile: Path) -> None:
    html = hostile.read_text()
    page = Page(html)
    assert not page.tags & {"script", "iframe", "link", "object", "embed", "form", "base"}
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    references = {
        value for _, name, value in page.attributes if name in ("src", "href", "action", "srcset")
    }
    assert {value.split(",")[0] for value in references if not value.startswith("#")} == {
        "data:image/webp;base64"
    }
    assert not re.search(r"url\(|@import", html)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\U000e0041]", html)
    assert "<script>document.title" in page.text
    assert "{{ 7*7 }} {% raw %} &lt;b&gt; $\\frac{1}{" in page.text
    assert "[U+202E]evil[U+2066] [U+0000][U+001B][2J" in page.text
    assert re.search(r"… \(cut; 1,000,\d{3} characters in all\)", page.text)
    assert len(html) < 1_000_000


def test_hostile_names_in_a_workspace_without_a_loop(workspace: Path) -> None:
    """There the models' names are the figure's labels."""
    store = Store(workspace)
    items = dataset(store, "items", "item", [item(str(i), str(i)) for i in range(HELD_OUT)])
    for i in range(2):
        stranger = {"name": f"{i}{HOSTILE}", "revision": None}
        evaluation(store, f"eval-{i}", items, stranger, i)
    html = report_html(find(store))
    page = Page(html)
    assert "accuracy (%)" in page.texts
    assert not page.tags & {"script", "iframe", "image", "foreignobject"}
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    for figure in re.findall(r"<svg.*?</svg>", html, re.S):
        assert ElementTree.fromstring(figure) is not None


def test_a_policy_forbids_all_but_the_page_itself(plain: Path) -> None:
    page = Page(plain.read_text())
    (policy,) = [v for tag, name, v in page.attributes if name == "content" and "default-src" in v]
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@pytest.mark.parametrize("which", ["plain", "hostile"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_a_browser(
    browser: Any, which: str, width: int, scheme: str, request: pytest.FixtureRequest
) -> None:
    file: Path = request.getfixturevalue(which)
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=True
    )
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("request", lambda each: asked.append(each.url))
    page.goto(file.as_uri())
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
    assert page.title().endswith(": report")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("[...document.images].every(each => each.naturalWidth > 0)")
    assert page.locator("main article.example").count() >= 8
    assert page.evaluate(CUT) == []
    assert page.evaluate(UNMARKED) == [], "a table or chart that goes on has a shadow at its side"
    ink, paper = page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    assert (brightness(ink) > 200, brightness(paper) < 40) == ((scheme == "dark"),) * 2
    drawn = page.evaluate("getComputedStyle(document.querySelector('svg text')).fill")
    assert drawn == ink
    context.close()


CUT = """[...document.querySelectorAll('svg')].flatMap(svg => {
  const view = svg.viewBox.baseVal;
  return [...svg.querySelectorAll('text')].filter(text => {
    const box = text.getBBox();
    return !text.hasAttribute('transform') && (box.x < 0 || box.x + box.width > view.width
      || box.y < 0 || box.y + box.height > view.height);
  }).map(text => text.textContent);
})"""
"""Texts of figures that reach beyond them."""
UNMARKED = """[...document.querySelectorAll('main *')].filter(each => {
  const style = getComputedStyle(each);
  return style.overflowX == 'auto' && each.scrollWidth > each.clientWidth
    && !style.backgroundImage.includes('gradient');
}).map(each => each.tagName)"""
"""What has to be scrolled sideways and does not show it."""


def brightness(colour: str) -> float:
    """Mean of the channels of rgb(...)."""
    channels = [int(value) for value in re.findall(r"\d+", colour)[:3]]
    return sum(channels) / len(channels)


def test_print_is_light_and_whole(browser: Any, plain: Path) -> None:
    page = browser.new_page(color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    page.goto(plain.as_uri())
    assert brightness(page.evaluate("getComputedStyle(document.body).color")) < 60
    assert page.evaluate("getComputedStyle(document.querySelector('svg text')).fill") == (
        "rgb(34, 34, 34)"
    )
    closed = page.locator("details:not([open]) pre").first
    assert closed.bounding_box()["height"] > 40, "what is folded on a screen is printed"
    page.close()


@pytest.mark.slow
def test_of_a_real_run(tmp_path: Path) -> None:
    """The miniature's models, reduced: the report agrees with the run's own output."""
    workspace = tmp_path / "workspace"
    result = vlt_json("run", write_small(tmp_path / "small.yaml"), "-w", workspace)
    found = vlt_json("report", "small", "-w", workspace)
    assert (found["rounds"], found["missing"], found["writing"]) == ([1, 2], {}, [])
    page = Page((workspace / "report-small.html").read_text())
    accuracies = {row["version"]: row["accuracy, %"] for row in page.table("accuracy, %")}
    verified = page.table("verified samples")
    for number, row in enumerate(result["rounds"], 1):
        for name in ("sft", "grpo"):
            score = row[name]
            assert accuracies[f"eval-{name}@v{number}"] == str(
                wilson(score["value"] * score["n"], score["n"])
            )
        assert verified[number - 1]["verified samples"] == str(row["verified"])
    assert {"mean reward", "GRPO step"} <= set(page.texts)
    assert len(page.images) >= 5
