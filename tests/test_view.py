"""vlt view over HTTP: what each page shows."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest

from tests.cli import vlt_json
from tests.viewed import Site, cards, grid, rows_of, sentence, serving, zebra
from vlt.view.state import PAGE


def test_it_opens_with_the_newest_or_the_one_named(site: Site) -> None:
    assert site.get("/").headers["location"] == "/d/sft%40v1"
    with serving(site.workspace, "items") as named:
        assert named.get("/").headers["location"] == "/d/items%40v1"


def test_the_list_of_versions(site: Site) -> None:
    text = site.get("/datasets").text
    places = [text.index(f"{name}@v1</a>") for name in ("sft", "samples", "captions", "items")]
    assert places == sorted(places)
    assert '<a href="/d/sft%40v1?dropped=1">30</a>' in text


def test_pages_go_through_all_rows_once(site: Site) -> None:
    pages = [grid(site, page=n) for n in (1, 2, 3)]
    assert [len(cards(page)) for page in pages] == [PAGE, PAGE, 60 - 2 * PAGE]
    assert len({c for page in pages for c in cards(page)}) == 60
    assert "page 2 of 3" in pages[1].text
    assert 'rel="prev"' not in pages[0].text and 'rel="next"' not in pages[2].text
    assert cards(grid(site, page=4)) == []


@pytest.mark.parametrize(
    ("fields", "rows"),
    [
        ({"q": "zebra"}, 2),
        ({"q": "ZEBRA"}, 2),
        ({"q": "it's 100% \\ no_such"}, 0),
        ({"is_verdict": "correct"}, 30),
        ({"is_verdict": "correct", "is_source": "town"}, 10),
        ({"is_caption": "(none)"}, 0),
        ({"where": "sample = 1 and answer = '29'"}, 1),
        ({"where": "sample = 1", "q": "zebra", "is_verdict": "wrong"}, 1),
        ({"where": "list_contains(images, id) or length(response) > 20"}, 60),
    ],
)
def test_filters(site: Site, fields: dict[str, str], rows: int) -> None:
    found = grid(site, **fields)
    assert rows_of(found) == rows
    assert len(cards(found)) == min(rows, PAGE)
    # What is filtered by stands in the form, and in the address of each row and page.
    for card in cards(found)[:1]:
        assert site.get(card.replace("&amp;", "&")).status == 200
        assert all(quote(v, safe="").replace("%20", "+") in card for v in fields.values())


def test_values_to_choose_from_are_counted(site: Site) -> None:
    text = grid(site, is_verdict="wrong").text
    assert '<option value="wrong" selected>wrong (30)</option>' in text
    assert '<option value="farm">farm (40)</option>' in text


def test_order(site: Site) -> None:
    where = "sample = 0"
    up = grid(site, sort="question", where=where).text
    down = grid(site, sort="question", down="1", where=where).text
    asked = re.compile(r"are in picture (\d+)")
    assert asked.findall(up)[:4] == ["0", "10", "11", "12"]
    assert asked.findall(down)[:3] == ["29", "9", "8"]


def test_dropped_rows_with_their_reason(site: Site) -> None:
    found = grid(site, "sft", dropped="1")
    assert rows_of(found) == 30
    assert "<b>verify</b> wrong: another number" in found.text
    assert rows_of(grid(site, "sft", dropped="1", where="filter = 'select'")) == 0
    row = site.get(cards(found)[0].replace("&amp;", "&")).text
    assert "<b>verify</b> wrong: another number" in row
    assert rows_of(grid(site, "items", dropped="1")) == 0


def test_a_row_shows_the_item_and_every_sample(site: Site) -> None:
    text = site.get(f"/d/samples/row/{zebra(site)}").text
    for said in (
        *("How many zebras are in picture 29?", "farm", "hard", "<strong>29</strong> animals"),
        *("tiny-captioner", "2 responses", "sample 0", "sample 1", "correct", "wrong"),
        *("another number", "tiny-model", "finish reason: stop", "10)", '<b class="text">30</b>'),
    ):
        assert said in text
    assert "<details><summary>Reasoning" in text.replace(" open", "")
    assert r'data-tex="x^2">\(x^2\)</span>' in text
    (sha,) = set(re.findall(r'src="(/image/[0-9a-f]{64})"', text))
    image = site.get(sha)
    assert image.status == 200 and image.headers["content-type"] == "image/png"
    thumb = site.get(sha.replace("image", "thumb"))
    assert thumb.status == 200 and thumb.headers["content-type"] == "image/webp"


def test_the_rows_beside(site: Site) -> None:
    """Next and previous follow the grid, in its order, across its pages."""
    found = grid(site, where="sample = 0", sort="question", down="1")
    row, seen = cards(found)[0], []
    while row:
        text = site.get(row.replace("&amp;", "&")).text
        seen += re.findall(r"are in picture (\d+)\?", text)[:1]
        following = re.search(r'rel="next" href="([^"]+)"', text)
        row = following[1] if following else ""
    assert seen == ["29", *sorted((str(n) for n in range(29)), key=lambda n: f"{n}?", reverse=True)]
    assert "page=2" in re.findall(r'id="back" href="([^"]+)"', text)[0]
    assert 'rel="prev"' in text


def test_jump_to_an_id(site: Site) -> None:
    wanted = zebra(site)
    there = site.get(f"/d/samples/find?id={wanted[:12]}")
    assert there.status == 303
    text = site.get(there.headers["location"]).text
    assert wanted in text and 'rel="prev"' in text
    assert "no row whose id begins with" in sentence(site.get("/d/samples/find?id=zz"))
    assert "no row whose id begins with" in sentence(site.get("/d/samples/find?id="))
    several = site.get("/d/samples/find?id=" + _shared_beginning(site))
    assert several.status == 400 and "several rows" in sentence(several)


def _shared_beginning(site: Site) -> str:
    firsts = [row["id"][:1] for row in vlt_json("show", "items", "-n", "30", "-w", site.workspace)]
    return max(firsts, key=firsts.count)


def test_the_way_of_an_item(site: Site) -> None:
    """From items to the filter that dropped it, with links, from whichever version it is viewed."""
    wanted = zebra(site)
    for ref in ("items", "samples", "sft"):
        text = site.get(f"/d/{ref}/path/{wanted}").text
        steps = re.findall(rf'<a href="/d/(\w+)%40v1/row/{wanted}">', text)
        assert steps == ["items", "captions", "samples", "sft"]
        assert "kept 2 responses" in text and "kept 1 response" in text
        assert "<b>verify</b> sample 1: wrong: another number" in text
        assert f"/d/{ref}%40v1" in text.split('aria-current="step"')[1][:200]
