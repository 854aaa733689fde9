"""vlt ls, show and log: what a user reads about a workspace, and the history of one row."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from tests.cli import run_vlt, vlt, vlt_error, vlt_json
from tests.rows import dataset, item, sample
from vlt.workspace.lineage import ancestors, fair_samples, made_from
from vlt.workspace.manifest import Stage
from vlt.workspace.schema import SAMPLE
from vlt.workspace.store import Store
from vlt.workspace.writer import Writer


@pytest.fixture
def filled(workspace: Path) -> Path:
    """Two items, two samples of each, one of which a filter dropped."""
    store = Store(workspace)
    questions = [item("How many dogs?", "2"), item("How many cats?", "3")]
    parent = dataset(store, "items", "item", questions)
    rows = [sample(f"<answer>{n}</answer>", n, q) for q in questions for n in (0, 1)]
    table = pa.Table.from_pylist(rows, schema=SAMPLE)
    with Writer(store, Stage("gen", {"model": "m"}), "samples", "sample", [parent]) as writer:
        writer.expect(table)
        writer.keep(table)
    samples = writer.dataset
    with Writer(
        store, Stage("filter", {"chain": ["verify"]}), "sft", "sample", [samples], round=1
    ) as writer:
        writer.expect(table)
        writer.keep(table.slice(0, 3))
        writer.drop(table.slice(3), "verify", ["wrong: another number"])
    return workspace


def test_looking_makes_nothing(workspace: Path) -> None:
    for words in (["ls"], ["status"], ["report"], ["show", "x"], ["log", "x"], ["diff", "a", "b"]):
        done = run_vlt(*words, "-w", workspace)
        assert "Traceback" not in done.stderr
        assert not workspace.exists(), words


def test_ls(filled: Path) -> None:
    rows = vlt_json("ls", "-w", filled)
    assert [(r["name"], r["version"], r["kind"], r["rows"]) for r in rows] == [
        ("items", 1, "item", 2),
        ("samples", 1, "sample", 4),
        ("sft", 1, "sample", 3),
    ]
    assert "sft" in vlt("ls", "-w", filled)


def test_show_rows_by_condition(filled: Path) -> None:
    rows = vlt_json("show", "sft", "-w", filled, "--where", "question like '%cats%'")
    assert [(r["question"], r["sample"]) for r in rows] == [("How many cats?", 0)]
    (gone,) = vlt_json("show", "sft@r1", "-w", filled, "--dropped", "--where", "filter = 'verify'")
    assert gone["reason"] == "wrong: another number"
    assert len(vlt_json("show", "samples", "-n", "3", "-w", filled)) == 3


def test_show_follows_one_row_to_its_item(filled: Path) -> None:
    whole = item("How many cats?", "3")["id"]
    rows = vlt_json("show", "sft", "--id", whole[:9], "-w", filled)
    assert [(r["version"], r.get("sample"), r.get("reason")) for r in rows] == [
        ("sft@v1", 0, None),
        ("sft@v1", 1, "wrong: another number"),
        ("samples@v1", 0, None),
        ("samples@v1", 1, None),
        ("items@v1", None, None),
    ]


def test_log_is_the_lineage(filled: Path) -> None:
    assert [v["ref"] for v in vlt_json("log", "sft", "-w", filled)] == [
        "sft@v1",
        "samples@v1",
        "items@v1",
    ]
    text = vlt("log", "sft", "-w", filled)
    assert text.index("sft@v1") < text.index("samples@v1") < text.index("items@v1")
    assert "items_v1 --> samples_v1" in vlt("log", "sft", "--mermaid", "-w", filled)


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        (("show", "nothing"), "no dataset 'nothing'", 1),
        (("show", "imtes"), "; did you mean items", 1),
        (("train", "sft", "--data", "stf", "--model", "m"), "; did you mean sft", 1),
        (("show", "sft", "--where", "colour = 1"), "colour", 2),
        (("show", "sft", "--id", "zzz"), "no such row", 1),
        (("log", "a/b"), "does not name a dataset", 2),
    ],
)
def test_mistakes(filled: Path, arguments: tuple[str, ...], says: str, code: int) -> None:
    assert says in vlt_error(*arguments, "-w", filled, code=code)


def test_an_empty_workspace(workspace: Path) -> None:
    assert vlt_json("ls", "-w", workspace) == []
    assert "is empty" in vlt_error("show", "sft", "-w", workspace)


HEAVY = ("torch", "transformers", "trl", "datasets", "openai", "aiohttp", "sympy")


@pytest.mark.parametrize("command", ["--help", "ls", "show sft", "log sft"])
def test_nothing_heavy_is_loaded_to_look(filled: Path, command: str) -> None:
    heavy = (*HEAVY, "pyarrow", "duckdb", "numpy", "pydantic") if command == "--help" else HEAVY
    program = (
        "import sys; sys.argv[1:] = "
        + repr([*command.split(), *(["-w", str(filled)] if command != "--help" else [])])
        + "\n"
        "from vlt.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        f"print([m for m in {heavy!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stderr.strip().splitlines()[-1] == "[]"


def test_a_long_lineage_is_walked_without_recursion(workspace: Path) -> None:
    store = Store(workspace)
    last = dataset(store, "d0", "item", [item()])
    for number in range(1, 1_500):
        with Writer(store, Stage("test", {}), f"d{number}", "item", [last]) as writer:
            pass
        last = writer.dataset
    walked = list(ancestors(store, last))
    assert [a.dataset.ref for a in walked[:2]] == ["d1499@v1", "d1498@v1"]
    assert len(walked) == 1_500 and walked[-1].depth == 1_499
    assert [v.ref for v in made_from(store, last)[:2]] == ["d0@v1", "d1@v1"]
    assert fair_samples(store, last) is None


def test_a_version_that_two_were_made_from_is_met_again(workspace: Path) -> None:
    store = Store(workspace)
    root = dataset(store, "root", "item", [item()])
    sides = []
    for name in "ab":
        with Writer(store, Stage("test", {"of": name}), name, "item", [root]) as writer:
            pass
        sides.append(writer.dataset)
    with Writer(store, Stage("test", {}), "both", "item", sides) as writer:
        pass
    walked = [(a.dataset.ref, a.depth, a.again) for a in ancestors(store, writer.dataset)]
    assert walked == [
        ("both@v1", 0, False),
        ("a@v1", 1, False),
        ("root@v1", 2, False),
        ("b@v1", 1, False),
        ("root@v1", 2, True),
    ]
    assert [v.ref for v in made_from(store, writer.dataset)] == ["root@v1", "a@v1", "b@v1"]
    shutil.rmtree(root.path)
    assert [v.ref for v in made_from(store, writer.dataset)] == ["a@v1", "b@v1"]
    assert "root@v1, from which a@v1 was made" in vlt_error("log", "both", "-w", workspace)
