"""A prompt of a newcomer's own, as docs/extending.md shows it, by the real command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import vlt
from tests.newcomer import Newcomer
from tests.rows import dataset, item
from tests.small_recipe import write_small
from tests.stub import Stub
from vlt.errors import UserError
from vlt.prompts import CannotAsk, Prompt, own_prompt, plain_messages, render
from vlt.runs.recipe import load_recipe
from vlt.workspace.store import Store

ROWS = [item(f"[[{n}]] plus one?", meta='{"subject": "sums"}') for n in range(3)]


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub() as server:
        yield server


@pytest.fixture
def newcomer(tmp_path: Path) -> Newcomer:
    """With items in a workspace."""
    made = Newcomer(tmp_path)
    dataset(Store(tmp_path / "workspace"), "items", "item", [*ROWS, item("[[9]]", meta="no JSON")])
    return made


def test_the_page_as_it_is_written(newcomer: Newcomer, stub: Stub) -> None:
    (commands,) = newcomer.write("A prompt")["bash"]
    rollouts, evaluate = commands.replace("URL", stub.url).splitlines()
    newcomer.run(f"{rollouts} -k 1", code=3)
    store = Store(newcomer.folder / "workspace")
    made = store.open("samples")
    assert made.manifest.rows == 3
    (reason,) = made.dropped.table(["reason"])["reason"].to_pylist()
    assert reason.startswith("the prompt ask raised JSONDecodeError: ")
    assert reason.endswith("(ask.py, line 7)")
    assert made.manifest.parameters["prompt"]["plugin"] == "ask"
    assert str(newcomer.folder) not in str(made.manifest.parameters)
    newcomer.run(evaluate)
    assert store.open("eval-answers").manifest.rows == 4
    asked = stub.stats()["requests"]
    assert asked == 3 + 4
    file = newcomer.folder / "ask.py"
    file.write_text(f"{file.read_text()}# nothing that a model sees\n")
    newcomer.run(f"{rollouts} -k 1", code=3)
    assert store.open("samples").ref == "samples@v2"  # told by its source
    assert stub.stats()["requests"] == asked  # and nothing is paid for twice
    said = newcomer.run(f"{rollouts.replace('ask.py:ask', 'ask.py:no')}", code=2)
    assert "the module has no 'no'; it has ask, with_example" in said


def test_in_python_and_in_a_recipe(newcomer: Newcomer, stub: Stub) -> None:
    newcomer.write("A prompt")
    with vlt.Workspace(newcomer.folder / "workspace") as workspace:
        model = vlt.Model("M", base_url=(stub.url,))
        named = f"{newcomer.folder}/ask.py:ask"
        made = workspace.rollout("items", model, k=1, prompt=named)
        function = own_prompt(named).own
        assert function
        assert workspace.rollout("items", model, k=1, prompt=function.object).ref == made.ref
    file = write_small(newcomer.folder / "recipe.yaml")
    tree = yaml.safe_load(file.read_text())
    tree["prompts"]["rollout"] = "./ask.py:ask"
    file.write_text(yaml.safe_dump(tree))
    prompt = load_recipe(str(file)).prompts.rollout.prompt()
    assert prompt.own and prompt.own.name == "ask"
    tree["prompts"]["rollout"] = "ask.py:nothing"
    file.write_text(yaml.safe_dump(tree))
    with pytest.raises(vlt.UsageError, match=r"prompts.rollout: .*the module has no 'nothing'"):
        load_recipe(str(file))


def said(value: Any, images: list[str], *, shown: bool = True, system: str = "") -> Any:
    def ask(row: dict[str, Any]) -> Any:
        assert row["question"] == "q"
        return value

    row = {"question": "q", "choices": [], "images": images}
    return render(own_prompt(ask, system), row, images=shown)


def test_images_stand_where_they_are_meant() -> None:
    image = {"type": "image", "image": "a"}
    text = {"type": "text", "text": "what?"}
    assert said("what?", ["a"]) == [{"role": "user", "content": [image, text]}]
    assert said("what? <image>", ["a"]) == [{"role": "user", "content": [text, image]}]
    assert said("what? <image>", ["a"], shown=False) == [{"role": "user", "content": "what?"}]
    blocks = {"role": "user", "content": [text, {"type": "image"}]}
    assert said([blocks], ["a"]) == [{"role": "user", "content": [text, image]}]
    assert said([blocks], []) == [{"role": "user", "content": "what?"}]
    told = {"role": "system", "content": "be short"}
    two = [told, {"role": "user", "content": "what?"}]
    assert said(two, ["a"]) == [told, {"role": "user", "content": [image, text]}]
    assert said(two, [], system="other") == two
    assert said("what?", [], system="be short") == two
    shots = [
        {"role": "user", "content": "<image>one"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "what? <image>"},
    ]
    assert [m["content"] for m in said(shots, ["a", "b"])] == [
        [image, {"type": "text", "text": "one"}],
        "1",
        [text, {"type": "image", "image": "b"}],
    ]


@pytest.mark.parametrize(
    "nonsense",
    [
        None,
        "",
        7,
        [],
        ["what?"],
        [{"role": "user"}],
        [{"role": "robot", "content": "x"}],
        [{"role": "user", "content": 7}],
        [{"role": "user", "content": [{"type": "video"}]}],
        {"role": "user", "content": "x"},
    ],
)
def test_nonsense_is_one_sentence(nonsense: Any) -> None:
    with pytest.raises(UserError, match=r"the prompt the function ask returned .*; return a text"):
        said(nonsense, [])


def test_as_plain_texts_with_placeholders() -> None:
    row = {"question": "q", "choices": [], "images": ["a"]}
    assert plain_messages(Prompt("{question}", "s"), row) == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "q"},
    ]
    asked = own_prompt(lambda row: row["question"] + " <image>")
    assert plain_messages(asked, row) == [{"role": "user", "content": "q<image>"}]
    with pytest.raises(CannotAsk, match="raised KeyError: 'nothing'"):
        render(own_prompt(lambda row: row["nothing"]), row, images=True)
