"""README and docs: every command and every code block is run, or says why not."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs_blocks import OUTPUT, ROOT, RUN, Block, Reader, blocks, pages
from tests.hub_server import HubServer
from tests.made_run import made_run
from tests.pictures import png
from tests.talking_server import Talking
from vlt.workspace.store import Store

BY_TEST = {
    "docs/extending.md": (
        "test_extending_filter",
        "test_extending_source",
        "test_extending_grader",
        "test_extending_prompt",
        "test_own_rewards",
        "test_train_method",
    ),
    "docs/your-data.md": ("test_your_data",),
}
"""Pages whose blocks these tests carry out, section by section."""
GOLDS = {"How many dots": "7", "Which animal": "B", "How many lines": "2"}


def says(_model: str, text: str) -> str:
    """A teacher who answers the questions of the pages; a captioner sees no question, a judge a form."""
    if '"better": "first"' in text:
        return '{"reason": "It says more.", "better": "same"}'
    if '{"reason": "...", "score": ...}' in text:
        return '{"reason": "It holds.", "score": 5}'
    answer = next((gold for start, gold in GOLDS.items() if start in text), None)
    if answer is None:
        return "A white picture with seven black dots in two rows."
    return f"<think>In the picture I count to the end.</think> <answer>{answer}</answer>"


@pytest.fixture
def server() -> Iterator[str]:
    """In the place of the servers that the pages name."""
    with Talking(says) as talking:
        yield talking.url


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reader's folder, with three pictures."""
    monkeypatch.chdir(tmp_path)
    Path("img").mkdir()
    for number in (1, 2, 3):
        Path(f"img/{number}.png").write_bytes(png(number))
    return tmp_path


@pytest.mark.parametrize("page", [page for page in pages() if page not in BY_TEST])
def test_page(page: str, folder: Path, server: str) -> None:
    environment = None
    with HubServer(folder / "hub") as hub:
        if page in ("docs/start.md", "docs/looking.md"):  # where a run is there already
            made_run(Store("vlt-demo" if page == "docs/start.md" else "workspace"))
        elif page == "docs/recipes.md":
            Path("mine.jsonl").write_text('{"question": "What?", "answer": "1"}\n')
            Path("heldout.jsonl").write_text('{"question": "Which?", "answer": "1"}\n')
            Path("harder.jsonl").write_text('{"question": "Whose?", "answer": "1"}\n')
        elif page == "docs/hub.md":
            environment = {**hub.environment(folder / "hf"), "HOME": os.environ.get("HOME", "/")}
            reader = Reader(server)
            for block in blocks("README.md")[:6]:
                if not block.reason and block.language in RUN:
                    reader.carry_out(block)
        reader = Reader(server, environment)
        for block in blocks(page):
            if not block.reason and block.language in RUN:
                reader.carry_out(block)


@pytest.mark.parametrize("page", pages())
def test_every_block_is_run_or_says_why_not(page: str) -> None:
    found = blocks(page)
    for block in found:
        where = f"{page}, line {block.line}"
        if block.language in OUTPUT or block.reason:
            assert not block.reason or len(block.reason.split()) > 1, where
            for test in re.findall(r"tests/\w+(?:\.py)?", block.reason):
                assert (ROOT / test).exists(), f"{where}: there is no {test}"
            continue
        assert block.language in (*RUN, *(("toml",) if page in BY_TEST else ())), where
    text = (ROOT / page).read_text("utf-8")
    fences = sum(line.startswith("```") for line in text.splitlines())
    assert fences == 2 * len(found), f"{page}: a fence is not understood"


def test_every_page_has_an_example_that_runs() -> None:
    def runs(block: Block) -> bool:
        return not block.reason and block.language in RUN

    without = [page for page in pages() if not any(map(runs, blocks(page)))]
    assert without == ["docs/index.md"]


@pytest.mark.parametrize("page", BY_TEST)
def test_pages_that_have_tests_of_their_own(page: str) -> None:
    for name in BY_TEST[page]:
        text = (ROOT / "tests" / f"{name}.py").read_text("utf-8")
        assert Path(page).name in text or "Newcomer" in text
