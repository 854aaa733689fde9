"""What `vlt gen` makes of replies: complete reasoning, checked captions, tokens counted once, messages."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli import run_vlt, vlt, vlt_error, vlt_json
from tests.pictures import png
from tests.rows import dataset, item
from tests.talking_server import Said, Talking
from vlt.datagen.answers import tokens_of
from vlt.request import Completion
from vlt.thinking import after_thought, with_opening_tag
from vlt.workspace.journal import Journal
from vlt.workspace.store import Store
from vlt.workspace.workspace import Workspace

INSIDE = "I look and count.</think>\n<answer>2</answer>"
USAGE = {"prompt_tokens": 10, "completion_tokens": 20}


def reply(message: dict[str, Any], finish: Any = "stop", n: int = 1, **more: Any) -> dict[str, Any]:
    choice = {"message": message, "finish_reason": finish}
    return {"choices": [{**choice, "index": i} for i in range(n)], "usage": USAGE, **more}


class Server(Talking):
    """Says what `said` is at the moment."""

    def __init__(self) -> None:
        super().__init__(lambda *_: self.said, lists=["m"])
        self.said: Said = "<think>so</think> <answer>2</answer>"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def store(workspace: Path) -> Iterator[Workspace]:
    with Workspace(workspace) as opened:
        image = opened.images.add(png())
        rows = [item(f"How many {i}?", images=[image]) for i in range(4)]
        dataset(opened, "items", "item", rows)
        opened.close()  # so that the commands see the image
        yield opened


def gen(kind: str, store: Store, server: Talking, *options: object) -> list[object]:
    base: list[object] = ["gen", kind, "-w", store.root, "--model", "m", "--base-url", server.url]
    return [*base, *([] if kind == "captions" else ["-k", 1]), *options]


def test_a_response_that_starts_inside_its_thought_is_made_whole(
    store: Workspace, server: Server, tmp_path: Path
) -> None:
    server.said = INSIDE
    vlt(*gen("rollouts", store, server))
    rows = store.open("samples").table().to_pylist()
    assert [row["response"] for row in rows] == [f"<think>{INSIDE}"] * 4
    assert {(row["reasoning"], row["predicted"]) for row in rows} == {("I look and count.", "2")}
    # The journal holds what the server said: journals from before are mended as they are read.
    journal = Journal(store.journal_file)
    assert {r for (r,) in journal._db.execute("SELECT response FROM completions")} == {INSIDE}
    journal.close()
    assert vlt_json("filter", "--verify", "--format", "-w", store.root)["kept"] == 4
    vlt("export", "sft", "--format", "trl", "--to", tmp_path / "out", "-w", store.root)
    import pyarrow.parquet as pq

    for file in (tmp_path / "out").rglob("*.parquet"):
        for row in pq.read_table(file).to_pylist():
            assert row["completion"][0]["content"].startswith("<think>I look and count.</think>")
            break
        else:
            continue
        break
    else:
        raise AssertionError("the export holds no row")


@pytest.mark.parametrize("others", [INSIDE, "I count.\n<answer>2</answer>"], ids=["R1", "plain"])
def test_one_that_was_cut_inside_is_told_by_the_others(
    store: Workspace, server: Server, others: str
) -> None:
    cut = reply({"content": "I look and"}, "length")
    server.says = lambda _model, text: cut if "How many 3?" in text else others
    done = run_vlt(*gen("rollouts", store, server))
    assert done.returncode == 0
    assert "1 of 4 responses (25%) were cut off at --max-tokens" in done.stderr
    inside = others == INSIDE
    last = store.open("samples").table().to_pylist()[-1]
    assert last["response"] == ("<think>I look and" if inside else "I look and")
    assert last["reasoning"] == ("I look and" if inside else "")
    assert last["finish_reason"] == "length"
    opened = store.open("samples").manifest.facts["prompt_opens"]
    assert opened == ("<think>" if inside else None)
    log = vlt("log", "samples", "-w", store.root)
    assert ("the prompt opens the reasoning: <think>" in log) == inside
    kept = vlt_json("filter", "--verify", "-w", store.root)["kept"]
    assert kept == 3


def test_opening_tags() -> None:
    assert with_opening_tag(INSIDE) == f"<think>{INSIDE}"
    for whole in ("<think>a</think> b", "a <think>b</think> c", "no thought", "<think>cut"):
        assert with_opening_tag(whole) == with_opening_tag(whole, opened="<" in whole) == whole
    assert with_opening_tag("a</think> b <think>c</think>") == "<think>a</think> b <think>c</think>"
    assert with_opening_tag("cut", opened=True) == "<think>cut"


@pytest.mark.parametrize(
    ("response", "caption"),
    [
        ("A red circle.", "A red circle."),
        ("<think>Let me see.</think>\n\nA red circle.\n", "A red circle."),
        ("Let me see.</think>A red circle.", "A red circle."),
        ("<think>a</think> <think>b</think> A red circle.", "A red circle."),
        ("[THINK]a[/THINK]A red circle.", "A red circle."),
        ("<thinking>a</thinking>A red circle.", "A red circle."),
        ("◁think▷a◁/think▷A red circle.", "A red circle."),
        (
            "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>A red circle."
            "<|return|>",
            "A red circle.",
        ),
        ("<think>Let me see", ""),
        ("<think>a</think> <think>b", ""),
        ("<|channel|>analysis<|message|>a", ""),
    ],
)
def test_what_follows_a_thought(response: str, caption: str) -> None:
    assert after_thought(response) == caption


def test_a_caption_is_what_follows_the_thought(store: Workspace, server: Server) -> None:
    server.said = reply({"content": "A red circle.", "reasoning_content": "Let me see."})
    vlt(*gen("captions", store, server))
    rows = store.open("captions").table().to_pylist()
    assert {row["caption"] for row in rows} == {"A red circle."}
    assert {row["caption_finish_reason"] for row in rows} == {"stop"}
    server.said = "<think>so</think> <answer>2</answer>"
    vlt(*gen("reasoning", store, server))
    assert all("A red circle." in text for _, text, _ in server.asked[-4:])
    assert all("Let me see." not in text for _, text, _ in server.asked[-4:])


BAD = [
    (reply({"content": None}), "the model wrote nothing"),
    (reply({"content": None, "refusal": "I cannot help."}), "the model refused: I cannot help."),
    (reply({"content": "A red ci"}, "length"), "the caption was cut at the limit of its tokens"),
    (reply({"content": None, "reasoning": "Let"}, "length"), "the caption was cut at the limit"),
    (reply({"content": "<think>Let me see</think>"}), "the model wrote a thought and no caption"),
]


@pytest.mark.parametrize(("said", "reason"), BAD, ids=[reason for _, reason in BAD])
def test_what_is_no_caption_is_failed_and_can_be_asked_again(
    store: Workspace, server: Server, said: Said, reason: str
) -> None:
    prompt = store.root / "prompt.txt"
    prompt.write_text("Describe it for: {question}")
    asking = gen("captions", store, server, "--prompt", prompt)
    good = "A red circle."
    server.says = lambda _model, text: said if "How many 3?" in text else good
    done = run_vlt(*asking)
    assert done.returncode == 3
    assert f"1 failed: {reason}" in done.stderr
    (failed,) = store.open("captions").dropped.table().to_pylist()
    assert failed["reason"].startswith(reason)
    asked = len(server.asked)
    assert run_vlt(*asking).returncode == 3  # it is there already
    assert len(server.asked) == asked
    server.says = lambda *_: good
    vlt(*asking, "--retry-failed")
    assert len(server.asked) == asked + 1
    made = store.open("captions")
    assert (made.manifest.version, made.manifest.rows) == (2, 4)


def test_a_caption_that_is_none_again_is_asked_once(store: Workspace, server: Server) -> None:
    """All rows show the same picture and share the request, whose answer stays as bad as it was."""
    server.said = reply({"content": "A red ci"}, "length")
    words = vlt_error(*gen("captions", store, server))
    assert "none of 4 rows was answered (the caption was cut at the limit of its tokens" in words
    assert not store.versions("captions")
    assert "none of 4 rows" in vlt_error(*gen("captions", store, server))
    assert len(server.asked) == 1
    assert "none of 4 rows" in vlt_error(*gen("captions", store, server, "--retry-failed"))
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Answer this: {Question}", "{question}"),
        ("Answer { question }", "{question}"),
        ("Answer {{question}}", "{question}"),
        ("Answer ${question}", "{question}"),
        ("", "is empty"),
        ("Answer it.", "has no {question}"),
        ("{question} {problem}", "'{problem}', which is not a slot"),
        ("{question} {caption}", "'{caption}', which is not a slot here"),
        ("{question}".encode("utf-16"), "is not UTF-8"),
        (b"Gr\xfc\xdfe {question}", "is not UTF-8"),
    ],
    ids=str,
)
def test_a_prompt_without_its_slot_is_refused(
    store: Workspace, server: Server, text: str | bytes, says: str
) -> None:
    file = store.root / "prompt.txt"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    words = vlt_error(*gen("rollouts", store, server, "--prompt", file), code=2)
    assert says in words
    assert not server.asked


def test_a_prompt_may_hold_braces_that_are_no_slots(store: Workspace, server: Server) -> None:
    file = store.root / "prompt.txt"
    text = r'{question} Write \boxed{answer}, x_{i}, \frac{a}{b} and {"answer": 1}.'
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    vlt(*gen("rollouts", store, server, "--prompt", file))
    asked = {text for _, text, _ in server.asked}
    assert asked == {text.replace("{question}", f"How many {i}?") for i in range(4)}
    assert "'{question}', but slots are not filled in" in vlt_error(
        *gen("rollouts", store, server, "--system", "About {question}"), code=2
    )


def test_stop_texts(store: Workspace, server: Server) -> None:
    vlt(*gen("rollouts", store, server))
    assert "stop" not in server.bodies[-1]
    vlt(*gen("rollouts", store, server, "--stop", "</answer>", "--stop", "###"))
    assert server.bodies[-1]["stop"] == ["</answer>", "###"]
    assert len(server.bodies) == 8  # it is part of what is asked


def test_prompts_are_counted_as_often_as_they_are_sent(store: Workspace, server: Server) -> None:
    vlt(*gen("rollouts", store, server, "-k", 4))
    assert store.open("samples").manifest.prompt_tokens == 4 * 9
    server.said = reply({"content": "<answer>2</answer>"})  # one choice, whatever n says
    vlt(*gen("rollouts", store, server, "-k", 4, "--temperature", 0.5))
    made = store.open("samples").manifest
    assert (made.prompt_tokens, made.completion_tokens) == (16 * 10, 16 * 20)


def test_of_an_older_journal_a_request_counts_once() -> None:
    old = [Completion(b"k", i, "x", "stop", 10, 5) for i in range(4)]
    new = [Completion(b"k", i, "x", "stop", 10, 5, int(i == 4)) for i in range(4, 8)]
    assert (tokens_of(old).read, tokens_of([*old, *new]).read) == (10, 20)
    assert tokens_of([*old, *new]).written == 40


def test_what_a_server_does_not_count_costs_nothing_known(
    store: Workspace, server: Server, tmp_path: Path
) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("m: {prompt: 1, completion: 1}\n")
    server.said = {**reply({"content": "<answer>2</answer>"}), "usage": None}
    done = run_vlt(*gen("rollouts", store, server, "--prices", prices))
    assert done.returncode == 0
    assert "did not report how many tokens" in done.stderr
    assert store.open("samples").manifest.money is None
    words = vlt(*gen("rollouts", store, server, "--dry-run", "--probe", 2, "--temperature", 0.1))
    assert "reports no token counts" in words
    assert "in the journal" not in words


@pytest.mark.parametrize(
    ("price", "says"),
    [
        ("{prompt: -1, completion: 1}", "the prompt price of 'm' is -1"),
        ("{prompt: 1, completion: '0,5'}", "the completion price of 'm' is '0,5'"),
        ("{prompt: .nan, completion: 1}", "the prompt price of 'm' is nan"),
        ("{prompt: 1, completion: .inf}", "the completion price of 'm' is inf"),
        ("{prompt: true, completion: 1}", "the prompt price of 'm' is True"),
        ("{prompt: 1}", "is not a price list"),
    ],
)
def test_prices_are_numbers(
    store: Workspace, server: Server, tmp_path: Path, price: str, says: str
) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text(f"m: {price}\n")
    words = vlt_error(*gen("rollouts", store, server, "--prices", prices, "--budget", 1))
    assert says in words
    assert not server.asked


def test_a_budget_too_small_for_one_request(
    store: Workspace, server: Server, tmp_path: Path
) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("m: {prompt: 1, completion: 1000}\n")
    asking = gen("rollouts", store, server, "--prices", prices, "--budget", 0.01)
    assert "the first request may cost" in vlt_error(*asking)
    assert not server.asked


def test_the_servers_own_words(store: Workspace, server: Server) -> None:
    long = {"object": "error", "message": "maximum context length is 100 tokens", "code": 400}
    server.says = lambda _model, text: long if "How many 3?" in text else "<answer>2</answer>"
    done = run_vlt(*gen("rollouts", store, server))
    assert done.returncode == 3
    assert "1 failed: HTTP 400: maximum context length is 100 tokens" in done.stderr
    server.said, server.says = (400, long), lambda *_: server.said
    words = vlt_error(*gen("rollouts", store, server, "--temperature", 0.1))
    assert "none of 4 rows was answered (HTTP 400: maximum context length is 100 tokens)" in words


def test_a_model_that_is_not_listed_is_told(store: Workspace, server: Server) -> None:
    server.lists = ["other"]
    done = run_vlt(*gen("rollouts", store, server))
    assert done.returncode == 0
    assert "lists 'other' and not 'm'" in done.stderr
    server.said = (404, {"message": "The model `m` does not exist.", "code": 404})
    words = vlt_error(*gen("rollouts", store, server, "--temperature", 0.1))
    assert "does not serve the model 'm'" in words
    assert "it lists 'other'" in words


def test_an_interrupted_generation_is_interrupted(store: Workspace, server: Server) -> None:
    def slow(*_: str) -> Said:
        time.sleep(0.5)
        return 503

    server.says = slow
    child = subprocess.Popen(
        [sys.executable, "-m", "vlt.cli.main", *map(str, gen("rollouts", store, server))],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
    )
    end = time.monotonic() + 60
    while not server.asked and time.monotonic() < end:
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    _, words = child.communicate(timeout=60)
    assert child.returncode == 130, words
    (stage,) = json.loads(vlt("status", "-w", store.root, "--json"))["stages"]
    assert stage["state"] == "interrupted"
