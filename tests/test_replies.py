"""Replies of real servers: odd finish reasons, separate reasoning, broken JSON, embedded errors."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.talking_server import Said, Talking
from vlt.engine import endpoint, outage
from vlt.engine.budget import Budget, Price
from vlt.engine.openai import OpenAIEngine
from vlt.errors import UserError
from vlt.request import Completion, Failure, Request, Sampling, request_key

WHOLE = "<think>I look and count.</think>\n<answer>1</answer>"
SAMPLING = Sampling(max_tokens=50)


def reply(message: dict[str, Any], finish: Any = "stop", **more: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 10, "completion_tokens": 20}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {"choices": [choice], "usage": usage, **more}


def asked(said: Said, rows: int = 1, k: int = 1, **settings: Any) -> tuple[list[Any], Talking]:
    """What comes of asking a server that always says the same, and the server."""
    with Talking(lambda *_: said, settings.pop("lists", None)) as server:
        engine = OpenAIEngine(
            "m", [server.url], load_image=dict[str, bytes]().__getitem__, **settings
        )
        try:
            return list(engine.complete([request(str(i), k) for i in range(rows)])), server
        finally:
            engine.close()


def request(text: str, k: int = 1, sampling: Sampling = SAMPLING) -> Request:
    messages = [{"role": "user", "content": text}]
    return Request(request_key({}, messages, sampling), messages, tuple(range(k)), sampling)


@pytest.mark.parametrize(
    ("finish", "means"),
    [
        *((f, "stop") for f in (None, "", "eos", "eos_token", "STOP", "end_turn", "stop_sequence")),
        *((f, "stop") for f in ("completed", "FINISH_REASON_STOP", {"type": "stop"})),
        *((f, "length") for f in ("max_tokens", "MAX_TOKENS", "model_length", "max-output-tokens")),
        *((f, f) for f in ("odd", "tool_calls")),
    ],
    ids=str,
)
def test_an_answer_with_text_is_kept(finish: Any, means: str) -> None:
    notices: list[str] = []
    got, server = asked(reply({"content": WHOLE}, finish), rows=2, notice=notices.append)
    assert [(c.response, c.finish_reason) for c in got] == [(WHOLE, means)] * 2
    assert len(server.asked) == 2
    assert len(notices) == (means == finish)  # an unknown one is told, once
    assert all(repr(finish) in notice for notice in notices)


def test_a_finish_reason_may_be_missing() -> None:
    whole = reply({"content": WHOLE})
    del whole["choices"][0]["finish_reason"]
    (got,), _ = asked(whole)
    assert (got.response, got.finish_reason) == (WHOLE, "stop")


@pytest.mark.parametrize(
    ("message", "finish", "reason", "tries"),
    [
        ({"content": WHOLE}, "content_filter", f"the server's content filter ended it: {WHOLE}", 1),
        ({"content": None}, "SAFETY", "the server's content filter ended it", 1),
        ({"content": None, "refusal": "I cannot."}, "stop", "the model refused: I cannot.", 1),
        (
            {"content": [{"type": "refusal", "refusal": "I cannot."}]},
            "stop",
            "the model refused: I cannot.",
            1,
        ),
        ({"content": ""}, "length", "the model wrote no text within its limit of tokens", 1),
        (
            {"content": None, "tool_calls": [{"id": "1"}]},
            "tool_calls",
            "the model called a tool in place of an answer",
            1,
        ),
        ({"content": None}, "stop", "the model wrote nothing", 2),
        ({"content": " \n"}, "stop", "the model wrote nothing", 2),
        (
            {"content": ""},
            "abort",
            "the reply holds no answer: finish_reason is abort (3 tries)",
            3,
        ),
    ],
)
def test_what_is_no_answer(message: Any, finish: str, reason: str, tries: int) -> None:
    (got,), server = asked(reply(message, finish), tries=3)
    assert isinstance(got, Failure)
    assert got.reason == " ".join(reason.split())
    assert len(server.asked) == tries


def test_one_of_several_samples_is_no_answer() -> None:
    """The others stay where they are, and only it fails."""
    said = reply({"content": WHOLE})
    choices = [
        {"index": i, "message": {"content": f"{WHOLE} {i}"}, "finish_reason": "stop"}
        for i in range(4)
    ]
    choices[1] = {"index": 1, "message": {"content": "cut"}, "finish_reason": "content_filter"}
    got, server = asked({**said, "choices": choices[::-1]}, k=4)
    assert {c.sample: c.response for c in got if isinstance(c, Completion)} == {
        i: f"{WHOLE} {i}" for i in (0, 2, 3)
    }
    assert [f.samples for f in got if isinstance(f, Failure)] == [(1,)]
    assert len(server.asked) == 1
    assert [c.prompts for c in got if isinstance(c, Completion)] == [1, 0, 0]


THOUGHT = "I look and count."
ANSWER = "<answer>1</answer>"


@pytest.mark.parametrize(
    "message",
    [
        {"content": ANSWER, "reasoning_content": THOUGHT},
        {"content": ANSWER, "reasoning": THOUGHT},
        {"content": ANSWER, "reasoning": None, "thinking": THOUGHT},
        {"content": ANSWER, "reasoning_details": [{"type": "reasoning.text", "text": THOUGHT}]},
        {
            "content": ANSWER,
            "reasoning_details": [{"type": "reasoning.summary", "summary": THOUGHT}],
        },
        {"content": ANSWER, "thinking_blocks": [{"type": "thinking", "thinking": THOUGHT}]},
        {"content": [{"type": "thinking", "thinking": THOUGHT}, {"type": "text", "text": ANSWER}]},
        {
            "content": [
                {
                    "type": "thinking",
                    "thinking": [{"type": "text", "text": t} for t in ("I look", " and count.")],
                },
                {"type": "text", "text": ANSWER},
            ]
        },
        {
            "content": [
                {"type": "reasoning", "text": THOUGHT},
                {"type": "output_text", "text": ANSWER},
            ]
        },
        {"content": [{"text": THOUGHT, "thought": True}, ANSWER]},
        {"content": [f"<think>{THOUGHT}</think>\n\n", ANSWER]},
        {"content": f"<think>{THOUGHT}</think>\n\n{ANSWER}", "reasoning_content": THOUGHT},
        {"content": None, "reasoning_content": f"{THOUGHT}</think>\n\n{ANSWER}"},
        {"content": ANSWER, "reasoning_content": f"<think>{THOUGHT}</think>"},
    ],
    ids=str,
)
def test_a_thought_is_joined_from_wherever_it_stands(message: dict[str, Any]) -> None:
    (got,), _ = asked(reply(message))
    assert got.response == f"<think>{THOUGHT}</think>\n\n{ANSWER}"


def test_a_thought_that_was_cut_stays_open() -> None:
    (got,), _ = asked(reply({"content": None, "reasoning": "I look"}, "length"))
    assert (got.response, got.finish_reason) == ("<think>I look", "length")


RAW = json.dumps(reply({"content": WHOLE})).encode()


@pytest.mark.parametrize(
    ("raw", "response"),
    [
        (RAW.replace(b"I look", rb"I \ud83d look"), WHOLE.replace("I look", "I � look")),
        (RAW.replace(b"I look", rb"I \ud83d\ude00 look"), WHOLE.replace("I look", "I 😀 look")),
        (RAW.replace(b"I look", b"I \xf0\x9f look"), WHOLE.replace("I look", "I � look")),
        (RAW[:-1] + b', "logprob": NaN, "other": -Infinity}', WHOLE),
        (b"\xef\xbb\xbf" + RAW, WHOLE),
        (b"\n\n" + RAW + b"\n", WHOLE),
        (RAW.replace(b"I look", b"I\tlook"), WHOLE.replace("I look", "I\tlook")),
        (
            RAW.replace(b'"message": {"content": ', b'"text": ').replace(b'"}, "fin', b'", "fin'),
            WHOLE,
        ),
    ],
    ids=["half a pair", "a pair", "half a character", "NaN", "mark", "lines", "tab", "plain text"],
)
def test_a_reply_that_is_not_clean_json(raw: bytes, response: str) -> None:
    (got,), server = asked(raw)
    assert got.response == response
    assert len(server.asked) == 1


def test_a_stream_that_nobody_asked_for() -> None:
    deltas = [{"role": "assistant", "content": ""}, {"reasoning": THOUGHT}, {"content": ANSWER}]
    events = [{"choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in deltas]
    events += [{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}]
    events += [{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}]
    lines = [f"data: {json.dumps(event)}\n\n" for event in events]
    (got,), _ = asked("".join([*lines, "data: [DONE]\n\n"]).encode())
    assert got.response == f"<think>{THOUGHT}</think>\n\n{ANSWER}"
    assert (got.finish_reason, got.prompt_tokens, got.completion_tokens) == ("stop", 3, 4)
    (cut,), _ = asked("".join(lines[:3]).encode(), tries=1)
    assert cut.reason == "the reply is not whole JSON"


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": "10", "completion_tokens": 20.0}, (10, 20)),
        ({"prompt_tokens": None, "completion_tokens": -3}, (0, 0)),
        ({"completion_tokens": 20, "total_tokens": 30}, (10, 20)),
        ("much", (0, 0)),
        (None, (0, 0)),
    ],
    ids=str,
)
def test_usage_in_all_forms(usage: Any, tokens: tuple[int, int]) -> None:
    (got,), _ = asked({**reply({"content": WHOLE}), "usage": usage})
    assert (got.prompt_tokens, got.completion_tokens) == tokens


@pytest.mark.parametrize(
    ("error", "reason", "tries"),
    [
        ({"error": {"message": "slow down", "code": 429}}, "HTTP 429: slow down (2 tries)", 2),
        ({"choices": [], "error": {"message": "down", "code": 502}}, "HTTP 502: down (2 tries)", 2),
        ({"choices": None, "error": "down"}, "HTTP 500: down (2 tries)", 2),
        (
            {"object": "error", "message": "maximum context length is 100 tokens", "code": 400},
            "HTTP 400: maximum context length is 100 tokens",
            1,
        ),
        ({"error": {"message": "prompt too long"}}, "HTTP 400: prompt too long", 1),
        (
            {"error": {"message": "bad image", "type": "invalid_request_error"}},
            "HTTP 400: bad image",
            1,
        ),
    ],
    ids=str,
)
def test_an_error_inside_a_reply(error: dict[str, Any], reason: str, tries: int) -> None:
    (got,), server = asked(error, tries=2)
    assert got.reason == reason
    assert len(server.asked) == tries


def test_a_redirect_is_told() -> None:
    with pytest.raises(UserError, match="redirects to http://.*give that address"):
        asked((307, {}))


def test_max_completion_tokens_where_it_is_wanted() -> None:
    words = (
        "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."
    )

    with Talking(lambda *_: WHOLE) as server:
        plain = server.reply

        def picky(body: dict[str, Any]) -> tuple[int, Any]:
            told = plain(body)
            return (400, {"error": {"message": words}}) if "max_tokens" in body else told

        server.reply = picky  # type: ignore[method-assign]
        engine = OpenAIEngine(
            "m", [server.url], load_image=dict[str, bytes]().__getitem__, concurrency=1
        )
        got = list(engine.complete([request(str(i)) for i in range(5)]))
        assert [c.response for c in got if isinstance(c, Completion)] == [WHOLE] * 5
        assert len(server.bodies) == 6  # it is told once
        assert server.bodies[-1]["max_completion_tokens"] == 50
        server.bodies.clear()
        given = Sampling(extra={"max_completion_tokens": 7, "temperature": None})
        list(engine.complete([request("x", sampling=given)]))
        engine.close()
    (body,) = server.bodies
    assert body["max_completion_tokens"] == 7
    assert not {"max_tokens", "temperature"} & set(body)


def test_a_model_that_is_not_listed() -> None:
    missing = {"error": {"message": "The model `m` does not exist.", "code": "model_not_found"}}
    with pytest.raises(UserError, match=r"does not serve the model 'm'.*it lists 'mm', 'other'"):
        asked((404, missing), lists=["other", "mm"])
    with pytest.raises(UserError, match=r"does not serve the model 'm'.*/models lists"):
        asked((404, missing))
    notices: list[str] = []
    got, _ = asked(WHOLE, rows=3, lists=["other"], notice=notices.append)
    assert len(got) == 3  # some servers take any name; then it is only told
    assert len(notices) == 1
    assert "lists 'other' and not 'm'" in notices[0]
    asked(WHOLE, lists=["m"], notice=notices.append)
    assert len(notices) == 1


def test_a_server_that_refuses_everything_ends_the_run() -> None:
    words = {"error": {"message": "temperature 0.6 is not supported"}}
    with pytest.raises(UserError, match=r"refuses every request \(HTTP 400: temperature 0.6"):
        asked((400, words), rows=1000, concurrency=4)
    got, _ = asked((400, words), rows=outage.ALIKE - 1)
    assert {f.reason for f in got} == {"HTTP 400: temperature 0.6 is not supported"}


LOADING = (503, {"error": {"message": "Loading model", "type": "unavailable_error"}})


def until(moment: float, before: Said, then: Said) -> Any:
    return lambda _model, _text: before if time.monotonic() < moment else then


def test_a_server_that_loads_its_model_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "WORTH_TELLING_SECONDS", 0.0)
    lines: list[str] = []
    with Talking(until(time.monotonic() + 4, LOADING, WHOLE)) as server:
        engine = OpenAIEngine(
            "m", [server.url], load_image=dict[str, bytes]().__getitem__, tries=1, tell=lines.append
        )
        got = list(engine.complete([request(str(i)) for i in range(50)]))
        engine.close()
    assert all(isinstance(c, Completion) for c in got)
    assert len(got) == 50
    assert (
        len(server.asked) < 2 * 50 + 20
    )  # all may have been sent at once; then it is tried now and then
    assert lines
    assert all("HTTP 503: Loading model; next try in" in line for line in lines)


def test_one_that_loads_for_ever_ends_the_run() -> None:
    with pytest.raises(UserError, match=r"no server answers .*HTTP 503: Loading model"):
        asked(LOADING, rows=10, patience=1.0)


def test_503_of_one_that_has_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waited for past the number of tries, unless it answers others in the meantime."""
    monkeypatch.setattr(endpoint, "LONGEST_ABSENCE_CHECK", 0.2)
    down = time.monotonic() + 1.0

    def says(_model: str, text: str) -> Said:
        busy = text == "bad" or (text != "0" and time.monotonic() < down)
        return (503, {"error": {"message": "try later"}}) if busy else WHOLE

    with Talking(says) as server:
        engine = OpenAIEngine("m", [server.url], load_image=dict[str, bytes]().__getitem__, tries=2)
        assert len(list(engine.complete([request("0")]))) == 1  # so it is proved
        got = list(engine.complete([request(text) for text in ("1", "2", "bad")]))
        engine.close()
    assert sum(isinstance(c, Completion) for c in got) == 2
    (failure,) = [f for f in got if isinstance(f, Failure)]
    assert failure.reason.startswith("HTTP 503: try later (")


def test_a_budget_counts_what_a_server_does_not_tell() -> None:
    """A bound for each reply: 50 tokens written, one read for each byte of the prompt."""
    price = Price(0.0, 1000.0)
    each = price.of(0, 50)
    silent = {**reply({"content": WHOLE}), "usage": None}
    with Talking(lambda *_: silent) as server:
        engine = OpenAIEngine(
            "m",
            [server.url],
            load_image=dict[str, bytes]().__getitem__,
            budget=Budget(10.5 * each, price),
        )
        with pytest.raises(UserError, match=r"gave no token counts for 10 .*upper bounds"):
            list(engine.complete([request(str(i)) for i in range(60)]))
        engine.close()
    assert len(server.asked) == 10
