"""The engine `local` on tiny random models: exactness, independence of the batch, failures."""

from __future__ import annotations

import collections
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import PROMPT, item_rows, png, tiny_text, tiny_vlm
from vlt.engine.local import LocalEngine
from vlt.errors import UserError
from vlt.images.store import ImageStore
from vlt.prompts import render
from vlt.request import Completion, Failure, Request, Sampling, request_key
from vlt.workspace.store import Store

SAMPLING = Sampling(temperature=1.0, max_tokens=24, seed=7)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {"vlm": tiny_vlm(folder / "vlm"), "text": tiny_text(folder / "text")}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("workspace"))


@pytest.fixture(scope="module")
def images(store: Store) -> Iterator[ImageStore]:
    with ImageStore(store.images_folder) as opened:
        yield opened


def requests(
    store: Store, n: int, k: int = 1, sampling: Sampling = SAMPLING, *, images: bool = True
) -> list[Request]:
    """Prompts of different lengths and picture sizes."""
    out = []
    for i, row in enumerate(item_rows(store, n, images=images)):
        row["question"] += " red" * (i % 5)
        messages = render(PROMPT, row, images=images)
        key = request_key({"digest": "tiny"}, messages, sampling)
        out.append(Request(key, messages, tuple(range(k)), sampling))
    return out


def answers(engine: LocalEngine, asked: list[Request]) -> dict[tuple[bytes, int], Completion]:
    found = list(engine.complete(asked))
    assert all(isinstance(c, Completion) for c in found), [
        c for c in found if isinstance(c, Failure)
    ]
    by_key = {(c.key, c.sample): c for c in found if isinstance(c, Completion)}
    assert len(by_key) == len(found) == sum(len(r.samples) for r in asked)
    return by_key


@pytest.mark.parametrize("kind", ["vlm", "text"])
def test_a_sample_does_not_depend_on_its_batch(
    models: dict[str, Path], store: Store, images: ImageStore, kind: str
) -> None:
    asked = requests(store, 12, 3, images=kind == "vlm")
    wide = answers(LocalEngine(str(models[kind]), load_image=images.read), asked)
    narrow = answers(LocalEngine(str(models[kind]), load_image=images.read, most_rows=4), asked)
    assert wide == narrow
    alone = Request(asked[5].key, asked[5].messages, (2,), SAMPLING)
    engine = LocalEngine(str(models[kind]), load_image=images.read)
    assert answers(engine, [alone])[alone.key, 2] == wide[alone.key, 2]
    assert len({c.response for c in wide.values()}) > 30  # samples differ


@pytest.mark.parametrize("kind", ["vlm", "text"])
def test_greedy_is_what_transformers_generates(
    models: dict[str, Path], store: Store, images: ImageStore, kind: str
) -> None:
    greedy = Sampling(temperature=0, max_tokens=20)
    asked = requests(store, 6, 1, greedy, images=kind == "vlm")
    engine = LocalEngine(str(models[kind]), load_image=images.read)
    found = answers(engine, asked)
    for request in asked:
        prompt = engine._prompt(request)
        assert not isinstance(prompt, str)
        inputs = engine._encode([prompt])
        out = engine.model.generate(**inputs, do_sample=False, max_new_tokens=20)
        tokens = out[0, inputs["input_ids"].shape[1] :].tolist()
        completion = found[request.key, 0]
        assert completion.response == engine.tokenizer.decode(tokens, skip_special_tokens=True)
        assert completion.prompt_tokens == inputs["input_ids"].shape[1]
        assert completion.completion_tokens == len(tokens)


def test_narrow_sampling_is_greedy(
    models: dict[str, Path], store: Store, images: ImageStore
) -> None:
    engine = LocalEngine(str(models["text"]), load_image=images.read)
    texts = []
    for change in ({"temperature": 0.0}, {"top_k": 1}, {"top_p": 1e-6}):
        sampling = Sampling(**{"temperature": 1.0, "max_tokens": 12, "seed": 1, **change})
        found = answers(engine, requests(store, 4, 2, sampling, images=False))
        texts.append([c.response for c in found.values()])
    assert texts[0] == texts[1] == texts[2]


def test_samples_follow_the_models_distribution(
    models: dict[str, Path], store: Store, images: ImageStore
) -> None:
    """First tokens of 4,000 samples against the softmax: chi-squared over the commonest tokens."""
    import torch

    sampling = Sampling(temperature=0.7, max_tokens=1, seed=3)
    [asked] = requests(store, 1, 4000, sampling, images=False)
    engine = LocalEngine(str(models["text"]), load_image=images.read)
    prompt = engine._prompt(asked)
    assert not isinstance(prompt, str)
    with torch.no_grad():
        logits = engine.model(**engine._encode([prompt])).logits[0, -1]
    chances = torch.softmax(logits / 0.7, -1)
    expected: dict[str, float] = collections.defaultdict(float)
    for token, chance in enumerate(chances.tolist()):
        text = "" if token in engine._strip else engine.tokenizer.decode([token])
        expected[text] += chance * 4000
    counts = collections.Counter(c.response for c in answers(engine, [asked]).values())
    common = sorted(expected, key=lambda t: expected[t], reverse=True)[:60]
    chi = sum((counts[t] - expected[t]) ** 2 / expected[t] for t in common)
    assert chi < 60 + 4 * math.sqrt(2 * 60)


def test_rows_that_have_ended_leave_the_batch(
    models: dict[str, Path], store: Store, images: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With pictures, whose positions are not the tokens': what the others say stays the same."""
    from vlt.engine import decode

    sampling = Sampling(temperature=5.0, max_tokens=80, seed=2)  # hot enough to hit the end often
    asked = requests(store, 40, 4, sampling)
    engine = LocalEngine(str(models["vlm"]), load_image=images.read)
    left: list[int] = []
    select = decode.GrowingLayer.batch_select_indices

    def counted(layer: Any, indices: Any) -> None:
        left.append(len(indices))
        select(layer, indices)

    monkeypatch.setattr(decode.GrowingLayer, "batch_select_indices", counted)
    monkeypatch.setattr(decode, "LEAVE", 1.0)  # whoever has ended leaves at once
    shrunk = answers(engine, asked)
    assert min(left) < 160
    monkeypatch.setattr(decode, "LEAVE", 0.0)
    left.clear()
    assert answers(engine, asked) == shrunk
    assert set(left) == {160}


def test_without_a_seed_answers_differ(
    models: dict[str, Path], store: Store, images: ImageStore
) -> None:
    engine = LocalEngine(str(models["text"]), load_image=images.read)
    asked = requests(store, 4, 1, Sampling(max_tokens=16), images=False)
    assert answers(engine, asked) != answers(engine, asked)


def test_finish_reason_and_tokens_are_exact(
    models: dict[str, Path], store: Store, images: ImageStore
) -> None:
    engine = LocalEngine(str(models["text"]), load_image=images.read)
    sampling = Sampling(temperature=3.0, max_tokens=60, seed=1)
    found = answers(engine, requests(store, 60, 4, sampling, images=False))
    stopped = [c for c in found.values() if c.finish_reason == "stop"]
    cut = [c for c in found.values() if c.finish_reason == "length"]
    assert stopped
    assert cut
    assert all(c.completion_tokens == 60 for c in cut)
    assert all(0 < c.completion_tokens <= 60 for c in stopped)
    assert not any("<|im_end|>" in c.response or "<|endoftext|>" in c.response for c in stopped)


def test_stop_texts_cut_where_they_begin(
    models: dict[str, Path], store: Store, images: ImageStore
) -> None:
    engine = LocalEngine(str(models["text"]), load_image=images.read)
    free = Sampling(temperature=1.0, max_tokens=64, seed=5)
    asked = requests(store, 8, 2, free, images=False)
    whole = answers(engine, asked)
    held = Sampling(temperature=1.0, max_tokens=64, seed=5, stop=("e", "o"))
    stopped = answers(engine, [Request(r.key, r.messages, r.samples, held) for r in asked])
    seen = 0
    for at, completion in whole.items():
        places = [i for i, letter in enumerate(completion.response) if letter in "eo"]
        if places:
            seen += 1
            assert stopped[at].response == completion.response[: places[0]]
            assert stopped[at].finish_reason == "stop"
            assert stopped[at].completion_tokens <= completion.completion_tokens
        else:
            assert stopped[at] == completion
    assert seen > 4


def test_one_bad_request_touches_no_other(
    models: dict[str, Path], store: Store, images: ImageStore
) -> None:
    asked = requests(store, 6, 2)
    block: list[dict[str, Any]] = [{"type": "image", "image": "0" * 64}]
    broken = Request(b"broken", [{"role": "user", "content": block}], (0, 1), SAMPLING)
    words = [{"role": "user", "content": "red " * 2000}]
    long = Request(b"long", words, (0, 1), SAMPLING)
    cut = asked[0].messages[0]["content"][0]["image"]

    def load(sha: str) -> bytes:
        return b"\x89PNG\r\n\x1a\nno" if sha == "0" * 64 else images.read(sha)

    engine = LocalEngine(str(models["vlm"]), load_image=load)
    found = list(engine.complete([asked[0], broken, *asked[1:], long]))
    failures = {f.key: f for f in found if isinstance(f, Failure)}
    assert set(failures) == {b"broken", b"long"}
    assert failures[b"broken"].samples == (0, 1)
    assert failures[b"broken"].reason.startswith("broken image")
    assert "1024" in failures[b"long"].reason
    clean = answers(LocalEngine(str(models["vlm"]), load_image=images.read), asked)
    assert {(c.key, c.sample): c for c in found if isinstance(c, Completion)} == clean
    assert isinstance(cut, str)


def test_pictures_are_seen_and_see_through_is_white(models: dict[str, Path]) -> None:
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.new("RGBA", (84, 56), (0, 0, 0, 0)).save(out, "PNG")
    pictures = {"white": png((255, 255, 255)), "clear": out.getvalue(), "red": png((255, 0, 0))}
    engine = LocalEngine(str(models["vlm"]), load_image=pictures.__getitem__)
    asked = [
        Request(
            name.encode(),
            [{"role": "user", "content": [{"type": "image", "image": name}]}],
            (0,),
            Sampling(temperature=0, max_tokens=4),
        )
        for name in pictures
    ]
    engine_inputs = engine._encode([engine._prompt(r) for r in asked])  # type: ignore[misc]
    white, clear, red = engine_inputs["pixel_values"].chunk(3)
    assert (white == clear).all()
    assert (white != red).any()


def test_think_tags_stay_even_as_special_tokens(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = tiny_text(tmp_path / "text")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<think>", "</think>"]})
    tokenizer.save_pretrained(folder)
    engine = LocalEngine(str(folder), load_image=lambda _: b"")
    tokens = engine.tokenizer("<think>red</think> blue<|im_end|>")["input_ids"]
    assert engine._text(tokens) == "<think>red</think> blue"
    engine.close()


def test_what_it_cannot_do_is_said(models: dict[str, Path], store: Store, tmp_path: Path) -> None:
    engine = LocalEngine(str(models["text"]), load_image=lambda _: b"")
    odd = Sampling(extra={"repetition_penalty": 1.1})
    with pytest.raises(UserError, match="does not support repetition_penalty"):
        list(engine.complete(requests(store, 1, 1, odd, images=False)))
    seen = requests(store, 1)
    with_images = LocalEngine(str(models["text"]), load_image=lambda _: png((1, 2, 3)))
    [failure] = with_images.complete(seen)
    assert isinstance(failure, Failure)
    assert failure.reason == "the model takes no images"
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="cannot be loaded"):
        LocalEngine(str(tmp_path / "empty"), load_image=lambda _: b"")
