"""Training methods: the record is complete; a user's own comes from a file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli import vlt, vlt_error, vlt_json
from tests.newcomer import Newcomer
from tests.tiny import PROMPT, samples, tiny_vlm, trained
from vlt.errors import UsageError, UserError
from vlt.fields import documented
from vlt.runs.recipe import BUNDLED, load_recipe
from vlt.train.method import BUILT_IN, Method, find_method, methods
from vlt.train.settings import Training
from vlt.train.trl_fields import fields
from vlt.workspace.store import Store


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The method that docs/extending.md shows."""
    Newcomer(tmp_path).write("A training method")
    return tmp_path / "gentle.py"


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_record_agrees_with_trl_and_documents_its_settings(name: str) -> None:
    method = find_method(name)
    assert isinstance(method, Method) and method.name == name
    known = set(fields(method.config))
    for mentioned in (method.always, method.without_images, method.paper, method.shown):
        assert set(mentioned) - {"effective batch"} <= known, mentioned
    assert {"prompt", "images", "id"} <= set(method.columns().names)
    assert issubclass(method.training, Training)
    for field in documented(method.training):
        assert field.doc.endswith((".", "]", ")")), field.name
    assert method.filled(Training(processes=3)).processes == 3
    assert method.name in [m.name for m in methods()]


def test_importing_the_methods_loads_no_framework() -> None:
    code = (
        "import sys, vlt.train.method as m; m.methods(); "
        "print([n for n in ('torch', 'trl', 'transformers', 'pyarrow', 'pandas') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_names_that_stand_for_no_method_are_told(own: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no method is called 'rlhf'; there are sft, grpo, dpo"):
        find_method("rlhf")
    with pytest.raises(UsageError, match=r"a method is a vlt\.train\.method\.Method"):
        find_method(f"{own}:trainer")
    same = tmp_path / "same.py"
    same.write_text("from vlt.train.methods.sft import METHOD\n")
    with pytest.raises(UserError, match="has the name of a built-in method"):
        find_method(f"{same}:METHOD")
    assert "rlhf" in vlt_error("train", "rlhf", code=2)


@pytest.mark.slow
def test_one_of_ones_own_by_the_command_line_and_in_python(own: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "workspace")
    data, model = samples(store, 8), tiny_vlm(tmp_path / "vlm")
    prompt = tmp_path / "prompt.txt"
    prompt.write_text(PROMPT.user)
    words = ("train", "./gentle.py:GENTLE", "--model", model, "--prompt", prompt, "--steps", 2)
    assert "Number of steps, whatever the data" in vlt(
        "train", "./gentle.py:GENTLE", "--help", cwd=tmp_path
    )
    made = vlt_json(*words, "-w", store.root, cwd=tmp_path)
    assert (made["name"], made["facts"]["steps"]) == ("gentle-model", 2)
    manifest = store.open("gentle-model").manifest
    assert (manifest.stage, manifest.parameters["steps"]) == ("train gentle", 2)
    assert manifest.parameters["method"]["plugin"] == "GENTLE"
    assert trained(f"{own}:GENTLE", store, data, str(model), steps=2)[1], "Python finds it"
    own.write_text(own.read_text() + "# edited\n")
    assert not vlt_json(*words, "-w", store.root, cwd=tmp_path)["existed"]


def test_one_of_ones_own_in_a_recipe(own: Path) -> None:
    import yaml

    from vlt.runs.loop import plan

    tree = yaml.safe_load((BUNDLED / "miniature.yaml").read_text())
    tree["canary"] = False
    tree["./gentle.py:GENTLE"] = [{"train": {"steps": 3, "freeze": ["vision_tower"]}}]
    (own.parent / "own.yaml").write_text(yaml.safe_dump(tree))
    recipe = load_recipe(str(own.parent / "own.yaml"))
    names = [step.name for step in plan(recipe) if step.round == 1]
    place = names.index("gentle-model")
    assert names[place - 1 : place + 2] == ["eval-sft", "gentle-model", "eval-gentle"]
    [phase] = recipe.rounds[0].phases[f"{own.resolve()}:GENTLE"]
    assert (phase.train.steps, phase.train.freeze) == (3, ["vision_tower"])
    tree["./gentle.py:GENTLE"] = [{"train": {"stepz": 3}}]
    (own.parent / "own.yaml").write_text(yaml.safe_dump(tree))
    with pytest.raises(UsageError, match=r"unknown key '.*gentle\.py:GENTLE\.0\.train\.stepz'"):
        load_recipe(str(own.parent / "own.yaml"))
