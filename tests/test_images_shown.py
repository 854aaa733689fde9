"""vlt eval --images: what is shown in place of an item's own image, and what the image is worth."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.rows import dataset, item
from tests.scripted import Answering, Through, images_of
from tests.tiny import png
from vlt.datagen.asking import Asking, Images
from vlt.datagen.rollouts import make_rollouts
from vlt.datagen.shown import NO_OTHER, Shown, noise
from vlt.errors import UsageError, UserError
from vlt.evaluation.compare import compare
from vlt.evaluation.evaluate import evaluation_name, make_evaluation
from vlt.evaluation.image_worth import guessing, image_worth, one_sided
from vlt.prompts import Prompt
from vlt.workspace.store import Dataset
from vlt.workspace.workspace import Workspace

PROMPT = Prompt("{question}")


def copy_of(data: bytes) -> bytes:
    """The same picture in other bytes."""
    out = io.BytesIO()
    Image.open(io.BytesIO(data)).save(out, "PNG", compress_level=0)
    assert out.getvalue() != data
    return out.getvalue()


@pytest.fixture
def opened(workspace: Path) -> Any:
    with Workspace(workspace) as store:
        yield store


def coloured(store: Workspace, n: int = 24) -> Dataset:
    """Items whose answer is their picture's number, and some without a picture."""
    rows = []
    for i in range(n):
        sha = store.images.add(png((i, 2 * i, 3 * i), (20 + i, 30)))
        rows.append(item(f"Which picture is {i}?", str(i), images=[sha]))
    rows += [item(f"What is {i} + 0?", str(i)) for i in range(4)]
    store.images.flush()
    return dataset(store, "items", "item", rows)


def seeing(items: Dataset) -> Answering:
    """Says what is in the image that it is shown, and 0 without one."""
    known = {row["images"][0]: row["answer"] for row in items.rows() if row["images"]}
    return Answering(
        lambda content, _: f"<answer>{known.get(*images_of(content) or [''], '0')}</answer>"
    )


def blind(_content: Any, _sample: int) -> str:
    return "<answer>3</answer>"


def evaluated(
    store: Workspace, items: Dataset, engine: Answering, images: Images = "own", **asked: Any
) -> Dataset:
    asking = Asking(**{"prompt": PROMPT, "images": images, **asked})
    model = Through("sees", opens=lambda: engine)
    name = evaluation_name("eval", asking)
    return make_evaluation(store, items, model, asking, name=name)[0]


def test_another_items_images_never_the_own_ones(opened: Workspace) -> None:
    pictures = [png((i, 0, 0)) for i in range(6)]
    shas = [opened.images.add(data) for data in pictures]
    same = opened.images.add(copy_of(pictures[0]))
    lists = [[sha] for sha in (*shas, same, shas[0])] + [shas[:2], shas[1:3], shas[3:5]]
    rows = [item(f"{i}", "1", images=images) for i, images in enumerate(lists)]
    items = dataset(opened, "items", "item", rows)
    shown = {row["id"]: Shown(opened, items, "swapped").of(row) for row in rows}
    for row in rows:
        other = shown[row["id"]]
        assert isinstance(other, list) and len(other) == len(row["images"])
        assert not set(other) & set(row["images"])
        if {shas[0], same} & set(row["images"]):
            assert not {shas[0], same} & set(other), "a copy in other bytes is the same picture"
    again = Shown(opened, items, "swapped")
    assert {row["id"]: again.of(row) for row in reversed(rows)} == shown


def test_nothing_else_to_show(opened: Workspace) -> None:
    shas = [opened.images.add(png((i, 0, 0))) for i in range(3)]
    rows = [item("a", images=shas[:1]), item("b", images=shas[1:]), item("c")]
    shown = Shown(opened, dataset(opened, "items", "item", rows), "swapped")
    assert [shown.of(row) for row in rows] == [NO_OTHER, NO_OTHER, []]


def test_noise_is_of_the_same_size_and_no_picture(opened: Workspace) -> None:
    items = coloured(opened)
    shown = Shown(opened, items, "noise")
    for row in items.rows():
        for own, instead in zip(row["images"], shown.of(row), strict=True):
            one, other = opened.images.info(own), opened.images.info(instead)
            assert (one.width, one.height) == (other.width, other.height) and own != instead
    assert noise(31, 17) == noise(31, 17) != noise(17, 31)
    values = Image.open(io.BytesIO(noise(64, 64))).tobytes()
    assert set(values) == {0, 255} and 0.45 < values.count(255) / len(values) < 0.55


@pytest.mark.parametrize("images", ["none", "swapped", "noise"])
def test_what_the_image_is_worth(opened: Workspace, images: Images) -> None:
    items = coloured(opened)
    engine = seeing(items)
    own, other = evaluated(opened, items, engine), evaluated(opened, items, engine, images)
    assert own.manifest.name == "eval" and other.manifest.name == f"eval-{images}"
    assert "images" not in own.manifest.parameters and "images" not in own.manifest.facts
    assert other.manifest.parameters["images"] == other.manifest.facts["images"] == images
    answers = opened.open(own.manifest.parents[0].ref).manifest.parameters
    assert "images" not in answers and "shuffle_choices" not in answers
    shown = {row["id"]: row["images_shown"] for row in other.rows()}
    for row in other.rows():
        assert (shown[row["id"]] == []) == (images == "none" or not row["images"])
    assert {row["images_shown"] for row in own.rows()} == {None}
    found = image_worth(opened, own, other)
    # Item 0 is solved by "0" where no picture is known; the four without an image stand aside.
    lost = 0 if images == "swapped" else 1
    assert (found.n, found.solved, found.lost) == (24, 24 - lost, 0)
    assert found.worth == pytest.approx((24 - lost) / 24) and found.low > 0.8
    assert found.p == pytest.approx(0.5**found.solved)
    assert found.guess == pytest.approx(1 / 24)
    assert "the image is worth" in found.sentence()
    with pytest.raises(UserError, match="their images differ"):
        compare(opened, own, other)
    with pytest.raises(UserError, match="do not differ in the images shown"):
        image_worth(opened, own, own)
    asked = len(engine.asked)
    evaluated(opened, items, engine, images)
    assert len(engine.asked) == asked


def test_an_image_that_is_not_looked_at_is_worth_nothing(opened: Workspace) -> None:
    items = coloured(opened)
    engine = Answering(blind)
    own, other = (evaluated(opened, items, engine, how) for how in ("own", "swapped"))
    found = image_worth(opened, own, other)
    assert (found.worth, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)


def test_only_what_was_asked_alike_is_paired(opened: Workspace) -> None:
    items = coloured(opened)
    engine = Answering(blind)
    own = evaluated(opened, items, engine)
    with pytest.raises(UserError, match="their sampling differ"):
        image_worth(opened, own, evaluated(opened, items, engine, "none", max_tokens=7))
    part = evaluated(opened, items, engine, "swapped", limit=10)
    assert image_worth(opened, own, part).n == 10
    with pytest.raises(
        UsageError, match="'half' is not known; write one of own, none, swapped, noise"
    ):
        Asking(prompt=PROMPT, images="half")  # type: ignore[arg-type]


def test_items_without_a_partner_stand_aside(opened: Workspace) -> None:
    shas = [opened.images.add(png((i, 0, 0))) for i in range(5)]
    rows = [item(f"{i}", "3", images=[sha]) for i, sha in enumerate(shas[:3])]
    rows.append(item("two", "3", images=shas[3:]))
    items = dataset(opened, "items", "item", rows)
    engine = Answering(blind)
    other = evaluated(opened, items, engine, "swapped")
    assert dict(other.manifest.failed) == {NO_OTHER: 1}
    assert image_worth(opened, evaluated(opened, items, engine), other).n == 3


def test_captions_and_readers_of_captions_show_no_other_images(opened: Workspace) -> None:
    from vlt.datagen.captions import make_captions
    from vlt.datagen.reasoning import make_reasoning

    items = coloured(opened)
    model = Through("m", opens=lambda: Answering(blind))
    with pytest.raises(UsageError, match="captions take no images"):
        make_captions(opened, items, model, Asking(prompt=PROMPT, images="none"))
    with pytest.raises(UsageError, match="captions take no shuffle choices"):
        make_captions(opened, items, model, Asking(prompt=PROMPT, shuffle_choices=True))
    with pytest.raises(UsageError, match="take no images"):
        make_reasoning(opened, items, model, Asking(prompt=PROMPT, images="none"))


def test_answers_to_other_images_are_not_trained_on(opened: Workspace, tmp_path: Path) -> None:
    from vlt.train.method import find_method
    from vlt.train.trl_rows import write_trl

    items = coloured(opened)
    model = Through("m", opens=lambda: Answering(blind))
    asking = Asking(prompt=PROMPT, images="swapped")
    samples, _ = make_rollouts(opened, items, model, asking)
    found = write_trl(
        samples,
        tmp_path / "rows.parquet",
        find_method("sft"),
        prompt=PROMPT,
        load_image=opened.images.read,
    )
    assert found.failed == {"answered with other images than its own": 28}


def test_the_one_sided_test_counts_coins() -> None:
    assert one_sided(5, 0) == 1 / 32
    assert one_sided(3, 1) == pytest.approx((4 + 1) / 16)
    assert one_sided(0, 0) == 1.0 == one_sided(0, 7)


def test_guessing() -> None:
    golds = [{"answer": a, "answer_type": "integer", "choices": []} for a in "1112"]
    golds += [{"answer": a, "answer_type": "choice", "choices": list("wxyz")} for a in "ABCD"]
    assert guessing(golds) == pytest.approx((3 + 1) / 8)
    assert guessing([]) == 0.0
