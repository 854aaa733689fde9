"""Generation stages against a stub server: nothing lost, nothing asked twice, rows in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rows import dataset, item
from tests.scripted import Through
from tests.stub import Stub
from tests.stub_server import text_of
from vlt.datagen.asking import Asking
from vlt.datagen.captions import make_captions
from vlt.datagen.reasoning import make_reasoning
from vlt.datagen.rollouts import make_rollouts
from vlt.engine import Engine
from vlt.engine.openai import OpenAIEngine
from vlt.errors import UsageError, UserError
from vlt.prompts import Prompt
from vlt.request import Sampling, key_maker, seed_of
from vlt.workspace.store import Dataset
from vlt.workspace.workspace import Workspace

PNG = b"\x89PNG\r\n\x1a\n"
PROMPT = Prompt(user="{question}")


@pytest.fixture
def store(workspace: Path) -> Iterator[Workspace]:
    with Workspace(workspace) as opened:
        yield opened


@pytest.fixture
def items(store: Workspace) -> Dataset:
    return dataset(store, "items", "item", [item(f"[[{i}]]", images=["a"]) for i in range(600)])


@pytest.fixture
def asking(stub: Stub) -> dict[str, Any]:
    def engine() -> Engine:
        return OpenAIEngine("m", [stub.url], load_image={"a": PNG}.__getitem__, tries=2)

    return {"model": "m", "engine": engine, "prompt": PROMPT}


def ask(
    make: Any,
    workspace: Workspace,
    rows: Dataset,
    *,
    model: str,
    engine: Callable[[], Engine],
    revision: str | None = None,
    sampling: Sampling | None = None,
    name: str | None = None,
    **asking: Any,
) -> tuple[Dataset, bool]:
    through = Through(model, revision=revision, opens=engine)
    named = {"name": name} if name else {}
    made: tuple[Dataset, bool] = make(
        workspace, rows, through, Asking(**vars(sampling or Sampling()), **asking), **named
    )
    return made


def never() -> Engine:
    raise AssertionError("nothing is missing, so no engine is needed")


def response(marker: str, index: int = 0) -> str:
    reasoning, answer = text_of(marker, index, 60)
    return f"<think>{reasoning}</think> {answer}"


def test_captions(store: Workspace, items: Dataset, asking: dict[str, Any]) -> None:
    made, existed = ask(make_captions, store, items, **asking)
    assert not existed
    rows = made.table().to_pylist()
    assert [row["question"] for row in rows] == [f"[[{i}]]" for i in range(600)]
    # What the model thought before is no part of the caption.
    assert [row["caption"] for row in rows] == [text_of(str(i), 0, 60)[1] for i in range(600)]
    assert {(row["caption_model"], row["caption_finish_reason"]) for row in rows} == {("m", "stop")}
    assert made.manifest.prompt_tokens == 600 * 300
    assert made.manifest.completion_tokens == 600 * 60


def test_samples_in_order_with_their_answers(
    store: Workspace, items: Dataset, asking: dict[str, Any]
) -> None:
    made, _ = ask(make_rollouts, store, items, k=3, **asking)
    rows = made.table().to_pylist()
    assert [(row["question"], row["sample"]) for row in rows] == [
        (f"[[{i}]]", s) for i in range(600) for s in range(3)
    ]
    assert rows[4]["response"] == response("1", 1)
    reasoning, answer = text_of("1", 1, 60)
    assert rows[4]["reasoning"] == reasoning
    assert f"<answer>{rows[4]['predicted']}</answer>" == answer
    assert rows[4]["model"] == "m"
    # A request's three samples share its prompt of 300 tokens, though every row says it.
    written = sum(row["completion_tokens"] for row in rows)
    assert (made.manifest.prompt_tokens, made.manifest.completion_tokens) == (600 * 300, written)
    assert {row["prompt_tokens"] for row in rows} == {300}
    assert rows[4]["finish_reason"] == "stop"


def test_the_same_again_is_a_no_op(
    store: Workspace, items: Dataset, asking: dict[str, Any]
) -> None:
    made, _ = ask(make_captions, store, items, **asking)
    again, existed = ask(make_captions, store, items, **{**asking, "engine": never})
    assert existed
    assert again == made


def test_more_samples_ask_only_for_the_difference(
    store: Workspace, items: Dataset, asking: dict[str, Any], stub: Stub
) -> None:
    first, _ = ask(make_rollouts, store, items, k=4, **asking)
    assert stub.stats()["choices"] == 2400
    more, _ = ask(make_rollouts, store, items, k=8, **asking)
    assert stub.stats()["choices"] == 4800
    ask(make_rollouts, store, items, k=2, **{**asking, "engine": never})
    of_first = {(r["id"], r["sample"]): r["response"] for r in first.table().to_pylist()}
    of_more = {(r["id"], r["sample"]): r["response"] for r in more.table().to_pylist()}
    assert of_first.items() <= of_more.items()


Change = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": Prompt(user="{question}", system="Think.")},
        {"prompt": Prompt(user="{question} Think.")},
        {"sampling": Sampling(temperature=0.5)},
        {"sampling": Sampling(temperature=1.0, seed=1)},
        {"sampling": Sampling(temperature=1.0, extra={"repetition_penalty": 1.05})},
        {"model": "other"},
        {"revision": "abc"},
    ],
    ids=str,
)
def test_what_changes_an_answer_asks_again(
    store: Workspace, items: Dataset, asking: dict[str, Any], stub: Stub, change: dict[str, Any]
) -> None:
    asking["sampling"] = Sampling(temperature=1.0)
    ask(make_rollouts, store, items, k=1, **asking)
    ask(make_rollouts, store, items, k=1, **{**asking, **change})
    assert stub.stats()["requests"] == 1200


def test_what_changes_no_answer_asks_nothing(
    store: Workspace, items: Dataset, asking: dict[str, Any]
) -> None:
    ask(make_rollouts, store, items, k=1, **asking)
    asking["engine"] = never  # so no endpoint or concurrency can matter
    limited, _ = ask(make_rollouts, store, items, k=1, limit=10, **asking)
    assert limited.manifest.rows == 10
    rows = items.table().to_pylist()
    turned = dataset(store, "turned", "item", rows[::-1])
    made, _ = ask(make_rollouts, store, turned, k=1, **asking)
    assert made.table().column("question")[0].as_py() == "[[599]]"
    shard = dataset(store, "shard", "item", rows[100:200])
    made, _ = ask(make_rollouts, store, shard, k=1, **asking)
    assert made.manifest.rows == 100


def test_a_model_directory_is_its_files(
    store: Workspace, items: Dataset, asking: dict[str, Any], stub: Stub, tmp_path: Path
) -> None:
    def model(name: str, weights: bytes) -> str:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(weights)
        return str(folder)

    ask(make_rollouts, store, items, k=1, **{**asking, "model": model("a", b"1")})
    ask(make_rollouts, store, items, k=1, **{**asking, "model": model("moved", b"1")})
    assert stub.stats()["requests"] == 600
    made, _ = ask(make_rollouts, store, items, k=1, **{**asking, "model": model("trained", b"2")})
    assert stub.stats()["requests"] == 1200
    assert str(tmp_path) not in str(made.table().to_pylist()) + str(made.manifest)


def test_failed_rows_stand_aside_with_their_error(
    store: Workspace, items: Dataset, asking: dict[str, Any], stub: Stub
) -> None:
    stub.configure(always={"7": 400, "9": 500})
    made, _ = ask(make_rollouts, store, items, k=2, **asking)
    assert made.manifest.rows == 1196
    assert made.manifest.rows_in == 1200
    assert sum(made.manifest.failed.values()) == 4
    aside = made.dropped.table().to_pylist()
    assert [(r["question"], r["sample"], r["filter"], r["reason"]) for r in aside] == [
        ("[[7]]", 0, "failed", "HTTP 400: this one never works"),
        ("[[7]]", 1, "failed", "HTTP 400: this one never works"),
        ("[[9]]", 0, "failed", "HTTP 500: this one never works (2 tries)"),
        ("[[9]]", 1, "failed", "HTTP 500: this one never works (2 tries)"),
    ]


def test_an_item_without_images_has_no_caption(store: Workspace, asking: dict[str, Any]) -> None:
    rows = [item("[[1]]", images=["a"]), item("[[2]]"), item("[[3]]")]
    made, _ = ask(make_captions, store, dataset(store, "items", "item", rows), **asking)
    assert made.manifest.rows == 1
    assert made.manifest.failed == {"the item has no image": 2}


def test_rows_that_ask_the_same_are_asked_once(
    store: Workspace, asking: dict[str, Any], stub: Stub
) -> None:
    rows = [item(f"question {i}", images=["a"]) for i in range(300)]
    asking["prompt"] = Prompt(user="[[same]]")
    made, _ = ask(make_captions, store, dataset(store, "items", "item", rows), **asking)
    assert stub.stats()["requests"] == 1
    assert made.table().column("caption").to_pylist() == [text_of("same", 0, 60)[1]] * 300
    # A request that rows share is paid for once.
    assert (made.manifest.prompt_tokens, made.manifest.completion_tokens) == (300, 60)


def test_a_failure_is_shared_by_rows_that_ask_the_same(
    store: Workspace, asking: dict[str, Any], stub: Stub
) -> None:
    stub.configure(always={"same": 400})
    rows = [item(f"question {i}", images=["a"]) for i in range(300)]
    asking["prompt"] = Prompt(user="[[same]]")
    with pytest.raises(
        UserError, match=r"none of 300 rows was answered \(HTTP 400: this one never"
    ):
        ask(make_captions, store, dataset(store, "items", "item", rows), **asking)
    assert stub.stats()["requests"] == 1
    assert not store.versions("captions")  # so a version of nothing is never the newest


def test_reasoning_sees_the_caption_and_no_image(
    store: Workspace, items: Dataset, asking: dict[str, Any], stub: Stub
) -> None:
    captions, _ = ask(make_captions, store, items, **asking)
    stub.reset()
    asking["prompt"] = Prompt(user="{caption} {question}")
    made, _ = ask(make_reasoning, store, captions, k=2, **asking)
    assert stub.stats()["requests"] == 600
    rows = made.table().to_pylist()
    assert rows[0]["caption"] == text_of("0", 0, 60)[1]
    assert rows[1]["response"] == response("0", 1)


def test_no_rows_is_an_empty_version(store: Workspace, asking: dict[str, Any]) -> None:
    made, _ = ask(make_captions, store, dataset(store, "items", "item", []), **asking)
    assert made.manifest.rows == made.manifest.rows_in == 0


def test_more_samples_of_hard_rows(store: Workspace, asking: dict[str, Any], stub: Stub) -> None:
    items = dataset(store, "choices", "item", [item(f"[[{i}]]", "A") for i in range(300)])
    asking |= {"sampling": Sampling(seed=10), "k": 2, "until_correct": 2, "max_samples": 9}
    made, _ = ask(make_rollouts, store, items, **asking)
    by_row: dict[str, list[dict[str, Any]]] = {}
    for row in made.table().to_pylist():
        by_row.setdefault(row["question"], []).append(row)
    key_of = key_maker({"name": "m", "revision": None}, Sampling(seed=10))
    for i in range(300):
        key = key_of([{"role": "user", "content": f"[[{i}]]"}])
        seeds = [seed_of(key, 10, s) or 0 for s in range(9)]
        right = [text_of(str(i), seed, 60)[1] == "<answer>A</answer>" for seed in seeds]
        ends = [n for n in (2, 4, 6, 8) if sum(right[:n]) >= 2]
        rows = by_row[f"[[{i}]]"]
        assert [row["sample"] for row in rows] == list(range(min(ends, default=9)))
        assert [row["predicted"] == "A" for row in rows] == right[: len(rows)]
    assert {len(rows) for rows in by_row.values()} == {2, 4, 6, 8, 9}
    assert stub.stats()["choices"] == made.manifest.rows
    assert made.manifest.parameters["until_correct"] == 2
    asking["engine"] = never
    again, existed = ask(make_rollouts, store, items, **{**asking, "name": "again"})
    assert not existed
    assert again.manifest.digest == made.manifest.digest


def test_rows_that_fail_get_no_more_samples(
    store: Workspace, asking: dict[str, Any], stub: Stub
) -> None:
    items = dataset(store, "choices", "item", [item("[[x]]", "A"), item("[[y]]", "none")])
    stub.configure(always={"x": 400})
    asking |= {"sampling": Sampling(seed=10), "k": 1, "until_correct": 1, "max_samples": 5}
    made, _ = ask(make_rollouts, store, items, **asking)
    assert stub.attempts() == {"x": 1, "y": 5}
    assert made.manifest.failed == {"HTTP 400": 1}
    with pytest.raises(UsageError, match="--max-samples 3 is less than"):
        ask(make_rollouts, store, items, **{**asking, "until_correct": 4, "max_samples": 3})
