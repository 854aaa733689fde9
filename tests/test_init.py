"""vlt init: recipes for every layout that validate, whose sources import, and what the user is asked."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli import run_vlt, vlt, vlt_error, vlt_json
from tests.layout_files import LAYOUTS, lines, pictures, rows
from tests.stub import Stub
from tests.terminal import on_terminal, without_colours
from vlt.datagen.import_settings import Import
from vlt.datagen.sources.items import make_items
from vlt.datagen.sources.look import look_at
from vlt.errors import UsageError, UserError
from vlt.runs.draft import copied, of_bundled, of_data
from vlt.runs.loop import plan
from vlt.runs.parts import parts_of
from vlt.runs.preview import preview
from vlt.runs.recipe import BUNDLED, Recipe, load_recipe
from vlt.runs.start import REASONER, Start
from vlt.workspace.store import Store

URL = ("http://127.0.0.1:9/v1",)
STARTS = [
    Start(),
    Start(data_only=True),
    Start(teacher="some-vlm", base_url=URL),
    Start(teacher="deepseek-r1", base_url=URL, data_only=True),
    Start(teacher="Qwen/Qwen2.5-VL-72B-Instruct", student="./a: b"),
    Start(teacher="mine", sees="caption", base_url=(*URL, "http://127.0.0.1:10/v1")),
]


def drafted(what: Import, start: Start, file: Path) -> Recipe:
    draft = of_data(look_at(what), what, start, file)
    draft.write()
    assert file.read_text() == draft.text
    return load_recipe(str(file), to_run=True)


@pytest.mark.parametrize("number", range(len(LAYOUTS)))
def test_every_layout_gets_a_recipe_that_validates_and_whose_source_imports(
    number: int, tmp_path: Path
) -> None:
    name = list(LAYOUTS)[number]
    (tmp_path / "data").mkdir()
    layout = LAYOUTS[name](tmp_path / "data")
    what = Import(source=str(layout.source), **layout.settings)
    start = STARTS[number % len(STARTS)]
    if start.student == "./a: b":  # a name may need quotes in YAML
        start = Start(teacher=start.teacher, student="a: b")
    file = tmp_path / "mine" / "recipe.yaml"
    file.parent.mkdir()
    recipe = drafted(what, start, file)
    steps = plan(recipe)
    assert preview(tmp_path / "none", recipe, steps) == {}
    assert {step.name for step in steps} >= {"items", "samples", "sft"}
    assert ("grpo-model" in {step.name for step in steps}) != start.data_only
    (source,) = recipe.rounds[0].items
    made, _ = make_items(Store(tmp_path / "workspace"), source)
    assert made.manifest.rows == len(layout.items)
    if recipe.heldout:
        held, _ = make_items(Store(tmp_path / "workspace"), recipe.heldout.items[0], name="heldout")
        assert held.manifest.rows >= 1


def mixed(folder: Path) -> Path:
    """Rows of which some lack an image or a gold, or name a picture that is not there."""
    folder.mkdir(parents=True)
    paths = pictures(folder, "img/{}.png")
    made: list[dict[str, Any]] = rows(paths, "image")
    made += [{"question": "What is 2 + 2?", "answer": "4"}]
    made += [{"question": "How many?", "answer": None, "image": paths[0]}] * 2
    made += [{"question": "How many?", "answer": "", "image": paths[0]}]
    made += [{"question": "How many?", "answer": "1", "image": "img/none.png"}]
    (folder / "questions.jsonl").write_text(lines(made))
    return folder / "questions.jsonl"


def test_what_is_in_the_data_stands_in_the_recipe(tmp_path: Path) -> None:
    file = mixed(tmp_path / "data")
    found = look_at(Import(source=str(file)))
    assert (found.looked, found.items, found.no_image) == (8, 4, 1)
    assert found.left_out == {"no answer": 2, "answer is empty": 1, "image file not found": 1}
    assert found.answer_types == {"integer": 2, "choice": 2}
    assert found.sizes[0] == (120, 90)
    text = of_data(found, Import(source=str(file)), Start(), tmp_path / "recipe.yaml").text
    head = text.partition("name:")[0]
    for says in ("8 (JSONL)", "4 rows: 2 no answer", "1 item without one", "120 x 90 pixels"):
        assert says in " ".join(head.split()), head
    assert "source: ./data/questions.jsonl" in text
    assert all(line.startswith("#") for line in head.splitlines())


def test_what_the_user_says_of_the_source_stands_in_the_recipe(tmp_path: Path) -> None:
    layout = LAYOUTS["nested_columns"](tmp_path)
    what = Import(source=str(layout.source), limit=2, images="required", **layout.settings)
    (source,) = drafted(what, Start(data_only=True), tmp_path / "r.yaml").rounds[0].items
    assert (source.limit, source.images, dict(source.map)) == (
        2,
        "required",
        layout.settings["map"],
    )


def test_a_split_made_for_it_is_held_out(tmp_path: Path) -> None:
    home = tmp_path / "set"
    for split, count in (("train", 3), ("validation", 2)):
        (home / split).mkdir(parents=True)
        paths = pictures(home / split, count=3)
        (home / split / "rows.jsonl").write_text(lines(rows(paths)[:count]))
    recipe = drafted(Import(source=str(home)), Start(), tmp_path / "recipe.yaml")
    assert recipe.heldout
    assert recipe.heldout.items[0].split == "validation"
    assert recipe.heldout.items[0].sample is None


def test_large_data_spare_items_to_choose_by(tmp_path: Path) -> None:
    made = [{"question": f"What is {n} + 1?", "answer": n + 1} for n in range(2_500)]
    (tmp_path / "sums.jsonl").write_text(lines(made))
    recipe = drafted(Import(source=str(tmp_path / "sums.jsonl")), Start(), tmp_path / "r.yaml")
    assert recipe.heldout
    assert recipe.validation
    assert (recipe.heldout.items[0].sample, recipe.validation.items[0].sample) == (250, 125)
    assert recipe.rounds[0].sft
    assert recipe.rounds[0].sft.choose
    assert recipe.rounds[0].grpo[0].train.settings["max_steps"] == 150


def test_data_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"question": "a?", "answer": null}\n')
    with pytest.raises(UserError, match="none of the first 1 row .* 1 no answer"):
        look_at(Import(source=str(tmp_path / "rows.jsonl")))
    assert "no source 'nowhere" in vlt_error("init", "nowhere.jsonl", cwd=tmp_path)
    assert not (tmp_path / "recipe.yaml").exists()


@pytest.mark.parametrize("name", copied())
def test_a_bundled_recipe_with_the_users_models(name: str, tmp_path: Path) -> None:
    reads = load_recipe(name).models.reasoner is not None
    start = Start(student="me/student", teacher="me/teacher" if reads else None)
    of_bundled(name, start, tmp_path / "mine.yaml").write()
    recipe = load_recipe(str(tmp_path / "mine.yaml"))
    assert recipe.name == "mine"
    assert recipe.models.base.model == "me/student"
    if reads:
        assert recipe.models.reasoner
        assert recipe.models.reasoner.model == "me/teacher"
    else:
        with pytest.raises(UsageError, match="has no reasoner"):
            of_bundled(name, Start(teacher="me/teacher"), tmp_path / "x.yaml")
    untouched = of_bundled(name, Start(), tmp_path / "x.yaml").text
    assert untouched.count("#") == (BUNDLED / f"{name}.yaml").read_text().count("#")


def test_parts_of_a_recipe_are_all_of_it() -> None:
    for file in BUNDLED.glob("*.yaml"):
        text = file.read_text()
        assert "".join(parts_of(text).values()) == text


def test_the_command_writes_nothing_twice_and_nothing_wrong(tmp_path: Path) -> None:
    file = mixed(tmp_path / "data")
    assert vlt("init", file, "--yes", cwd=tmp_path) == "recipe.yaml\n"
    done = run_vlt("init", file, cwd=tmp_path)
    assert done.returncode == 2
    assert "exists already" in done.stderr
    before = (tmp_path / "recipe.yaml").read_text()
    (tmp_path / "empty").mkdir()
    wrong = ("init", file, "--force", "--student", "empty")
    done = run_vlt(*wrong, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("vlt: nothing was written: recipe 'recipe.yaml' has 2 faults")
    assert (tmp_path / "recipe.yaml").read_text() == before
    found = vlt_json("init", file, "--force", "--data-only", cwd=tmp_path)
    assert found["recipe"] == "recipe.yaml"
    assert found["data"]["items"] == 4
    assert {p.name for p in tmp_path.iterdir()} == {"data", "empty", "recipe.yaml"}
    shown = vlt("run", "recipe.yaml", "--dry-run", cwd=tmp_path)
    assert "samples" in shown and "grpo" not in shown


def test_a_server_that_serves_one_model_needs_no_name_for_it(stub: Stub, tmp_path: Path) -> None:
    file = mixed(tmp_path / "data")
    vlt("init", file, "--base-url", stub.url, cwd=tmp_path)
    recipe = load_recipe(str(tmp_path / "recipe.yaml"))
    teacher = recipe.models.named("teacher")
    assert teacher
    assert (teacher.model, teacher.urls) == ("stub", [stub.url])
    away = ("init", file, "--base-url", URL[0], "--output", "x.yaml")
    assert "--teacher MODEL" in vlt_error(*away, code=2, cwd=tmp_path)


def test_on_a_terminal_it_asks(stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = mixed(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VLT_VLLM_COMMAND", "/no/vllm")
    answers = f"-\nnowhere\n{stub.url}\n\n"
    shown = without_colours(on_terminal(100, "-m", "vlt", "init", file, typed=answers))
    assert "Which model to train" in shown
    assert "'nowhere' is not a URL" in shown
    assert "or local (in this process: no vLLM here) [local]" in shown
    assert "With which model [stub]" in shown
    after = shown.partition("Wrote recipe.yaml. What to do next:\n")[2].splitlines()
    assert len(after) == 5
    assert after[0].split()[:3] == ["vlt", "doctor", "recipe.yaml"]
    recipe = load_recipe("recipe.yaml")
    assert [t.model for t in recipe.rounds[0].teacher] == ["teacher"]
    assert recipe.rounds[0].sft is None
    options = ("--student", "me/vlm", "--teacher", REASONER, "--output", "two.yaml")
    shown = without_colours(on_terminal(100, "-m", "vlt", "init", file, *options, typed="local\n"))
    assert "Which model" not in shown
    assert "There is no vLLM on this machine" in shown.partition("Wrote two.yaml")[0]
    two = load_recipe("two.yaml")
    assert two.models.reasoner
    assert two.models.reasoner.model == REASONER


def test_a_recipe_uses_vllm_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere models answer in the process, with the choice in a comment; --engine decides for itself."""
    what = Import(source=str(mixed(tmp_path / "data")))

    def engines(start: Start) -> tuple[set[str | None], str]:
        file = tmp_path / "recipe.yaml"
        file.unlink(missing_ok=True)
        models = drafted(what, start, file).models
        return {m.engine for name in models.names if (m := models.named(name))}, file.read_text()

    monkeypatch.setenv("VLT_VLLM_COMMAND", sys.executable)
    found, text = engines(Start())
    assert found == {"vllm"} and "no vLLM" not in text
    assert engines(Start(engine="local"))[0] == {"local"}
    monkeypatch.setenv("VLT_VLLM_COMMAND", "/no/vllm")
    found, text = engines(Start())
    assert found == {"local"}
    assert "# There is no vLLM on this machine" in text
    assert "base_url instead of engine" in " ".join(text.replace("\n# ", " ").split())
    assert engines(Start(engine="vllm"))[0] == {"vllm"}, "a recipe for another machine"
    assert engines(Start(teacher="t", base_url=URL))[0] == {"local", None}
    monkeypatch.setenv("VLT_RAY", "auto")
    assert engines(Start())[0] == {"vllm"}, "which the cluster's nodes have"
    with pytest.raises(UsageError, match="--engine needs DATA"):
        of_bundled(copied()[0], Start(engine="local"), tmp_path / "x.yaml")


def test_what_a_server_is_asked_for_must_be_named() -> None:
    with pytest.raises(UsageError, match="--teacher MODEL"):
        _ = Start(base_url=URL).teacher_name


def test_json_of_the_look_is_plain(tmp_path: Path) -> None:
    found = json.loads(vlt("init", mixed(tmp_path / "data"), "--json", cwd=tmp_path))
    assert found["data"]["pixels"] == 120 * 90
