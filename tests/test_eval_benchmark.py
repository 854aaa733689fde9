"""Benchmarks end to end on the command line: prepare, generate, score, compare, decontaminate."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.benchmark_files import copy_of
from tests.cli import vlt, vlt_error, vlt_json
from tests.pictures import png
from tests.stub import Stub
from tests.talking_server import Talking
from vlt.workspace.store import Store

WHERE = "--base-url"


def boxed(answers: dict[str, str]) -> Any:
    """Answers by words of the question; any other model is wrong."""

    def says(model: str, text: str) -> str:
        found = next((a for words, a in answers.items() if words in text), "nothing of the kind")
        return f"<think>hm</think> \\boxed{{{found if model != 'weak' else '999'}}}"

    return says


VISTA = {"Find the angle": "145°", "How far": "1.23", "Find CD": "C"}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return copy_of("mathvista", tmp_path / "copy")


def test_mathvista_in_one_command(workspace: Path, copy: Path) -> None:
    """Gold is the option's text: the letter and the text are right, and a longer decimal."""
    with Talking(boxed(VISTA)) as server:
        told = vlt_json(
            "eval", "mathvista", "--path", copy, "--model", "good", WHERE, server.url, "-w", workspace
        )  # fmt: skip
        assert len(server.asked) == 3
        assert all(
            text.endswith("Your final answer MUST BE put in \\boxed{}") and images == 1
            for _, text, images in server.asked
        )
        again = vlt(
            "eval", "mathvista", "--model", "good", WHERE, server.url, "-w", workspace
        )  # fmt: skip
        assert len(server.asked) == 3, "prepared, asked and graded already"
    (model,) = told["models"]
    assert (told["dataset"], told["benchmark"], told["left_out"]) == (
        "mathvista@v1",
        "mathvista",
        0,
    )
    assert (model["accuracy"]["value"], model["accuracy"]["n"]) == (1.0, 3)
    assert model["fields"]["task"]["geometry problem solving"]["n"] == 2
    assert model["fields"]["skill"]["algebraic reasoning"]["n"] == 3
    assert model["published"][0] == {
        "model": "Qwen2.5-VL-7B",
        "accuracy": 68.5,
        "source": "OpenVLThinker's report (arXiv 2503.17352v1), table 1",
    }
    assert "already there" in again
    assert "published: OpenVLThinker-7B" in again and "70.2 %" in again
    assert "figure question answering" in again


def test_graders_change_verdicts_and_ask_nothing(workspace: Path, copy: Path) -> None:
    where = ("-w", workspace)
    with Talking(boxed(VISTA)) as server:
        asked = ("eval", "mathvista", "--model", "good", WHERE, server.url, *where)
        vlt(*asked[:2], "--path", copy, *asked[2:])
        paper = vlt_json(*asked, "--grader", "paper")
        assert len(server.asked) == 3
    # Upstream compares letters, and decimals place for place: only C is right to it.
    assert paper["models"][0]["accuracy"]["value"] == pytest.approx(1 / 3)
    # No model and no server are needed to grade what is there.
    by_rules = vlt_json("eval", "eval-mathvista-answers", *where)["models"][0]
    assert (by_rules["existed"], by_rules["name"]) == (True, "eval-mathvista")
    assert by_rules["benchmark"] == "mathvista"
    # Nor are a benchmark's answers filtered, judged or trained on because no name is given.
    for command in (["filter", "--verify"], ["judge", "--rubric", "sound", "--model", "m"]):
        assert "no samples in workspace" in vlt_error(*command, *where)
    assert "leave out --model" in vlt_error(
        "eval", "eval-mathvista-answers", "--model", "m", *where, code=2
    )


def test_two_models_side_by_side(workspace: Path, copy: Path) -> None:
    with Talking(boxed(VISTA)) as server, Talking(boxed(VISTA)) as other:
        models = ("--model", f"weak@{server.url}", "--model", f"good@{other.url}")
        where = ("eval", "mathvista", "--path", copy, *models, "-w", workspace)
        told = vlt_json(*where)
        assert ({m for m, _, _ in server.asked}, {m for m, _, _ in other.asked}) == (
            {"weak"},
            {"good"},
        )
        assert sorted(t for _, t, _ in server.asked) == sorted(t for _, t, _ in other.asked)
        text = vlt(*where)
    (c,) = told["comparisons"]
    assert (c["model"], c["against"]) == ("good", "weak")
    assert (c["first"], c["second"], c["difference"]) == (0.0, 1.0, 1.0)
    assert (c["solved"], c["lost"], c["n"], c["p"]) == (3, 0, 3, 0.25)
    assert "good against weak: +100.0 points" in text and "3 items newly solved" in text


def test_hallusionbench_by_question_figure_and_pair(workspace: Path, tmp_path: Path) -> None:
    copy = copy_of("hallusionbench", tmp_path / "copy")
    with Talking(lambda _, text: "\\boxed{no}" if "larger" in text else "Yes.") as server:
        (model,) = vlt_json(
            "eval", "hallusionbench", "--path", copy, "--model", "m", WHERE, server.url, "-w", workspace
        )["models"]  # fmt: skip
    # Figure 1 shows circles that differ: "yes" to the first question is wrong there, and only there.
    assert model["accuracy"]["value"] == pytest.approx(4 / 5)
    assert model["together"]["per figure"] == pytest.approx(
        {**model["together"]["per figure"], "value": 1 / 2, "n": 2}
    )
    pairs = model["together"]["per question pair"]
    assert (pairs["n"], pairs["value"]) == (3, pytest.approx(2 / 3))


@pytest.mark.parametrize("name", ["mathverse", "mathvision", "mmmu-pro-10", "emma-chem"])
def test_several_images_and_sub_fields(workspace: Path, tmp_path: Path, name: str) -> None:
    copy = copy_of(name, tmp_path / "copy")
    right = {
        "mathverse": {"bearing": "S 23.5 ^\\circ W", "": "D"},
        "mathvision": {"missing": "60", "longest": "C", "Which?": "(B)"},
        "mmmu-pro-10": {"Pick": "(A) <image 3>", "sheath": "C", "": "B"},
        "emma-chem": {"fits": "B", "": "12"},
    }[name]
    with Talking(boxed(right)) as server:
        (model,) = vlt_json(
            "eval", name, "--path", copy, "--model", "m", WHERE, server.url, "-w", workspace
        )["models"]  # fmt: skip
        images = sorted(images for _, _, images in server.asked)
    assert model["accuracy"]["value"] == 1.0
    fields = model["fields"]
    if name == "mathverse":
        assert {v: s["n"] for v, s in fields["version"].items()} == {
            "Text Dominant": 2,
            "Text Lite": 1,
            "Vision Only": 1,
        }
    if name == "mathvision":
        assert set(fields["level"]) == {"1", "2", "5"} and fields["subject"]["logic"]["n"] == 2
    if name == "mmmu-pro-10":
        assert images == [1, 1, 1, 3] and set(fields) == {"subject", "difficulty"}
    if name == "emma-chem":
        assert images == [1, 2] and fields["subject"]["Chemistry"]["n"] == 2


def test_goes_on_after_a_kill(workspace: Path, tmp_path: Path) -> None:
    """What had arrived is asked for once; the answers of a killed run make no version."""
    rows = [
        {"image": f"{i}.png", "question": f"Which? [[q{i}]]", "choices": ["a", "b"], "answer": "A"}
        for i in range(60)
    ]
    for i in range(60):
        (tmp_path / f"{i}.png").write_bytes(png(i))
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    vlt("import", tmp_path / "rows.jsonl", "--as", "heldout", "-w", workspace)
    with Stub(latency_ms=150.0) as stub:
        command = ["eval", "heldout", "--model", "stub", WHERE, stub.url, "--concurrency", "4"]
        command += ["-w", str(workspace)]
        process = subprocess.Popen([sys.executable, "-m", "vlt.cli.main", *command])
        deadline = time.monotonic() + 60
        while stub.stats()["answered"] < 12 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not Store(workspace).versions("eval-answers")
        stub.configure(latency_ms=0.0)
        told = vlt_json(*command)
        attempts = stub.attempts()
    assert told["models"][0]["accuracy"]["n"] == 60
    again = [key for key, count in attempts.items() if count > 1]
    assert len(attempts) == 60 and len(again) <= 4, "only what was in flight"


def test_decontamination_names_benchmarks(workspace: Path, tmp_path: Path, copy: Path) -> None:
    where = ("-w", workspace)
    question = "Find the value of the third angle in the triangle that is drawn with dashed lines"
    (tmp_path / "1.png").write_bytes(png(1))  # the picture of MathVista's first question
    (tmp_path / "9.png").write_bytes(png(77))
    rows = [
        {"image": "1.png", "question": "How large is it?", "answer": "145"},
        {"image": "9.png", "question": question, "answer": "40"},
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    vlt("import", tmp_path / "rows.jsonl", *where)
    told = vlt_error("decontaminate", "items", "--against", "mathvista,mathverse", *where)
    assert "'mathvista' is not in workspace" in told and "`vlt import mathvista`" in told
    vlt("import", "mathvista", "--set", f"path={copy}", *where)
    vlt("decontaminate", "items", "--against", "mathvista", "--as", "clean", *where)
    clean = Store(workspace).open("clean")
    assert clean.table(["question"]).column("question").to_pylist() == [question]
    assert next(iter(clean.manifest.dropped["decontaminate"])).startswith("image")


def test_sentences_for_what_cannot_be(workspace: Path, copy: Path) -> None:
    where = ("-w", workspace)
    assert "`vlt eval --list`" in vlt_error("eval", *where, code=2)
    ask = ("eval", "mathvista", "--path", copy, *where)
    assert "--model is missing" in vlt_error(*ask, code=2)
    assert "given twice" in vlt_error(*ask, "--model", "m", "--model", "m", code=2)
    assert "'best' is not a grader" in vlt_error(*ask, "--model", "m", "--grader", "best", code=2)
    assert "go together" in vlt_error(*ask, "--model", "m", "--grader", "llm", code=2)
    assert "go together" in vlt_error(*ask, "--model", "m", "--judge-model", "j", code=2)
    judged = (*ask, "--model", "m", "--grader", "llm", "--judge-model", "j")
    assert "--judge-base-url" in vlt_error(*judged, code=2)
    prompt = vlt_error(
        *ask, "--model", "m", WHERE, "http://127.0.0.1:1/v1", "--prompt", "x", code=2
    )
    assert "boxed, bare, rollout" in prompt


def test_an_instruction_is_no_contamination(workspace: Path, tmp_path: Path, copy: Path) -> None:
    """Neither does the benchmark's hint make a row alike, nor does the row's own hide a copy."""
    where = ("-w", workspace)
    hint = (
        "Hint: Please answer the question requiring a floating-point number with one decimal place "
        "and provide the final value, e.g., 1.2, 1.3, 1.4, at the end.\nQuestion: "
    )
    copied = (
        "<image1>\nWhich of the five rows of beads on the long thread by the window holds one more?"
    )
    rows = [
        {"image": f"{i}.png", "question": hint + text, "answer": "1.5"}
        for i, text in enumerate(("How tall is the shed in all?", copied))
    ]
    for i in range(3):
        (tmp_path / f"{i}.png").write_bytes(png(70 + i))
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    other = {"image": "2.png", "question": copied, "answer": "3"}
    (tmp_path / "other.jsonl").write_text(json.dumps(other))
    vlt("import", tmp_path / "rows.jsonl", *where)
    vlt("import", tmp_path / "other.jsonl", "--as", "other", *where)
    vlt("import", "mathvista", "--set", f"path={copy}", *where)
    vlt("decontaminate", "items", "--against", "mathvista,other", "--as", "clean", *where)
    (kept,) = Store(workspace).open("clean").table(["question"]).to_pylist()
    assert kept["question"].endswith("in all?")
