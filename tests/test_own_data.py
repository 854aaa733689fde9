"""A user's own folder of images and questions, with nothing but the documented commands."""

from __future__ import annotations

import io
import json
import urllib.request
from pathlib import Path

import pytest

from tests.cli import vlt, vlt_error, vlt_json
from tests.miniature_server import serving
from vlt.datagen.miniature.world import records
from vlt.runs.recipe import BUNDLED, load_recipe

MODELS = {"tiny-vlm": BUNDLED / "miniature" / "vlm", "tiny-r1": BUNDLED / "miniature" / "reasoner"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """20 images and questions.jsonl, as a user would have them."""
    recipe = load_recipe("miniature")
    families = recipe.rounds[0].items[0].settings["families"]
    home = tmp_path / "mine"
    (home / "pictures").mkdir(parents=True)
    lines = []
    for n, record in enumerate(records(20, families=families, split="heldout", seed=5)):
        (home / "pictures" / f"{n}.png").write_bytes(record["images"][0])
        lines.append(
            {
                "image": f"pictures/{n}.png",
                "problem": record["question"],
                "solution": record["answer"],
            }
        )
    (home / "questions.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    return home


def test_from_a_folder_to_load_dataset(folder: Path, tmp_path: Path) -> None:
    from datasets import load_dataset

    recipe = load_recipe("miniature")
    prompts = {}
    for name, text in (
        ("caption", recipe.prompts.caption),
        ("reasoning", recipe.prompts.reasoning),
    ):
        prompts[name] = tmp_path / f"{name}.txt"
        prompts[name].write_text(text.user)
    system = recipe.prompts.reasoning.system
    where = ("-w", tmp_path / "workspace")
    vlt("import", folder / "questions.jsonl", *where)
    with serving(MODELS) as url:
        server = ("--engine", "openai", "--base-url", f"{url}/v1")
        vlt(
            "gen", "captions", "--model", "tiny-vlm", *server, *where,
            "--prompt", prompts["caption"], "--temperature", 0, "--max-tokens", 64,
        )  # fmt: skip
        reasoning = (
            "gen", "reasoning", "--model", "tiny-r1", "-k", 4, *server, *where,
            "--prompt", prompts["reasoning"], "--temperature", 1, "--max-tokens", 96,
            *(("--system", system) if system else ()),
        )  # fmt: skip
        vlt(*reasoning)
        asked = json.load(urllib.request.urlopen(f"{url}/asked"))
        assert asked["tiny-vlm"] == 20
        assert "already there" in vlt(*reasoning)
        assert json.load(urllib.request.urlopen(f"{url}/asked")) == asked
    vlt("filter", "--verify", "--max-words", 500, "--select", "shortest", "--dedup", *where)
    listed = {row["name"]: row for row in vlt_json("ls", *where)}
    assert listed["items"]["rows"] == listed["captions"]["rows"] == 20
    assert listed["samples"]["rows"] == 80
    kept = listed["sft"]["rows"]
    assert 5 <= kept <= 20, "the reasoner is right about half of the time, and one of four is kept"
    vlt("export", "sft", "--format", "parquet", "--to", tmp_path / "out", *where)
    loaded = load_dataset(str(tmp_path / "out"), split="train")
    assert len(loaded) == kept
    assert all(row["verdict"] == "correct" for row in loaded)
    (image,) = loaded[0]["images"]
    originals = {p.read_bytes() for p in (folder / "pictures").iterdir()}
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    assert image.size in {(84, 56)} or originals


def test_what_a_user_gets_wrong(folder: Path, tmp_path: Path) -> None:
    where = ("-w", tmp_path / "workspace")
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    column = tmp_path / "column.jsonl"
    column.write_text('{"picture": "a.png", "text": "What?"}\n')
    for arguments, says, code in (
        (("import", tmp_path / "nothing.jsonl"), "nothing.jsonl", 1),
        (("import", empty), "empty", 1),
        (("import", column), "question", 2),
        (("gen", "captions", "--model", tmp_path / "empty.jsonl"), "no items", 1),
        (("filter", "--verify"), "no samples", 1),
    ):
        sentence = vlt_error(*arguments, *where, code=code)
        assert says in sentence, sentence
    with (folder / "questions.jsonl").open("a") as file:
        file.write('{"image": "pictures/gone.png", "problem": "What?", "solution": "1"}\n')
        file.write('{"image": "pictures/0.png", "problem": "What?", "solution": ""}\n')
    vlt("import", folder / "questions.jsonl", *where, code=3)
    reasons = {r["reason"] for r in vlt_json("show", "items", "--dropped", *where)}
    assert len(reasons) == 2
    assert any("gone.png" in reason for reason in reasons)
    assert "not a model" in vlt_error("gen", "captions", "--model", folder, *where)
