"""Trust in report and view: dependence on the image, labels, agreement, choices as shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.report_page import Page
from tests.rows import dataset, item
from tests.scripted import Answering, Through, images_of
from tests.tiny import png
from vlt.datagen.asking import Asking
from vlt.datagen.rollouts import make_rollouts
from vlt.evaluation.evaluate import evaluation_name, make_evaluation
from vlt.evaluation.label import Labelling, make_labels
from vlt.filters.apply import make_filtered
from vlt.prompts import Prompt
from vlt.report import find, report_html
from vlt.report.trust import dependence
from vlt.view.app import make_app
from vlt.workspace.store import Store
from vlt.workspace.workspace import Workspace

PROMPT = Prompt("{question}")
CITIES = ["Paris", "Rome", "Oslo"]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that looks, evaluated in three ways; samples with shuffled choices; labels."""
    root = tmp_path_factory.mktemp("trust") / "workspace"
    with Workspace(root) as opened:
        rows = []
        for i in range(20):
            sha = opened.images.add(png((10 * i, 0, 99)))
            choices = CITIES if i % 2 else []
            answer = "B" if choices else str(i)
            rows.append(item(f"Which, {i}?", answer, images=[sha], choices=choices))
        opened.images.flush()
        items = dataset(opened, "heldout", "item", rows)
        answers = {row["images"][0]: row["answer"] for row in rows}

        def says(content: Any, number: int) -> str:
            seen = answers.get(*images_of(content) or [""], "none")
            return f"<think>I look.</think> <answer>{seen if number < 3 else 'C'}</answer>"

        model = Through("the-model", opens=lambda: Answering(says))
        for images in ("own", "swapped", "none"):
            asking = Asking(prompt=PROMPT, images=images)
            make_evaluation(opened, items, model, asking, name=evaluation_name("eval", asking))
        asking = Asking(prompt=PROMPT, k=4, shuffle_choices=True, seed=1)
        samples, _ = make_rollouts(opened, items, model, asking)
        make_filtered(opened, samples, chain=["grade"], name="graded")
        make_labels(opened, samples, Labelling(min_samples=4, majority=0.5))
    return root


def test_the_report_says_what_images_are_worth(filled: Path) -> None:
    found = find(Store(filled))
    assert [e.dataset.manifest.name for e in found.evaluations] == ["eval"]
    depends = dependence(found)
    assert [(d.worth.images, d.worth.n) for d in depends] == [("none", 20), ("swapped", 20)]
    page = Page(report_html(found))
    table = page.table("the image is worth, points")
    assert {row["shown instead"] for row in table} == {"no image", "another item's image"}
    for row, one in zip(table, depends, strict=True):
        assert row["own image, %"] == f"{100 * one.worth.own:.1f}" == "100.0"
        assert row["instead, %"] == f"{100 * one.worth.other:.1f}"
        assert row["the image is worth, points"].startswith(f"{100 * one.worth.worth:+.1f} [")
    assert any("with another item's image: " in text for text in page.texts), "the figure's notes"
    signs = page.table("agreement")
    assert signs and signs[0]["agreement"].endswith(" %")


def test_the_view_shows_what_a_model_was_shown(filled: Path) -> None:
    store = Store(filled)
    with TestClient(make_app(filled, None, 8080), base_url="http://127.0.0.1:8080") as client:

        def page(ref: str, row: dict[str, Any]) -> str:
            return client.get(f"/d/{store.open(ref).ref}/row/{row['id']}").text

        shuffled = next(row for row in store.open("graded").rows() if row["choice_order"])
        assert "choices shown as (A)" in page("graded", shuffled)
        assert "give the majority" in page("graded", shuffled)
        swapped, blind = (next(store.open(f"eval-{how}").rows()) for how in ("swapped", "none"))
        assert "asked with another image" in page("eval-swapped", swapped)
        assert "asked with no image" in page("eval-none", blind)
        assert "asked with" not in page("eval", next(store.open("eval").rows()))
        labelled = next(store.open("labelled").rows())
        assert "majority of samples, no gold" in page("labelled", labelled)
        assert "<small>gold</small>" in page("heldout", next(store.open("heldout").rows()))
