"""Known sources: files written by us in the real layouts, read through a small Hub on loopback."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.cli import vlt, vlt_error, vlt_json
from tests.hub_server import HubServer
from tests.imported import make_items
from tests.pictures import png
from vlt.datagen.benchmarks import BENCHMARKS
from vlt.datagen.sources.conversations import question_parts, stated_answer
from vlt.datagen.sources.known import KNOWN, ONEVISION, Known
from vlt.images.store import ImageStore
from vlt.workspace.store import Store

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
TURNS = pa.list_(pa.struct([("from", pa.string()), ("value", pa.string())]))
MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
ONEVISION_SCHEMA = pa.schema(
    [("id", pa.string()), ("image", IMAGE), ("conversations", TURNS), ("data_source", pa.string())]
)
LETTER = (
    "Hint: Please answer the question and provide the correct option letter, "
    "e.g., A, B, C, D, at the end."
)
FINAL = "Hint: Please answer the question and provide the final answer at the end."


def turns(*texts: str) -> list[dict[str, str]]:
    return [{"from": "gpt" if i % 2 else "human", "value": text} for i, text in enumerate(texts)]


def parquet(rows: list[dict[str, Any]], schema: pa.Schema) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema), out)
    return out.getvalue()


def onevision(source: str, conversations: list[list[dict[str, str]]]) -> bytes:
    rows = [
        {
            "id": f"identity_{i}",
            "image": {"bytes": png(i), "path": f"{i}.png"},
            "conversations": conversation,
            "data_source": source,
        }
        for i, conversation in enumerate(conversations)
    ]
    return parquet(rows, ONEVISION_SCHEMA)


MATHV = {
    "FigureQA(MathV360K)": [
        turns(
            f"<image>\n{LETTER}\nQuestion: Is Red the minimum?\nChoices:\n(A) Yes\n(B) No",
            "The answer is B",
        ),
        turns(
            f"<image>\n{FINAL}\nQuestion: Which color is the largest?", "The answer is Dark Red."
        ),
    ],
    "Geometry3K(MathV360K)": [
        turns(
            f"<image>\n{LETTER}\nQuestion: Find x.\nChoices:\n(A) 3.5\n(B) \\frac{{2}}{{3}}\n(C) 12\n(D) 5",
            "The answer is C",
        ),
    ],
    "TabMWP(MathV360K)": [
        turns(f"<image>\n{FINAL}\nQuestion: How much is it in all?", "The answer is $38.51"),
        turns(f"<image>\n{FINAL}\nQuestion: When does it end?", "The answer is 3:45 P.M."),
    ],
    "ai2d(cauldron,llava_format)": [
        turns(
            "<image>\nQuestion: What eats grass?\nChoices:\nA. Hawk.\nB. Rabbit.\nAnswer with the letter.",
            "Answer: B",
            "Question: What eats rabbits?\nChoices:\nA. Hawk.\nB. Grass.\nAnswer with the letter.",
            "Answer: A",
        ),
    ],
    "GEOS(MathV360K)": [
        turns(
            f"<image>\n{LETTER}\nQuestion: In the circle, CD is a diameter. Find AE.\n"
            "Choices:\n(A) 2\n(B) 3\n(C) 5\n(D) 8\n(E) 10",
            "The answer is A",
        ),
    ],
    "VizWiz(MathV360K)": [
        turns(f"<image>\n{FINAL}\nQuestion: What is in this can?", "The answer is coca cola"),
        turns(f"<image>\n{FINAL}\nQuestion: What is this?", "The answer is unanswerable"),
    ],
    "CLEVR-Math(MathV360K)": [
        turns(
            f"<image>\n{FINAL}\nQuestion: Subtract all cubes. How many objects are left?",
            "The answer is 5",
        ),
    ],
    "Super-CLEVR(MathV360K)": [
        turns(
            f"<image>\n{FINAL}\nQuestion: Is there a rubber bicycle?\nChoices:\n(A) Yes\n(B) No",
            "The answer is Yes",
        ),
        turns(f"<image>\n{FINAL}\nQuestion: How many jets are there?", "The answer is 0"),
    ],
    "IconQA(MathV360K)": [
        turns(
            f"<image>\n{LETTER}\nQuestion: Which has fewer stars?\nChoices:\n(A) the top\n(B) the bottom",
            "The answer is B",
        ),
        turns(f"<image>\n{FINAL}\nQuestion: What time is shown? _:00", "The answer is 7"),
    ],
    "MapQA(MathV360K)": [
        turns(
            f"<image>\n{FINAL}\nQuestion: Which states have the lowest value?",
            "The answer is Idaho, Maine, Ohio",
        ),
        turns(f"<image>\n{FINAL}\nQuestion: Does Utah have it?", "The answer is No."),
    ],
    "scienceqa(cauldron,llava_format)": [
        turns(
            "<image>\nQuestion: Which is farthest north?\nChoices:\nA. West Virginia.\nB. Arizona.\n"
            "C. Ohio.\nAnswer with the letter.",
            "Answer: C",
        ),
    ],
}
EXPECTED = {
    "FigureQA(MathV360K)": [
        ("Is Red the minimum?", ["Yes", "No"], "B"),
        ("Which color is the largest?", [], "Dark Red"),
    ],
    "Geometry3K(MathV360K)": [("Find x.", ["3.5", "\\frac{2}{3}", "12", "5"], "C")],
    "TabMWP(MathV360K)": [
        ("How much is it in all?", [], "$38.51"),
        ("When does it end?", [], "3:45 P.M."),
    ],
    "ai2d(cauldron,llava_format)": [
        ("What eats grass?", ["Hawk.", "Rabbit."], "B"),
        ("What eats rabbits?", ["Hawk.", "Grass."], "A"),
    ],
    "GEOS(MathV360K)": [
        ("In the circle, CD is a diameter. Find AE.", ["2", "3", "5", "8", "10"], "A")
    ],
    "VizWiz(MathV360K)": [
        ("What is in this can?", [], "coca cola"),
        ("What is this?", [], "unanswerable"),
    ],
    "CLEVR-Math(MathV360K)": [("Subtract all cubes. How many objects are left?", [], "5")],
    "Super-CLEVR(MathV360K)": [
        ("Is there a rubber bicycle?", ["Yes", "No"], "Yes"),
        ("How many jets are there?", [], "0"),
    ],
    "IconQA(MathV360K)": [
        ("Which has fewer stars?", ["the top", "the bottom"], "B"),
        ("What time is shown? _:00", [], "7"),
    ],
    "MapQA(MathV360K)": [
        ("Which states have the lowest value?", [], "Idaho, Maine, Ohio"),
        ("Does Utah have it?", [], "No"),
    ],
    "scienceqa(cauldron,llava_format)": [
        ("Which is farthest north?", ["West Virginia.", "Arizona.", "Ohio."], "C")
    ],
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    with HubServer(tmp_path_factory.mktemp("hub")) as server:
        configs = [
            {"config_name": name, "data_files": [{"split": "train", "path": f"{name}/train-*"}]}
            for name in MATHV
        ]
        card = f"---\n{yaml.safe_dump({'configs': configs})}---\n# as the real one\n"
        files = {
            f"{name}/train-00000-of-00001.parquet": onevision(name, rows)
            for name, rows in MATHV.items()
        }
        server.make("dataset", ONEVISION, {"README.md": card.encode(), **files})
        seed = pa.schema(
            [(n, pa.string()) for n in ("image", "problem", "answer", "source")]
            + [("decoded_image", IMAGE)]
        )
        rows = [
            {"image": f"images/{i}.jpg", "problem": f"Count {i}?", "answer": str(i),
             "source": "scienceqa" if i == 2 else "clevr",
             "decoded_image": {"bytes": png(i), "path": None}}
            for i in range(4)
        ]  # fmt: skip
        server.make(
            "dataset", "ydeng9/sft_seed", {"data/train-00000-of-00001.parquet": parquet(rows, seed)}
        )
        grpo = pa.schema(
            [("images", pa.list_(IMAGE)), ("problem", pa.string()), ("answer", pa.string())]
        )
        hard = [
            {
                "images": [{"bytes": png(9), "path": None}],
                "problem": "<image>Find y.",
                "answer": "\\frac{1}{2}",
            }
        ]
        for repo in ("ydeng9/OpenVLThinker-grpo-hard", "ydeng9/medium_grpo_only"):
            server.make(
                "dataset",
                repo,
                {
                    f"data/{split}-00000-of-00001.parquet": parquet(hard, grpo)
                    for split in ("train", "test")
                },
            )
        chat = pa.schema([("messages", MESSAGES), ("images", pa.list_(IMAGE))])
        messages = [
            {"role": "user", "content": "<image>How many?"},
            {"role": "assistant", "content": "<think>one, two</think> <answer>2</answer>"},
        ]
        server.make(
            "dataset",
            "ydeng9/OpenVLThinker-sft-iter3",
            {"data/train-00000-of-00001.parquet": parquet(
                [{"messages": messages, "images": [{"bytes": png(8), "path": None}]}], chat)},
        )  # fmt: skip
        yield server


@pytest.fixture
def environment(hub: HubServer, tmp_path: Path) -> dict[str, str]:
    return hub.environment(tmp_path / "hf")


def test_each_source_of_the_paper_has_a_fixture() -> None:
    assert set(MATHV) == {known.config for known in KNOWN if known.repo == ONEVISION}


@pytest.mark.parametrize("known", [k for k in KNOWN if k.repo == ONEVISION], ids=lambda k: k.name)
def test_each_source_from_a_copy(workspace: Path, tmp_path: Path, known: Known) -> None:
    config = known.config or ""
    (tmp_path / "copy" / config).mkdir(parents=True)
    file = tmp_path / "copy" / config / "train-00000-of-00001.parquet"
    file.write_bytes(onevision(config, MATHV[config]))
    settings = {"path": str(tmp_path / "copy")}
    made, _ = make_items(Store(workspace), known.name, settings=settings)
    rows = made.table().to_pylist()
    assert [(r["question"], r["choices"], r["answer"]) for r in rows] == EXPECTED[config]
    assert not made.manifest.failed


@pytest.mark.parametrize("name", ["figureqa", "geometry3k", "tabmwp", "ai2d"])
def test_the_collection_of_the_paper(
    workspace: Path, hub: HubServer, environment: dict[str, str], name: str
) -> None:
    vlt("import", name, "--as", name, "-w", workspace, **environment)
    store = Store(workspace)
    made = store.open(name)
    config = next(known.config for known in KNOWN if known.name == name)
    assert config is not None
    rows = made.table().to_pylist()
    assert [(r["question"], r["choices"], r["answer"]) for r in rows] == EXPECTED[config]
    assert not made.manifest.failed
    assert {r["source"] for r in rows} == {config}, "the column data_source"
    with ImageStore(store.images_folder) as images:
        assert images.read(rows[0]["images"][0]) == png(0)
    m = made.manifest
    assert (m.parameters["hub"], m.parameters["config"]) == (ONEVISION, config)
    assert m.parameters["revision"] == hub.repos["dataset", ONEVISION].commits[0][0]
    assert "apache-2.0" in m.facts["license"]


def test_upstreams_published_sets(workspace: Path, environment: dict[str, str]) -> None:
    where = ("-w", workspace)
    vlt(
        "import", "sft-seed", "--as", "seed", "--where", "source not in ('scienceqa', 'ai2d')",
        *where, **environment,
    )  # fmt: skip
    vlt("import", "grpo-hard", "--as", "hard", "--split", "test", *where, **environment)
    vlt("import", "grpo-medium", "--as", "medium", *where, **environment)
    vlt("import", "sft-iter3", "--as", "iter3", *where, **environment)
    store = Store(workspace)
    seed = store.open("seed").table().to_pylist()
    assert [(r["answer"], r["source"]) for r in seed] == [
        ("0", "clevr"),
        ("1", "clevr"),
        ("3", "clevr"),
    ]
    assert json.loads(seed[0]["meta"])["image"] == "images/0.jpg"
    (hard,) = store.open("hard").table().to_pylist()
    assert (hard["question"], hard["answer"]) == ("<image>Find y.", "\\frac{1}{2}")
    assert store.open("medium").table(["question"]).to_pylist() == [{"question": "<image>Find y."}]
    (iter3,) = store.open("iter3").table().to_pylist()
    assert (iter3["question"], iter3["answer"]) == ("How many?", "2")
    assert "<think>" in json.loads(iter3["meta"])["solution"]


def test_several_configurations_are_named(workspace: Path, environment: dict[str, str]) -> None:
    where = ("-w", workspace)
    said = vlt_error("import", ONEVISION, *where, code=2, **environment)
    assert "has the configurations" in said and "--config" in said and "GEOS(MathV360K)" in said
    wrong = vlt_error("import", ONEVISION, "--config", "x", *where, code=2, **environment)
    assert "has no configuration 'x'" in wrong
    split = vlt_error(
        "import", ONEVISION, "--config", "GEOS(MathV360K)", "--split", "x", *where, code=2,
        **environment,
    )  # fmt: skip
    assert "has no split 'x'; it has train" in split


def test_a_copy_on_this_machine(workspace: Path, tmp_path: Path) -> None:
    config = "FigureQA(MathV360K)"
    (tmp_path / "copy" / config).mkdir(parents=True)
    file = tmp_path / "copy" / config / "train-00000-of-00001.parquet"
    file.write_bytes(onevision(config, MATHV[config]))
    store = Store(workspace)
    made, _ = make_items(store, "figureqa", settings={"path": str(tmp_path / "copy")})
    assert [row["answer"] for row in made.table().to_pylist()] == ["B", "Dark Red"]
    direct, _ = make_items(store, "figureqa", settings={"path": str(file)}, name="direct")
    assert direct.manifest.digest == made.manifest.digest


def test_sources_are_listed(tmp_path: Path) -> None:
    listed = vlt_json("sources")
    assert [row["name"] for row in listed] == [known.name for known in (*KNOWN, *BENCHMARKS)]
    assert all(row["facts"] and row["license"] for row in listed)
    assert "figureqa" in vlt("sources")
    assert "no setting" in vlt_error(
        "import", "figureqa", "--set", "n=3", "-w", tmp_path / "w", code=2
    )
    assert "--split" in vlt_error(
        "import", "miniature", "--split", "x", "-w", tmp_path / "w", code=2
    )


@pytest.mark.parametrize(
    ("text", "question", "choices"),
    [
        ("<image>\nWhat is it?", "What is it?", []),
        (
            f"{LETTER}\nQuestion: Q?\nChoices: (A) 3/11 (B) 8/11 (C) 6/11",
            "Q?",
            ["3/11", "8/11", "6/11"],
        ),
        ("Q?\nChoices:\n(B) x\n(A) y", "Q?\nChoices:\n(B) x\n(A) y", []),
        ("Q?\nOptions:\nA. a. b\nB. (C) d\nC. e", "Q?", ["a. b", "(C) d", "e"]),
        ("Is A. Smith in B. C.?", "Is A. Smith in B. C.?", []),
    ],
)
def test_questions_are_taken_apart(text: str, question: str, choices: list[str]) -> None:
    assert question_parts(text) == (question, choices)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The answer is B", "B"),
        ("Answer: B", "B"),
        ("B.", "B"),
        ("The answer is (C).", "C"),
        ("The answer is 3.14", "3.14"),
        ("The answer is 3:45 P.M.", "3:45 P.M."),
        ("No.", "No"),
        ("Answers vary", "Answers vary"),
    ],
)
def test_answers_are_found(text: str, answer: str) -> None:
    assert stated_answer(text) == answer
