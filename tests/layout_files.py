"""Three questions in every layout that the field uses, written by the libraries whose formats they are.

A layout is a function that writes into a folder and says what `vlt import` is given; the same items come
out of all of them, unless it says which others do.
"""

from __future__ import annotations

import base64
import bz2
import csv
import gzip
import io
import json
import lzma
import tarfile
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq

from tests.pictures import png

Item = tuple[str, list[str], str, list[int]]
"""question, choices, gold, and the numbers of the pictures (tests.pictures.png)."""
ITEMS: list[Item] = [
    ("How many red?", [], "3", [0]),
    ("Which is it?", ["cat", "dog", "cow"], "B", [1]),
    ("Is it so?", ["yes", "no"], "A", [2]),
]
QUESTIONS = [
    {"question": question, "choices": choices, "answer": gold}
    for question, choices, gold, _ in ITEMS
]


@dataclass
class Layout:
    """What is imported, and what comes out."""

    source: Path | str
    settings: dict[str, Any] = field(default_factory=dict)
    items: list[Item] = field(default_factory=lambda: list(ITEMS))


LAYOUTS: dict[str, Callable[[Path], Layout]] = {}


def layout(make: Callable[[Path], Layout]) -> Callable[[Path], Layout]:
    """Register it in LAYOUTS under its name."""
    LAYOUTS[make.__name__] = make
    return make


def pictures(folder: Path, name: str = "{}.png", count: int = 3) -> list[str]:
    """Pictures 0 to count - 1 in the folder; their paths from there."""
    for number in range(count):
        file = folder / name.format(number)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(number))
    return [name.format(number) for number in range(count)]


def rows(paths: list[Any], column: str = "image") -> list[dict[str, Any]]:
    """The questions with their images."""
    return [{**row, column: path} for row, path in zip(QUESTIONS, paths, strict=True)]


def lines(rows: list[Any]) -> str:
    """As JSONL."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def text(number: int) -> str:
    """A picture in base64."""
    return base64.b64encode(png(number)).decode()


IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
TABLE = pa.schema(
    [
        ("question", pa.string()),
        ("choices", pa.list_(pa.string())),
        ("answer", pa.string()),
        ("image", IMAGE),
    ]
)


def table(start: int = 0, end: int = 3) -> pa.Table:
    """The questions from `start` to `end` with their images inside."""
    images = [{"bytes": png(number), "path": None} for number in range(3)]
    return pa.Table.from_pylist(rows(images)[start:end], TABLE)


def dataset() -> Any:
    """The questions as a dataset of `datasets`."""
    from datasets import Dataset, Features, Image, List, Value

    features = Features(
        {"question": Value("string"), "choices": List(Value("string")), "answer": Value("string"),
         "image": Image()}
    )  # fmt: skip
    images = [{"bytes": png(number), "path": None} for number in range(3)]
    return Dataset.from_list(rows(images), features=features)


@layout
def jsonl(folder: Path) -> Layout:
    file = folder / "rows.jsonl"
    file.write_text(lines(rows(pictures(folder))))
    return Layout(file)


def compressed(folder: Path, ending: str, pack: Callable[[bytes], bytes]) -> Layout:
    file = folder / f"rows.jsonl{ending}"
    file.write_bytes(pack(lines(rows(pictures(folder))).encode()))
    return Layout(file)


@layout
def jsonl_gz(folder: Path) -> Layout:
    return compressed(folder, ".gz", gzip.compress)


@layout
def jsonl_bz2(folder: Path) -> Layout:
    return compressed(folder, ".bz2", bz2.compress)


@layout
def jsonl_xz(folder: Path) -> Layout:
    return compressed(folder, ".xz", lzma.compress)


@layout
def jsonl_zst(folder: Path) -> Layout:
    def pack(data: bytes) -> bytes:
        half = len(data) // 2  # two frames, as parallel programs write them
        return b"".join(
            bytes(pa.compress(part, codec="zstd", asbytes=True))
            for part in (data[:half], data[half:])
        )

    return compressed(folder, ".zst", pack)


@layout
def jsonl_in_utf_16(folder: Path) -> Layout:
    file = folder / "rows.jsonl"
    file.write_text(lines(rows(pictures(folder))), encoding="utf-16")
    return Layout(file)


@layout
def jsonl_of_pretty_objects(folder: Path) -> Layout:
    file = folder / "rows.jsonl"
    file.write_text("\n".join(json.dumps(row, indent=2) for row in rows(pictures(folder))))
    return Layout(file)


@layout
def objects_without_a_line_between(folder: Path) -> Layout:
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) for row in rows(pictures(folder))))
    return Layout(file)


def json_file(folder: Path, value: Any, **settings: Any) -> Layout:
    file = folder / "rows.json"
    file.write_text(json.dumps(value, indent=1))
    return Layout(file, settings)


@layout
def json_list(folder: Path) -> Layout:
    return json_file(folder, rows(pictures(folder)))


@layout
def json_list_gz(folder: Path) -> Layout:
    file = folder / "rows.json.gz"
    file.write_bytes(gzip.compress(json.dumps(rows(pictures(folder))).encode()))
    return Layout(file)


@layout
def json_by_id(folder: Path) -> Layout:
    made = rows(pictures(folder, "images/{}.png"))
    return json_file(folder, {f"q{n}": row for n, row in enumerate(made)})


@layout
def json_under_a_key(folder: Path) -> Layout:
    info = {"info": {"version": 1}, "data": rows(pictures(folder))}
    return json_file(folder, info)


@layout
def json_of_splits(folder: Path) -> Layout:
    made = rows(pictures(folder))
    return json_file(folder, {"train": made[:1], "test": made}, split="test")


@layout
def json_of_pandas(folder: Path) -> Layout:
    import pandas as pd

    file = folder / "rows.json"
    pd.DataFrame(rows(pictures(folder))).to_json(file)
    return Layout(file)


@layout
def json_of_pandas_split(folder: Path) -> Layout:
    import pandas as pd

    file = folder / "rows.json"
    pd.DataFrame(rows(pictures(folder))).to_json(file, orient="split")
    return Layout(file)


@layout
def tabmwp(folder: Path) -> Layout:
    """Keyed by id, the picture of each under its id in a folder beside, and null for no choices."""
    pictures(folder, "tables/{}.png")
    made = {
        str(n): {**row, "choices": row["choices"] or None, "unit": None, "split": "test"}
        for n, row in enumerate(QUESTIONS)
    }
    (folder / "problems_test.json").write_text(json.dumps(made))
    (folder / "problems_train.json").write_text(json.dumps({"9": made["0"]}))
    return Layout(folder, {"split": "test"})


@layout
def scienceqa(folder: Path) -> Layout:
    """Keyed by id, the answer a place, the picture in a folder of split and id, or none."""
    pictures(folder, "images/train/{}/image.png")
    made = {
        str(n): {
            **row,
            "answer": row["choices"].index(text),
            "image": "image.png",
            "split": "train",
        }
        for n, (row, text) in enumerate(zip(QUESTIONS, ("", "dog", "yes"), strict=True))
        if row["choices"]
    }
    made["7"] = {
        "question": "What is ice?", "choices": ["a liquid", "a solid"], "answer": 1, "image": None,
        "split": "train",
    }  # fmt: skip
    layout = json_file(folder, made)
    layout.items = [*ITEMS[1:], ("What is ice?", ["a liquid", "a solid"], "B", [])]
    return layout


@layout
def one_file_an_item(folder: Path) -> Layout:
    pictures(folder, "set/{}.png")
    for number, row in enumerate(QUESTIONS):
        (folder / "set" / f"{number}.json").write_text(json.dumps(row, indent=2))
    return Layout(folder / "set")


@layout
def one_folder_an_item(folder: Path) -> Layout:
    """Geometry3K's: each with its data and its picture."""
    pictures(folder, "set/{}/diagram.png")
    for number, row in enumerate(QUESTIONS):
        made = {"problem_text": row["question"], **row, "image": "diagram.png"}
        del made["question"]
        (folder / "set" / str(number) / "data.json").write_text(json.dumps(made))
    return Layout(folder / "set")


def csv_file(folder: Path, encoding: str, delimiter: str, ending: str = "csv") -> Layout:
    file = folder / f"rows.{ending}"
    with open(file, "w", encoding=encoding, newline="") as opened:
        writer = csv.writer(opened, delimiter=delimiter)
        writer.writerow(["image", "question", "A", "B", "C", "answer"])
        for row, path in zip(QUESTIONS, pictures(folder), strict=True):
            cells = [*row["choices"], "", "", ""][:3]
            writer.writerow([path, row["question"], *cells, row["answer"]])
    return Layout(file)


@layout
def csv_plain(folder: Path) -> Layout:
    return csv_file(folder, "utf-8", ",")


@layout
def csv_of_excel(folder: Path) -> Layout:
    return csv_file(folder, "utf-8-sig", ";")


@layout
def csv_in_utf_16(folder: Path) -> Layout:
    return csv_file(folder, "utf-16", "\t")


@layout
def csv_with_excels_first_line(folder: Path) -> Layout:
    made = csv_file(folder, "utf-8", ";")
    file = Path(made.source)
    file.write_text("sep=;\n" + file.read_text())
    return made


@layout
def tsv(folder: Path) -> Layout:
    return csv_file(folder, "utf-8", "\t", "tsv")


@layout
def vlmevalkit_tsv(folder: Path) -> Layout:
    """Images in base64, the index of another row where it is the same, a hint before the question."""
    file = folder / "rows.tsv"
    with open(file, "w", newline="") as opened:
        writer = csv.writer(opened, delimiter="\t")
        writer.writerow(["index", "image", "question", "hint", "A", "B", "C", "answer", "category"])
        writer.writerow([1, text(1), "Which is it?", "", "cat", "dog", "cow", "B", "x"])
        writer.writerow([2, "3", "Is it so?", "", "yes", "no", "", "A", "x"])
        writer.writerow([3, text(2), "And now?", "It is noon.", "yes", "no", "", "B", "x"])
    items = [*ITEMS[1:], ("It is noon.\nAnd now?", ["yes", "no"], "B", [2])]
    return Layout(file, items=items)


@layout
def parquet(folder: Path) -> Layout:
    pq.write_table(table(), folder / "rows.parquet")
    return Layout(folder / "rows.parquet")


@layout
def parquet_of_datasets(folder: Path) -> Layout:
    dataset().to_parquet(folder / "rows.parquet")
    return Layout(folder / "rows.parquet")


def shards(folder: Path, *names: str, **settings: Any) -> Layout:
    home = folder / "set"
    for number, name in enumerate(names):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table(number, number + 1), home / name)
    return Layout(home, settings)


@layout
def shards_of_the_hub(folder: Path) -> Layout:
    return shards(folder, *(f"data/train-{n:05d}-of-00003.parquet" for n in range(3)))


@layout
def shards_of_the_hub_with_a_fingerprint(folder: Path) -> Layout:
    return shards(
        folder, *(f"data/train-{n:05d}-of-00003-0a1b2c3d4e5f6a7b.parquet" for n in range(3))
    )


@layout
def shards_by_number(folder: Path) -> Layout:
    return shards(folder, *(f"{n:04d}.parquet" for n in range(3)))


@layout
def shards_by_name_and_number(folder: Path) -> Layout:
    return shards(folder, "part-0.parquet", "part-1.parquet", "part-2.parquet")


@layout
def shards_of_spark(folder: Path) -> Layout:
    made = shards(
        folder,
        *(
            f"part-{n:05d}-3f2a1b0c-1111-2222-3333-444455556666-c000.snappy.parquet"
            for n in range(3)
        ),
    )
    (Path(made.source) / "_SUCCESS").write_text("")
    return made


@layout
def shards_of_the_hubs_conversion(folder: Path) -> Layout:
    return shards(folder, *(f"default/train/{n:04d}.parquet" for n in range(3)))


@layout
def a_split_of_several(folder: Path) -> Layout:
    names = [f"data/testmini-{n:05d}-of-00003.parquet" for n in range(3)]
    made = shards(folder, *names, split="testmini")
    pq.write_table(table(0, 1), folder / "set" / "data" / "test-00000-of-00001.parquet")
    return made


@layout
def split_folders(folder: Path) -> Layout:
    made = shards(folder, *(f"test/{n}.parquet" for n in range(3)), split="test")
    (folder / "set" / "train").mkdir()
    pq.write_table(table(0, 1), folder / "set" / "train" / "0.parquet")
    return made


@layout
def configurations_in_folders(folder: Path) -> Layout:
    made = shards(
        folder, *(f"geometry/train-{n:05d}-of-00003.parquet" for n in range(3)), config="geometry"
    )
    (folder / "set" / "algebra").mkdir()
    pq.write_table(table(0, 1), folder / "set" / "algebra" / "train-00000-of-00001.parquet")
    return made


@layout
def configurations_in_the_card(folder: Path) -> Layout:
    made = shards(
        folder, "a/one.parquet", "b/two.parquet", "b/three.parquet", config="both", split="test"
    )
    (folder / "set" / "README.md").write_text(
        "---\nconfigs:\n- config_name: both\n  data_files:\n  - split: test\n    path:\n"
        "    - a/*.parquet\n    - b/t*.parquet\n- config_name: other\n  data_files: a/one.parquet\n---\n"
    )
    made.items = [ITEMS[0], ITEMS[2], ITEMS[1]]  # in the order of names
    return made


@layout
def a_folder_with_hidden_copies(folder: Path) -> Layout:
    made = shards(folder, *(f"{n}.parquet" for n in range(3)))
    for hidden in (".cache/huggingface/old.parquet", ".git/x.parquet", "__MACOSX/._0.parquet"):
        (folder / "set" / hidden).parent.mkdir(parents=True, exist_ok=True)
        (folder / "set" / hidden).write_bytes(b"no rows")
    (folder / "set" / "._0.parquet").write_bytes(b"no rows")
    return made


@layout
def a_pattern(folder: Path) -> Layout:
    for number, row in enumerate(rows(pictures(folder))):
        (folder / f"part_{number}.jsonl").write_text(lines([row]))
    (folder / "other.jsonl").write_text(lines([{}]))
    return Layout(str(folder / "part_*.jsonl"))


@layout
def saved_to_disk(folder: Path) -> Layout:
    dataset().save_to_disk(folder / "disk", num_shards=2)
    return Layout(folder / "disk")


@layout
def splits_saved_to_disk(folder: Path) -> Layout:
    from datasets import DatasetDict

    made = DatasetDict({"train": dataset().select([0]), "test": dataset()})
    made.save_to_disk(folder / "disk")
    return Layout(folder / "disk", {"split": "test"})


@layout
def feather(folder: Path) -> Layout:
    pyarrow.feather.write_feather(table(), folder / "rows.feather")
    return Layout(folder / "rows.feather")


@layout
def image_folder(folder: Path) -> Layout:
    home = folder / "set" / "train"
    made = rows(pictures(home), "file_name")
    (home / "metadata.jsonl").write_text(lines(made))
    return Layout(folder / "set")


@layout
def webdataset(folder: Path) -> Layout:
    return tar(folder, "shard-000000.tar", "w")


@layout
def webdataset_gz(folder: Path) -> Layout:
    return tar(folder, "shard-000000.tar.gz", "w:gz")


def tar(folder: Path, name: str, mode: Any) -> Layout:
    with tarfile.open(folder / name, mode) as out:
        for number, row in enumerate(QUESTIONS):
            for ending, data in (("jpg", png(number)), ("json", json.dumps(row).encode())):
                member = tarfile.TarInfo(f"set/{number:06d}.{ending}")
                member.size = len(data)
                out.addfile(member, io.BytesIO(data))
    return Layout(folder / name)


def said(row: dict[str, Any]) -> str:
    """The question as a user's turn, with lettered choices."""
    choices = [f"{letter}. {text}" for letter, text in zip("ABC", row["choices"], strict=False)]
    return "\n".join([row["question"], *(["Choices:", *choices] if choices else [])])


@layout
def llava_conversations(folder: Path) -> Layout:
    made = [
        {
            "id": str(number),
            "image": path,
            "conversations": [
                {"from": "human", "value": "<image>\n" + said(row)},
                {"from": "gpt", "value": row["answer"]},
            ],
        }
        for number, (row, path) in enumerate(zip(QUESTIONS, pictures(folder), strict=True))
    ]
    return json_file(folder, made)


@layout
def conversation_of_several_turns(folder: Path) -> Layout:
    """Each question with the pictures of its own turn; one without any is about those before."""
    turns = [
        {"role": "system", "content": "You see."},
        {"role": "user", "content": "<image>How many red?"},
        {"role": "assistant", "content": "3"},
        {"role": "user", "content": "<image> or <image>, which is it?"},
        {"role": "assistant", "content": "the first"},
        {"role": "user", "content": "Are there three?"},
        {"role": "assistant", "content": "yes"},
    ]
    row = {"messages": turns, "images": pictures(folder)}
    file = folder / "rows.jsonl"
    file.write_text(lines([row]))
    items: list[Item] = [
        ("How many red?", [], "3", [0]),
        ("<image> or <image>, which is it?", [], "the first", [1, 2]),
        ("Are there three?", [], "yes", [0, 1, 2]),
    ]
    return Layout(file, items=items)


@layout
def openai_messages(folder: Path) -> Layout:
    made = []
    for number, row in enumerate(QUESTIONS):
        url = f"data:image/png;base64,{text(number)}"
        parts = [
            {"type": "image_url", "image_url": {"url": url}},
            {"type": "text", "text": said(row)},
        ]
        turns = [
            {"role": "user", "content": parts},
            {"role": "assistant", "content": f"I see. <answer>{row['answer']}</answer>"},
        ]
        made.append({"messages": turns})
    file = folder / "rows.jsonl"
    file.write_text(lines(made))
    return Layout(file)


@layout
def swift(folder: Path) -> Layout:
    made = [
        {"query": f"<image>{said(row)}", "response": row["answer"], "images": [path]}
        for row, path in zip(QUESTIONS, pictures(folder), strict=True)
    ]
    file = folder / "rows.jsonl"
    file.write_text(lines(made))
    items = [(f"<image>{question}", c, g, i) for question, c, g, i in ITEMS]
    return Layout(file, items=items)


@layout
def cauldron(folder: Path) -> Layout:
    made = [
        {"images": [path], "texts": [{"user": said(row), "assistant": f"Answer: {row['answer']}"}]}
        for row, path in zip(QUESTIONS, pictures(folder), strict=True)
    ]
    file = folder / "rows.jsonl"
    file.write_text(lines(made))
    return Layout(file)


@layout
def verl(folder: Path) -> Layout:
    made = [
        {
            "data_source": "mine",
            "prompt": [{"role": "user", "content": f"<image>{said(row)}"}],
            "images": [path],
            "reward_model": {"style": "rule", "ground_truth": row["answer"]},
        }
        for row, path in zip(QUESTIONS, pictures(folder), strict=True)
    ]
    file = folder / "rows.jsonl"
    file.write_text(lines(made))
    return Layout(file)


def with_choices(
    folder: Path, column: str, *forms: Any, golds: tuple[Any, ...] = ("B", "A")
) -> Layout:
    """The two questions that have choices, these written as `forms`."""
    paths = pictures(folder)[1:]
    made = [
        {"question": row["question"], "image": path, column: form, "answer": gold}
        for row, path, form, gold in zip(QUESTIONS[1:], paths, forms, golds, strict=True)
    ]
    file = folder / "rows.jsonl"
    file.write_text(lines(made))
    return Layout(file, items=ITEMS[1:])


@layout
def options_in_one_text(folder: Path) -> Layout:
    return with_choices(folder, "options", "A. cat; B. dog; C. cow", "A: yes\nB: no")


@layout
def options_in_a_row(folder: Path) -> Layout:
    return with_choices(folder, "options", "(A) cat (B) dog (C) cow", "A) yes B) no")


@layout
def options_by_letter(folder: Path) -> Layout:
    return with_choices(
        folder, "choices", {"A": "cat", "B": "dog", "C": "cow"}, {"A": "yes", "B": "no"}
    )


@layout
def options_with_their_letters(folder: Path) -> Layout:
    golds = ("B. dog", "(a) yes")
    return with_choices(
        folder, "options", ["A) cat", "B) dog", "C) cow", None], ["(a) yes", "(b) no"], golds=golds
    )


@layout
def options_by_place(folder: Path) -> Layout:
    return with_choices(folder, "options", ["cat", "dog", "cow"], "['yes', 'no']", golds=(1, 0))


@layout
def options_in_the_question(folder: Path) -> Layout:
    paths = pictures(folder)
    made = [
        {"question": question, "answer": gold, "image": path}
        for question, gold, path in (
            ("How many red?", "3", paths[0]),
            ("Which is it?\nChoices:\nA:cat\nB:dog\nC:cow", "B", paths[1]),
            ("Is it so? (A) yes (B) no", "A", paths[2]),
        )
    ]
    file = folder / "rows.jsonl"
    file.write_text(lines(made))
    return Layout(file)


@layout
def numbered_images(folder: Path) -> Layout:
    """MMMU's columns, one a picture."""
    paths = pictures(folder)
    made = [
        {**row, "image_1": path, "image_2": None}
        for row, path in zip(QUESTIONS, paths, strict=True)
    ]
    made[0]["image_2"] = paths[2]
    file = folder / "rows.jsonl"
    file.write_text(lines(made))
    return Layout(file, items=[("How many red?", [], "3", [0, 2]), *ITEMS[1:]])


@layout
def image_and_images(folder: Path) -> Layout:
    paths = pictures(folder)
    made: list[dict[str, Any]] = [
        {**QUESTIONS[0], "image": paths[0]},
        {**QUESTIONS[1], "images": [paths[1]]},
        {**QUESTIONS[2], "image": paths[2], "images": None},
    ]
    file = folder / "rows.jsonl"
    file.write_text(lines(made))
    return Layout(file)


@layout
def images_under_another_name(folder: Path) -> Layout:
    file = folder / "rows.jsonl"
    file.write_text(lines(rows(pictures(folder), "diagram_drawn")))
    return Layout(file)


@layout
def images_in_base64(folder: Path) -> Layout:
    urlsafe = base64.urlsafe_b64encode(png(1)).decode().rstrip("=")
    wrapped = base64.encodebytes(png(2)).decode()
    file = folder / "rows.jsonl"
    file.write_text(lines(rows([text(0), urlsafe, {"bytes": wrapped, "path": None}])))
    return Layout(file)


@layout
def paths_of_elsewhere(folder: Path) -> Layout:
    home = folder / "set"
    pictures(home, "sub/{}.png")
    (home / "sub" / "1.png").rename(home / "sub" / unicodedata.normalize("NFD", "é 1.png"))
    paths = [
        "sub\\0.png",
        "sub/" + unicodedata.normalize("NFC", "é 1.png"),
        f"file://{home}/sub/2.png",
    ]
    file = home / "rows.jsonl"
    file.write_text(lines(rows(paths)))
    return Layout(file)


@layout
def paths_of_another_machine(folder: Path) -> Layout:
    """The folder was moved as a whole, and its name is in the paths."""
    home = folder / "set"
    pictures(home, "sub/{}.png")
    paths = ["/home/ann/set/sub/0.png", "C:\\data\\set\\sub\\1.png", "set/sub/2.png"]
    file = home / "rows.jsonl"
    file.write_text(lines(rows(paths)))
    return Layout(file)


@layout
def names_with_brackets(folder: Path) -> Layout:
    pictures(folder, "[2023] fig {}.png")
    file = folder / "[a] rows.jsonl"
    file.write_text(lines(rows([f"[2023] fig {n}.png" for n in range(3)])))
    return Layout(file)


@layout
def rows_away_from_their_images(folder: Path) -> Layout:
    pictures(folder, "pool/images/{}.png")
    (folder / "rows").mkdir()
    file = folder / "rows" / "rows.jsonl"
    file.write_text(lines(rows([f"images/{n}.png" for n in range(3)])))
    return Layout(file, {"image_root": folder / "pool"})


@layout
def nested_columns(folder: Path) -> Layout:
    made = [
        {
            "q": {"text": row["question"]},
            "a": {"gold": row["answer"]},
            "c": row["choices"],
            "i": path,
        }
        for row, path in zip(QUESTIONS, pictures(folder), strict=True)
    ]
    file = folder / "rows.jsonl"
    file.write_text(lines(made))
    mapping = {"question": "q.text", "answer": "a.gold", "choices": "c", "images": "i"}
    return Layout(file, {"map": mapping})


@layout
def chartqa(folder: Path) -> Layout:
    """The folder of a split: pictures in png/, golds in a list."""
    pictures(folder, "train/png/{}.png")
    made = [
        {
            "imgname": f"{n}.png",
            "query": row["question"],
            "label": [row["answer"]],
            "c": row["choices"],
        }
        for n, row in enumerate(QUESTIONS)
    ]
    (folder / "train" / "train_human.json").write_text(json.dumps(made))
    return Layout(folder / "train", {"map": {"choices": "c"}})


@layout
def clevr(folder: Path) -> Layout:
    """Questions under a key, pictures in a folder of their split."""
    pictures(folder, "images/train/{}.png")
    made = [
        {"image_filename": f"{n}.png", "split": "train", **row} for n, row in enumerate(QUESTIONS)
    ]
    return json_file(folder, {"info": {"split": "train"}, "questions": made})


@layout
def gqa(folder: Path) -> Layout:
    """Keyed by id; the picture's id without its ending."""
    pictures(folder, "images/{}.png")
    return json_file(folder, {f"0{n}": {"imageId": str(n), **q} for n, q in enumerate(QUESTIONS)})


@layout
def mathv360k(folder: Path) -> Layout:
    """Conversations whose pictures lie in a folder that the paths do not name."""
    pictures(folder, "data_images/TabMWP/images/{}.png")
    made = [
        {
            "id": f"x{n}",
            "image": f"TabMWP/images/{n}.png",
            "conversations": [
                {"from": "human", "value": f"<image>\nHint: Please answer.\nQuestion: {said(row)}"},
                {"from": "gpt", "value": f"The answer is {row['answer']}"},
            ],
        }
        for n, row in enumerate(QUESTIONS)
    ]
    return json_file(folder, made)


@layout
def geo170k(folder: Path) -> Layout:
    """The assistant reasons before it answers, without tags."""
    made = [
        {
            "image": path,
            "conversations": [
                {"from": "human", "value": f"<image>\n{said(row)}"},
                {"from": "gpt", "value": f"One sees it. So it is clear.\nAnswer: {row['answer']}"},
            ],
        }
        for row, path in zip(QUESTIONS, pictures(folder), strict=True)
    ]
    return json_file(folder, made)


@layout
def mm_eureka(folder: Path) -> Layout:
    """A conversation that ends with the question, the gold beside it."""
    made = [
        {
            "id": n,
            "conversations": [{"role": "user", "content": f"<image>\n{said(row)}"}],
            "answer": row["answer"],
            "image_urls": [path],
        }
        for n, (row, path) in enumerate(zip(QUESTIONS, pictures(folder), strict=True))
    ]
    file = folder / "rows.jsonl"
    file.write_text(lines(made))
    return Layout(file)


@layout
def qwen_vl(folder: Path) -> Layout:
    """Paths in the text of the turns."""
    made = [
        {
            "conversations": [
                {"from": "user", "value": f"Picture 1: <img>{path}</img>\n{said(row)}"},
                {"from": "assistant", "value": row["answer"]},
            ]
        }
        for row, path in zip(QUESTIONS, pictures(folder), strict=True)
    ]
    return json_file(folder, made)


@layout
def alpaca(folder: Path) -> Layout:
    made = [
        {"instruction": "Answer.", "input": row["question"], "output": row["answer"], "images": [path],
         "options": row["choices"]}
        for row, path in zip(QUESTIONS, pictures(folder), strict=True)
    ]  # fmt: skip
    layout = json_file(folder, made)
    layout.items = [(f"Answer.\n{question}", c, g, i) for question, c, g, i in ITEMS]
    return layout


@layout
def we_math(folder: Path) -> Layout:
    return with_choices(folder, "option", "A. cat; B. dog; C. cow", "A. yes; B. no")


@layout
def mmstar(folder: Path) -> Layout:
    paths = pictures(folder)
    made = [
        {"question": "How many red?", "answer": "3", "image": paths[0]},
        {
            "question": "Which is it?\nOptions: A: cat, B: dog, C: cow",
            "answer": "B",
            "image": paths[1],
        },
        {"question": "Is it so?\nOptions: A: yes, B: no", "answer": "A", "image": paths[2]},
    ]
    file = folder / "rows.jsonl"
    file.write_text(lines(made))
    return Layout(file)


@layout
def places_as_text(folder: Path) -> Layout:
    """AI2D's golds: the place of an option, as text."""
    return with_choices(folder, "options", ["cat", "dog", "cow"], ["yes", "no"], golds=("1", "0"))


@layout
def lines_that_end_with_commas(folder: Path) -> Layout:
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + ",\n" for row in rows(pictures(folder))))
    return Layout(file)


@layout
def the_hubs_viewer(folder: Path) -> Layout:
    made = [{"row_idx": n, "row": row} for n, row in enumerate(rows(pictures(folder)))]
    return json_file(folder, {"features": [{"name": "question"}][:0], "rows": made})


@layout
def messages_with_tools(folder: Path) -> Layout:
    """What comes between the question and the assistant's last words is no answer."""
    made = [
        {
            "messages": [
                {"role": "user", "content": f"<image>{said(row)}"},
                {"role": "assistant", "content": "", "tool_calls": [{"name": "zoom"}]},
                {"role": "tool", "content": "a picture"},
                {"role": "assistant", "content": row["answer"]},
            ],
            "images": [{"path": path, "bytes": None}],
        }
        for row, path in zip(QUESTIONS, pictures(folder), strict=True)
    ]
    file = folder / "rows.jsonl"
    file.write_text(lines(made))
    return Layout(file)


@layout
def openai_evals(folder: Path) -> Layout:
    """The parts of OpenAI's newer API under `input`, the gold as `ideal`."""
    made = [
        {
            "input": [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_image", "image_url": f"data:image/png;base64,{text(n)}"},
                        {"type": "input_text", "text": said(row)},
                    ],
                }
            ],
            "ideal": row["answer"],
        }
        for n, row in enumerate(QUESTIONS)
    ]
    file = folder / "rows.jsonl"
    file.write_text(lines(made))
    return Layout(file)
