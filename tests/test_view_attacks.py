"""Text that attacks the page of vlt view, in a real Chromium: it shows as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pytest

from tests.rows import dataset, item, sample
from tests.viewed import Site, serving
from tests.watched import NARROW, UNFOLD, WIDE, Watched, watching
from vlt.workspace.flags import Flag, Flags
from vlt.workspace.manifest import Stage
from vlt.workspace.schema import SAMPLE
from vlt.workspace.store import Store
from vlt.workspace.writer import Writer

ATTACKS = (
    "<script>window.hit = 1</script>",
    '<img src=x onerror="window.hit = 1">',
    "<svg onload=window.hit=1><a xlink:href=javascript:window.hit=1>x</a></svg>",
    '"><script>window.hit = 1</script><b onmouseover="window.hit=1" style="',
    "</pre></textarea></title></script><script>window.hit = 1</script>",
    "<style>body { display: none } @import url(http://evil.example/x.css);</style>",
    '<iframe src="http://evil.example/"></iframe><base href="http://evil.example/">',
    '<a href="javascript:window.hit=1">x</a> <form action="http://evil.example/"><button>x</button>',
    '<meta http-equiv="refresh" content="0;url=http://evil.example/">',
    "[x](javascript:window.hit=1) ![x](http://evil.example/x.png) <javascript:window.hit=1>",
    "[x][y]\n\n[y]: javascript:window.hit=1",
    "&lt;script&gt;window.hit=1&lt;/script&gt; &#60;script&#62;",
    "{{ 7 * 7 }} {% for x in y %} ${window.hit=1}",
    r"\(\href{javascript:window.hit=1}{x}\) \(\url{http://evil.example/}\)",
    r"\(\includegraphics{http://evil.example/x.png}\) \(\htmlStyle{position:fixed}{x}\)",
    r"\(\color{red;background:url(http://evil.example/)}x\) $\rule{9999em}{9999em}$",
    r"$\def\a{\a\a}\a$ \(\text{<script>window.hit=1</script>}\)",
)
BROKEN = (
    *(r"\(\frac{1}{\)", r"$$\begin{align} a$$", r"\[ \left( x \]", r"$\undefined{x}$"),
    # Less than what is shown as it stands, without Markdown.
    *("$$ \\( \\[ `` ``` **", "**" * 700, "[" * 1_500, "`" * 1_499, "> " * 400 + "deep"),
    *("- " * 300, "|a|b|\n|:-|-:|\n" * 100, "$" * 1_001, "\\(" * 700, "![" * 700),
)
BIDI = "safe \u202egnol\u202c \u2066x\u2069 zero\u200bwidth \x07\x1b[31m"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A workspace in which every text attacks the page."""
    workspace = tmp_path_factory.mktemp("view") / '<img src=x onerror="window.hit=1">'
    store = Store(workspace)
    questions = [_attacking(n, text) for n, text in enumerate([*ATTACKS, BIDI])]
    questions.append({**item("\n\n".join(BROKEN)), "id": "broken"})
    questions.append({**item("x" * 1_000_000, source="y" * 100_000), "id": "long"})
    parent = dataset(store, "items", "item", questions)
    rows = []
    for q in questions:
        text = q["question"]
        short = text if len(text) < 1_000 else text[:1_000]
        rows += [
            sample(
                f"<think>{text}</think>{text}" if n else text,
                n,
                q,
                reasoning=text,
                predicted=short,
                verdict=("wrong", short)[n],
                verdict_reason=short,
                model=short,
                finish_reason=short,
                caption=text,
                caption_model=short,
                cut=text,
            )
            for n in (0, 1)
        ]
    table = pa.Table.from_pylist(rows, SAMPLE)
    stage = Stage(ATTACKS[0], {ATTACKS[1]: ATTACKS[0]})
    with Writer(store, stage, "samples", "sample", [parent]) as writer:
        writer.expect(table)
        writer.keep(table.slice(0, len(rows) - 1))
        writer.drop(table.slice(len(rows) - 1), ATTACKS[0], [ATTACKS[1]])
    for q in questions[:6]:
        Flags(workspace).put(Flag(q["id"], 0, q["question"], "flag", q["question"], "samples@v1"))
    with serving(workspace) as running:
        yield running


def _attacking(number: int, text: str) -> dict[str, Any]:
    row = item(text, text, source=text, choices=[text, text], meta=f'{{"<b>": "{number}"}}')
    # An id is a hash, but a version that was pulled may say what it likes.
    return {**row, "answer_type": text, "id": f'{number}"><script>window.hit=1</script>/../?#'}


@pytest.fixture
def attacked(browser: Any, hostile: Site) -> Iterator[Watched]:
    with watching(browser, hostile, WIDE) as watched:
        yield watched


FOUND = """() => {
  const found = [];
  if (window.hit !== undefined) found.push("a script ran");
  const own = new Set(["/static/katex/katex.min.js", "/static/view.js"]);
  for (const e of document.querySelectorAll("*")) {
    const name = e.tagName.toLowerCase();
    if (["iframe", "object", "embed", "base", "style", "textarea"].includes(name)) found.push(name);
    if (name === "meta" && e.httpEquiv) found.push("meta " + e.httpEquiv);
    if (name === "script" && !own.has(e.getAttribute("src"))) found.push("script");
    if (name === "img" && !/^\\/(image|thumb)\\//.test(e.getAttribute("src"))) found.push("img");
    if (name === "form" && new URL(e.action).origin !== location.origin) found.push("form");
    if (name === "a" && e.closest(".text")) found.push("a link in a text");
    if (e.href && new URL(e.href.baseVal ?? e.href, location).origin !== location.origin)
      found.push("link to " + e.href);
    for (const a of e.attributes) if (a.name.startsWith("on")) found.push(name + " " + a.name);
    if (e.closest(".text") && getComputedStyle(e).position === "fixed") found.push("fixed");
  }
  if (getComputedStyle(document.body).display === "none") found.push("hidden");
  return found;
}"""


def test_hostile_text_is_text(attacked: Watched) -> None:
    workspace = attacked.site.workspace
    ids = [row["id"] for row in Store(workspace).open("items").table(["id"]).to_pylist()]
    paths = ["/datasets", "/flags", "/d/samples", "/d/samples?dropped=1", "/d/items"]
    paths += [f"/d/samples/row/{quote(row, safe='')}?sample=1" for row in ids]
    paths += [f"/d/items/row/{quote(ids[0], safe='')}"]
    paths += ["/d/samples?" + "&".join(f"{name}={quote(ATTACKS[3])}" for name in ("q", "where"))]
    paths += ["/d/" + quote(ATTACKS[3], safe=""), "/d/samples/find?id=" + quote(ATTACKS[1])]
    for path in paths:
        attacked.wrong.clear()
        page = attacked.go(path)
        page.evaluate(UNFOLD)
        page.wait_for_timeout(50)  # an event handler would have had its turn
        assert page.evaluate(FOUND) == []
        assert page.title() and page.locator("header .brand").is_visible()
        # Chromium logs every answer that is an error page; nothing else is let through.
        refused = [w for w in attacked.wrong if "status of 400" in w or "status of 404" in w]
        assert attacked.wrong == refused and len(refused) <= 1, (path, attacked.wrong)
    attacked.wrong.clear()


def test_hostile_text_is_shown_as_it_was_written(attacked: Watched) -> None:
    rows = Store(attacked.site.workspace).open("items").table(["id", "question"]).to_pylist()
    for row in rows[:13]:  # the attacks that are not maths
        page = attacked.go(f"/d/items/row/{quote(row['id'], safe='')}")
        shown = page.locator(".gold").inner_text()
        assert " ".join(row["question"].split()) in " ".join(shown.split())
    (bidi,) = [row for row in rows if row["question"] == BIDI]
    shown = attacked.go(f"/d/items/row/{quote(bidi['id'], safe='')}").locator(".asked").inner_text()
    assert shown.startswith(
        "safe ⟨U+202E⟩gnol⟨U+202C⟩ ⟨U+2066⟩x⟨U+2069⟩ zero⟨U+200B⟩width ⟨U+0007⟩"
    )


def test_broken_maths_and_markdown_show_as_text(attacked: Watched) -> None:
    page = attacked.go("/d/items/row/broken")
    shown = page.locator(".asked").inner_text()
    for text in BROKEN[:4]:
        assert text in shown
    assert page.locator(".maths.broken").count() >= 4
    assert "deep" in shown and "$$ \\( \\[" in shown


def test_a_line_of_a_megabyte_opens(attacked: Watched) -> None:
    page = attacked.go("/d/samples/row/long")
    assert "The first 200,000 of 1,000,000 characters" in page.locator(".asked").inner_text()
    assert attacked.overflow() <= 0
    page.get_by_role("link", name="the full text").first.click()
    page.wait_for_load_state()
    assert len(page.locator("body").inner_text()) == 1_000_000


def test_narrow_screens_scroll_one_way(browser: Any, hostile: Site) -> None:
    with watching(browser, hostile, NARROW) as watched:
        row = watched.go("/d/samples").locator(".card").first.get_attribute("href")
        for path in ("/d/samples", "/flags", row, "/d/samples/row/long", "/d/items/row/broken"):
            page = watched.go(path)
            page.evaluate(UNFOLD)
            assert watched.overflow() <= 0, path
