"""The generated references: everything that a user can name is listed and described."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

import vlt
from docs.generate import commands, names, python_api, recipe, training
from vlt.api.workspace import Workspace
from vlt.datagen.benchmarks.catalog import BENCHMARKS
from vlt.datagen.sources.known import KNOWN
from vlt.filters.registry import FILTERS
from vlt.grade.graders import GRADERS
from vlt.grade.verdict import Options
from vlt.judging.rubric import bundled_rubrics
from vlt.runs.recipe import BUNDLED
from vlt.train.method import BUILT_IN, find_method
from vlt.train.rewards import NUMBERS

DOCS = Path(__file__).parents[1] / "docs"
COMMANDS = list(commands.commands())
PARTS = recipe.parts()


def section(page: str, title: str) -> str:
    """What stands under a heading of the second or third level."""
    found = re.search(rf"^##+ {re.escape(title)}\n(.*?)(?=^##+ |\Z)", page, re.M | re.S)
    assert found, f"there is no section {title!r}"
    return found[1]


def rows(text: str) -> dict[str, list[str]]:
    """First cell -> the others, of every table."""
    lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line[:1] == "|"]
    return {cells[0].strip(): [c.strip() for c in cells[1:]] for cells in lines}


@pytest.fixture(scope="module")
def command_page() -> str:
    return commands.page()


@pytest.fixture(scope="module")
def recipe_page() -> str:
    return recipe.page()


@pytest.fixture(scope="module")
def name_page() -> str:
    return names.page()


@pytest.fixture(scope="module")
def python_page() -> str:
    return python_api.page()


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[path for path, _ in COMMANDS])
def test_every_command_and_option(path: str, command: Any, command_page: str) -> None:
    text = section(command_page, path)
    assert text.strip().split("\n")[0].strip(), f"{path} says nothing of itself"
    told = rows(text)
    for parameter in command.params:
        if parameter.name == "help" or parameter.hidden:
            continue
        if parameter.param_type_name == "option":
            (line,) = [v for k, v in told.items() if f"`{parameter.opts[0]}`" in k.split()]
        else:
            line = told["`" + commands.metavar(parameter).replace("|", r"\|") + "`"]
        obvious = parameter.name in ("data", "a", "b", "dataset", "top_p", "top_k")
        assert line[-1] or obvious, f"{path} {parameter.opts[0]} has no text"


@pytest.mark.parametrize("part", PARTS, ids=[part.__name__ for part in PARTS])
def test_every_key_of_a_recipe(part: Any, recipe_page: str) -> None:
    told = rows(section(recipe_page, part.__name__))
    base = recipe.inherited(part)
    told |= rows(section(recipe_page, base.__name__)) if base else {}
    for key, *_ in recipe.keys(part):
        assert told[f"`{key}`"][-1], f"the key {key!r} of {part.__name__} has no text"


def test_every_key_of_the_bundled_recipes_is_there(recipe_page: str) -> None:
    told = set(re.findall(r"^\| `(\w+)` \|", recipe_page, re.M))
    for file in BUNDLED.glob("*.yaml"):
        tree = yaml.safe_load(file.read_text("utf-8"))
        assert set(tree) <= told, file.name
        assert {key for round in tree["rounds"] for key in round} <= told, file.name


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_and_setting(name: str, name_page: str) -> None:
    text = section(name_page, name)
    assert text.strip(), f"the filter {name} says nothing of itself"
    told = rows(text)
    for field in fields(FILTERS[name]):
        if field.init:
            assert told[f"`{field.name}`"][-1], f"{name}.{field.name} has no text"


def test_every_other_name(name_page: str) -> None:
    for title, wanted in {
        "Rewards": [*NUMBERS, "grader", "judge:RUBRIC"],
        "Rubrics": bundled_rubrics(),
        "Graders": [*GRADERS, *(f.name for f in fields(Options))],
        "Training methods": BUILT_IN,
        "Sources": [*(known.name for known in KNOWN), "miniature"],
        "Benchmarks": [b.name for b in BENCHMARKS],
        "Recipes": [file.stem for file in BUNDLED.glob("*.yaml")],
    }.items():
        told = rows(section(name_page, title))
        assert {f"`{name}`" for name in wanted} <= set(told), title


def test_every_public_name(python_page: str) -> None:
    for name in vlt.__all__:
        if not name.startswith("__"):
            assert re.sub(r"```.*?```", "", section(python_page, f"vlt.{name}"), flags=re.S).strip()
    for name, member in vars(Workspace).items():
        if not name.startswith("_") and callable(member):
            said = re.sub(r"```.*?```", "", section(python_page, f"Workspace.{name}"), flags=re.S)
            assert said.strip(), f"Workspace.{name} has no docstring"


def test_every_setting_of_a_training() -> None:
    page = training.page()
    for name in BUILT_IN:
        method = find_method(name)
        told = rows(section(page, name))
        for setting in (*method.paper, *method.without_images):
            assert f"`{setting}`" in told
        for setting, value in method.always.items():
            assert f"`{setting}={value}`" in section(page, name)


def test_the_published_accuracy_is_that_of_the_catalogue() -> None:
    told = rows(section((DOCS / "paper.md").read_text("utf-8"), "Published accuracy"))
    shown = {"mathvista": "MathVista testmini", "mathverse": "MathVerse testmini"}
    shown |= {"mathvision": "MathVision test", "mathvision-testmini": "MathVision testmini"}
    for benchmark in BENCHMARKS:
        if benchmark.published:
            cells = told[shown[benchmark.name]]
            for published in benchmark.published:
                assert f"{published.accuracy:.1f}" in cells, benchmark.name


def messages() -> list[str]:
    """The messages of the tables of docs/troubleshooting.md."""
    text = (DOCS / "troubleshooting.md").read_text("utf-8")
    return re.findall(r"^\| `([^`]+)` \|", text, re.M)


@pytest.fixture(scope="module")
def code() -> str:
    """All of vlt's code, with a string over several lines as one."""
    root = Path(vlt.__file__).parent
    sources = "".join(file.read_text("utf-8") for file in sorted(_sources(root)))
    return re.sub(r"\"\s*\n\s*(?:else )?f?\"", "", sources).replace("`", "").replace("{{", "{")


def _sources(root: Path) -> list[Path]:
    # The four folders at the top are links in vlt/, which rglob does not follow by itself.
    folders = [folder for folder in root.iterdir() if folder.is_dir()]
    return [*root.glob("*.py"), *(file for folder in folders for file in folder.rglob("*.py"))]


@pytest.mark.parametrize("message", messages())
def test_a_message_of_the_page_is_one_of_the_program(message: str, code: str) -> None:
    for piece in message.split("…"):
        said = piece.strip(" (:$")
        assert len(said) < 4 or said in code, f"no message says {said!r} any more"


def test_the_page_has_the_messages() -> None:
    assert len(messages()) > 40
