"""vlt view: judgements of rows, and rows filtered by judgements."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest

from tests.rows import dataset, item, sample
from tests.viewed import Site, serving
from vlt.view.rows import Rows
from vlt.view.state import JUDGED, State
from vlt.workspace.store import Store


def said(rubric: str, verdict: str, score: float | None, reason: str = "so") -> dict[str, Any]:
    return {"rubric": rubric, "model": "big", "score": score, "verdict": verdict, "reason": reason}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    workspace = tmp_path_factory.mktemp("view") / "workspace"
    of = item("How many?")
    votes = [
        [said("grounded", "pass", 4.5, "<b>sees</b> it"), said("it's", "fail", 1)],
        [said("grounded", "fail", 2)],
        [said("grounded", "pass", 5), said("grounded", "fail", 3)],
        None,
    ]
    rows = [sample(f"{i}", i, of, judgements=v, model="m") for i, v in enumerate(votes)]
    store = Store(workspace)
    dataset(store, "judged", "sample", rows)
    dataset(store, "captions", "caption", [{**of, "caption": "two", "judgements": votes[0]}])
    old = dataset(store, "old", "sample", rows)
    for file in old.files:
        pq.write_table(pq.read_table(file).drop_columns(["judgements", "cut"]), file)
    with serving(workspace) as running:
        yield running


def grid(site: Site, rubric: str, value: str) -> str:
    page = site.get(f"/d/judged?{quote(f'is.{JUDGED}{rubric}')}={quote(value)}")
    assert page.status == 200, page.text
    return page.text


def test_cards_and_rows_show_what_judges_said(site: Site) -> None:
    page = site.get("/d/judged").text
    assert page.count('<span class="verdict correct"><i>✓</i>grounded 4.5</span>') == 1
    assert "<i>?</i>grounded 4</span>" in page  # an even split is unjudged
    item_id = item("How many?")["id"]
    row = site.get(f"/d/judged/row/{item_id}?sample=0").text
    assert "2 judgements" in row and "&lt;b&gt;sees&lt;/b&gt; it" in row and "by big" in row
    caption = site.get(f"/d/captions/row/{item_id}").text
    assert "grounded 4.5" in caption and "2 judgements" in caption


def test_rows_are_filtered_by_what_judges_said(site: Site) -> None:
    for value, samples in (("pass", [0]), ("fail", [1]), ("unjudged", [2]), ("(none)", [3])):
        page = grid(site, "grounded", value)
        shown = [i for i in range(4) if f"· sample {i}<" in page]
        assert shown == samples, value
    assert "· sample 0<" in grid(site, "it's", "fail")
    page = site.get("/d/judged").text
    assert 'name="is.judged by grounded"' in page and "unjudged (1)" in page
    assert site.get(f"/d/judged?{quote('is.judged by ' + 'x' * 300)}=pass").status == 400
    assert site.get("/d/judged?is.judgements=x").status == 200


def test_versions_of_an_earlier_release_are_shown(site: Site) -> None:
    assert site.get("/d/old").status == 200
    assert site.get(f"/d/old/row/{item('How many?')['id']}").status == 200
    page = site.get(f"/d/old?{quote('is.judged by grounded')}=pass")
    assert page.status == 200 and "No rows" in page.text


def test_facets_are_counted_by_the_majority(tmp_path: Path) -> None:
    votes = [[said("r", "pass", 5)], [said("r", "pass", 5)], [said("r", "fail", 1)], []]
    rows = [sample("a", i, judgements=v) for i, v in enumerate(votes)]
    found = Rows(dataset(Store(tmp_path / "w"), "judged", "sample", rows))
    assert set(found.facets()["judged by r"]) == {("pass", 2), ("fail", 1), ("(none)", 1)}
    assert found.count(State(equal=(("judged by r", "pass"),))) == 2
    assert found.count(State(equal=(("judged by '; drop", "pass"),))) == 0
