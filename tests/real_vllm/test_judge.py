"""A real vLLM judges with guided JSON: a tiny model that writes none is held to it. `make test-vllm`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli import vlt, vlt_json
from tests.real_vllm.server import ENVIRONMENT, MINIATURE, Server
from vlt.workspace.store import Store

RUBRIC = """
image: true
scale: [1, 5]
pass: 3
prompt: "{response} How many red objects are there?"
"""


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(MINIATURE / "vlm", tmp_path_factory.mktemp("server") / "vllm.log")
    server.start()
    yield server
    server.stop()


def bias() -> str:
    """What a tiny model needs to come to the end of a text in a form: quotes liked, blanks forbidden.

    A grammar lets a model write blanks between tokens for ever, and this one does.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(MINIATURE / "vlm"))
    blank = [i for i in range(len(tokenizer)) if tokenizer.decode([i]).isspace()]
    quote = tokenizer.convert_tokens_to_ids('"')
    return json.dumps({**{str(i): -100 for i in blank}, str(quote): 10})


def test_judged_by_a_real_server_with_guided_json(
    workspace: Path, tmp_path: Path, judge: Server
) -> None:
    rows = 12
    rubric = tmp_path / "mine.yaml"
    rubric.write_text(RUBRIC)
    where = ["-w", workspace]
    reached = ["--model", judge.model, "--base-url", judge.url, "--concurrency", 4]
    vlt("import", "miniature", "--set", f"n={rows}", "--as", "items", *where)
    vlt("gen", "rollouts", "items", "-k", 1, "--max-tokens", 48, *reached, *where)
    before = judge.answered()
    command = ["judge", "samples", "--rubric", rubric, "--max-tokens", 200, *reached, *where]
    command += ["--temperature", 1, "--extra", f"logit_bias={bias()}"]
    told = vlt_json(*command)
    assert told["judgements"] == told["rows"] == rows and told["failed"] == 0
    assert judge.answered() - before == rows
    found = [
        judgement
        for row in Store(workspace).open("judged").rows()
        for judgement in row["judgements"]
    ]
    scored = [judgement for judgement in found if judgement["verdict"] != "unjudged"]
    assert len(scored) > rows / 2, found
    assert all(1 <= judgement["score"] <= 5 for judgement in scored)
    # The server held every reply to its form: what is unjudged was cut, or gave an empty reason.
    others = {judgement["reason"] for judgement in found if judgement["verdict"] == "unjudged"}
    assert others <= {
        "the judge's reply was cut at the limit of its tokens",
        "the judge's reply gives no reason",
    }
    assert "already there" in vlt(*command)
    # Without the form the same model writes no JSON, and nothing passes.
    free = vlt_json(*command, "--extra", "response_format=null", "--as", "free")
    assert free["unjudged"] == rows and free["pass"] == 0
