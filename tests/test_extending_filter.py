"""A filter of a newcomer's own, as docs/extending.md shows it, by the real command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import vlt
from tests.newcomer import Newcomer
from tests.rows import dataset, item, sample
from tests.small_recipe import write_small
from vlt.runs.recipe import load_recipe
from vlt.workspace.store import Store

SAYS = [
    "<think>2</think><answer>2</answer>",
    "<think>Sorry, sorry, I mean 2</think><answer>2</answer>",
    f"<think>{'one and one ' * 9}</think><answer>2</answer>",
    "<think>3</think><answer>3</answer>",
]


@pytest.fixture
def newcomer(tmp_path: Path) -> Newcomer:
    """With samples in a workspace."""
    made = Newcomer(tmp_path)
    rows = [sample(text, n, item()) for n, text in enumerate(SAYS)]
    dataset(Store(tmp_path / "workspace"), "samples", "sample", rows)
    return made


def test_the_page_as_it_is_written(newcomer: Newcomer) -> None:
    blocks = newcomer.write("A filter")
    (command,) = blocks["bash"]
    found = json.loads(newcomer.run(f"{command.strip()} --json"))
    assert found["dropped"] == {
        "verify": {"wrong": 1},
        "no_apologies": {"apologises": 1},
        "short": {"rejected": 1},
    }
    assert (found["kept"], found["failed"]) == (1, {})
    assert "apologises: 2 times" in newcomer.run("vlt show sft --dropped -n 9")
    (recipe,) = blocks["yaml"]
    (newcomer.folder / "chain.yaml").write_text(recipe)
    again = json.loads(newcomer.run("vlt filter samples --chain chain.yaml --json"))
    assert again["dataset"] == "sft@v1"  # found again
    mine = newcomer.folder / "mine.py"
    mine.write_text(mine.read_text().replace("times == 0", "times < 2"))
    assert json.loads(newcomer.run(f"{command.strip()} --json"))["dataset"] == "sft@v2"


def test_python_finds_what_the_command_made(
    newcomer: Newcomer, monkeypatch: pytest.MonkeyPatch
) -> None:
    newcomer.write("A filter")
    newcomer.run("vlt filter samples --verify --filter mine.py:no_apologies")
    with vlt.Workspace(newcomer.folder / "workspace") as workspace:
        named = f"{newcomer.folder}/mine.py:no_apologies"
        assert workspace.filter("samples", ["verify", named]).ref == "sft@v1"
        monkeypatch.syspath_prepend(str(newcomer.folder))
        from mine import no_apologies  # type: ignore[import-not-found]

        assert workspace.filter("samples", ["verify", no_apologies]).ref == "sft@v1"


def test_what_goes_wrong_is_said(newcomer: Newcomer) -> None:
    (newcomer.folder / "bad.py").write_text(
        "def raises(row):\n    return row['respons']\n\n\ndef nonsense(row):\n    pass\n"
    )
    found = newcomer.run("vlt filter samples --filter bad.py:raises", code=3)
    assert "raises raised KeyError" in found
    assert "'respons' (bad.py, line 2)" in newcomer.run("vlt show sft --dropped")
    said = newcomer.run("vlt filter samples --filter bad.py:nonsense", code=1)
    assert "vlt: bad.py:nonsense returned None (of type NoneType) for the row" in said
    for name, says in (
        ("bad.py:no", "the module has no 'no'; it has raises, nonsense"),
        ("no.py:no", "no.py' does not exist"),
        ("noo", "no filter is called 'noo'; there are grade, correct, verify"),
        ("bad.py:raises=limit=3", "bad.py:raises has no setting 'limit'; it has none"),
        ("max_words={", "has settings that cannot be parsed"),
    ):
        said = newcomer.run(f"vlt filter samples --filter '{name}'", code=2)
        assert says in said
        assert "Traceback" not in said


def test_filters_run_in_the_order_in_which_they_are_named(newcomer: Newcomer) -> None:
    newcomer.write("A filter")
    newcomer.run(
        "vlt filter samples --filter mine.py:short=60 --max-words 50 --filter mine.py:no_apologies "
        "--filter repetition='{share: 0.5, ngram: 4}' --where 'completion_tokens < 100' --verify"
    )
    chain = Store(newcomer.folder / "workspace").open("sft").manifest.parameters["chain"]
    assert [entry["filter"] for entry in chain] == [
        "short",
        "max_words",
        "no_apologies",
        "repetition",
        "where",
        "verify",
        "not_cut",
    ]
    assert (chain[0]["limit"], chain[3]["share"], chain[3]["ngram"]) == (60, 0.5, 4)


def test_a_recipe_names_files_from_its_own_folder(newcomer: Newcomer) -> None:
    (newcomer.folder / "sub").mkdir()
    newcomer.write("A filter")
    file = newcomer.folder / "sub/recipe.yaml"
    write_small(file, filters=["verify", "../mine.py:no_apologies"])
    (named,) = load_recipe(str(file)).rounds[0].filters[1:]
    assert named == f"{newcomer.folder}/mine.py:no_apologies"
    write_small(file, filters=["verify", {"./mine.py:no_apologies": {"a": 1}}])
    with pytest.raises(vlt.UsageError, match=r"rounds.0.filters.1: .*mine.py' does not exist"):
        load_recipe(str(file))
