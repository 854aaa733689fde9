"""A corpus of bad input: nothing crashes, each is taken as a user expects or dropped with a reason.

The rows of CORPUS are imported together, good ones between them, so that each also shows that it
touches no other. Files that are bad as a whole follow.
"""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.cli import run_vlt
from tests.imported import make_items
from tests.pictures import animation, bomb, encoded, picture, png, sixteen_bits, turned_jpeg
from vlt.datagen.sources.formats.opened import LFS
from vlt.errors import UserError
from vlt.workspace.store import Store

GOOD = {"image": "good.png", "question": "How many?", "answer": "3"}
FILES: dict[str, bytes] = {
    "good.png": png(1),
    "cut.jpg": encoded(picture(), "JPEG")[:-300],
    "cut.png": png()[:2000],
    "head.png": png()[:30],
    "empty.png": b"",
    "text.png": b"this is no image",
    "page.png": b"<html><body>404</body></html>",
    "vector.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "print.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
    "moving.gif": animation("GIF"),
    "moving.png": animation("PNG"),
    "moving.webp": animation("WEBP"),
    "pages.tiff": animation("TIFF"),
    "bomb.png": bomb(),
    "strip.png": encoded(Image.new("L", (1, 30_000))),
    "cmyk.jpg": encoded(picture(mode="CMYK"), "JPEG"),
    "deep.png": encoded(sixteen_bits()),
    "turned.jpg": turned_jpeg(),
    "jpeg.png": encoded(picture(), "JPEG"),
    "palette.png": encoded(picture(mode="P")),
    "alpha.png": encoded(picture(mode="RGBA")),
    "one_bit.png": encoded(picture(mode="1")),
    "still.gif": encoded(picture(mode="P"), "GIF"),
    "bitmap.bmp": encoded(picture(), "BMP"),
    "dot.png": encoded(Image.new("RGB", (1, 1))),
    "Ünïcode 图.png": png(5),
}
KEPT = None
CHOICES = ["cat", "dog"]

CORPUS: list[tuple[str, Any, str | None]] = [
    # What it is, the row (a dict over GOOD, or a raw line), and the reason (None: an item).
    ("jpeg cut short", {"image": "cut.jpg"}, "image does not decode"),
    ("png cut short", {"image": "cut.png"}, "image does not decode"),
    ("only a header", {"image": "head.png"}, "image does not decode"),
    ("empty image", {"image": "empty.png"}, "image is empty"),
    ("text as image", {"image": "text.png"}, "image does not decode"),
    ("an error page", {"image": "page.png"}, "image does not decode"),
    ("svg", {"image": "vector.svg"}, "image does not decode"),
    ("eps, which would run a program", {"image": "print.eps"}, "image does not decode"),
    ("animated gif", {"image": "moving.gif"}, "image is animated"),
    ("animated png", {"image": "moving.png"}, "image is animated"),
    ("animated webp", {"image": "moving.webp"}, "image is animated"),
    ("tiff of several pages", {"image": "pages.tiff"}, "image has several pages"),
    ("decompression bomb", {"image": "bomb.png"}, "image has too many pixels"),
    ("1 x 30000 pixels", {"image": "strip.png"}, "image is too narrow"),
    ("cmyk", {"image": "cmyk.jpg"}, KEPT),
    ("16 bits", {"image": "deep.png"}, KEPT),
    ("turned by exif", {"image": "turned.jpg"}, KEPT),
    ("wrong ending", {"image": "jpeg.png"}, KEPT),
    ("palette", {"image": "palette.png"}, KEPT),
    ("transparent", {"image": "alpha.png"}, KEPT),
    ("one bit", {"image": "one_bit.png"}, KEPT),
    ("gif that stands still", {"image": "still.gif"}, KEPT),
    ("bmp", {"image": "bitmap.bmp"}, KEPT),
    ("one pixel", {"image": "dot.png"}, KEPT),
    ("name in Unicode", {"image": "Ünïcode 图.png"}, KEPT),
    ("missing file", {"image": "nothing.png"}, "image file not found"),
    ("a folder as image", {"image": "."}, "image is no file"),
    ("a pipe as image", {"image": "pipe"}, "image is no file"),
    ("a device as image", {"image": "zero"}, "image is no file"),
    ("path traversal", {"image": "../../../../etc/passwd"}, "image path leads out of the folder"),
    ("traversal in the middle", {"image": "a/../../x.png"}, "image path leads out of the folder"),
    ("absolute path", {"image": "/etc/passwd"}, "image path leads out of the folder"),
    ("null character in a path", {"image": "a\0b.png"}, "image path holds a null character"),
    ("very long path", {"image": "x" * 900 + ".png"}, "image file cannot be read"),
    ("no base64", {"image": "data:image/png;base64,@@@@"}, "image text is no base64"),
    ("base64 of nothing", {"image": "data:image/png;base64,"}, "image is empty"),
    ("file url", {"image": "file:///etc/passwd"}, "image path leads out of the folder"),
    ("image is null", {"image": None}, "no image"),
    ("image is a number", {"image": 7}, "image is no file, no bytes and no URL"),
    ("image is empty text", {"image": ""}, "image is no file, no bytes and no URL"),
    ("image is an empty list", {"image": []}, "no image"),
    ("image is a nested list", {"image": [["good.png"]]}, "image is no file, no bytes and no URL"),
    ("one of two images missing", {"image": ["good.png", "no.png"]}, "image file not found"),
    ("two placeholders, one image", {"question": "<image> <image>?"}, "<image> stands 2 times"),
    ("one placeholder, one image", {"question": "<image> what?"}, KEPT),
    ("question null", {"question": None}, "no question"),
    ("question blank", {"question": " \n"}, "question is empty"),
    ("question a list", {"question": ["a", "b"]}, "question is not text"),
    ("question a number", {"question": 12}, "question is not text"),
    ("10 MB question", {"question": "why " * 2_500_000}, "question is too long"),
    (
        "half a surrogate",
        '{"image": "good.png", "question": "\\ud800", "answer": "1"}',
        "question is",
    ),
    ("null character in text", {"question": "what\0now?"}, KEPT),
    ("right to left and emoji", {"question": "كم؟ 🤔\u202e"}, KEPT),
    ("answer null", {"answer": None}, "no answer"),
    ("answer blank", {"answer": "  "}, "answer is empty"),
    ("answer NaN", '{"image": "good.png", "question": "n?", "answer": NaN}', "no answer"),
    ("answer infinite", '{"image": "good.png", "question": "i?", "answer": Infinity}', "answer"),
    ("answer an object", {"answer": {"a": 1}}, "answer is not text"),
    ("answer several", {"answer": ["1", "2"]}, "answer is not text"),
    ("answer too long", {"answer": "la " * 10_000}, "answer is too long"),
    ("choices without the answer", {"choices": CHOICES, "answer": "bird"}, "answer is none of"),
    ("letter beyond the choices", {"choices": CHOICES, "answer": "E"}, "answer is none of"),
    ("index beyond the choices", {"choices": CHOICES, "answer": 2}, "answer is the place of none"),
    ("place or text", {"choices": ["1", "2"], "answer": 1}, "answer is the place of one"),
    (
        "letter of one, text of other",
        {"choices": ["B", "A"], "answer": "A"},
        "answer is the letter",
    ),
    ("text of two choices", {"choices": ["cat", "cat"], "answer": "cat"}, "answer is the text of"),
    ("one choice", {"choices": ["cat"], "answer": "A"}, "1 choices"),
    ("27 choices", {"choices": [str(i) for i in range(27)], "answer": "A"}, "27 choices"),
    ("choices a broken text", {"choices": "['cat', ", "answer": "A"}, "choices cannot be read"),
    (
        "choices that would run",
        {"choices": "[__import__('os').getcwd()]", "answer": "A"},
        "choices c",
    ),
    ("choices deep", {"choices": "[" * 5000, "answer": "A"}, "choices cannot be read"),
    ("choices a plain text", {"choices": "cat, dog", "answer": "A"}, "choices are no list"),
    ("choices null inside", {"choices": ["cat", None], "answer": "A"}, "no choice"),
    ("choices empty", {"choices": [], "answer": "3"}, KEPT),
    ("broken json", '{"image": "good.png", "question": ', "broken JSON"),
    ("json array", '["good.png", "q", "a"]', "no JSON object"),
    ("json text", '"hello"', "no JSON object"),
    ("deep json", "[" * 100_000, "broken JSON"),
    ("two objects in a line", '{"a": 1} {"b": 2}', "broken JSON"),
    ("no utf-8", b'{"image": "good.png", "question": "\xff\xfe", "answer": "1"}', "not UTF-8"),
    ("binary", bytes(range(128, 256)), "not UTF-8"),
    ("no keys", {"image": None, "question": None, "answer": None}, "no "),
    ("id twice", {"id": "same", "question": "first?"}, KEPT),
    ("id twice, the second", {"id": "same", "question": "second?"}, KEPT),
    ("unknown answer type", {"answer_type": "poem"}, KEPT),
    ("other columns of all kinds", {"x": {"y": [1, None]}, "z": 1e999, "question": "z?"}, KEPT),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    os.mkfifo(folder / "pipe")
    (folder / "zero").symlink_to("/dev/zero")
    return folder


def line(number: int, row: Any) -> bytes:
    """The row as a line of JSONL, its question made its own so that none is a duplicate."""
    if isinstance(row, bytes):
        return row
    if isinstance(row, str):
        return row.encode()
    return json.dumps({**GOOD, "question": f"How many? {number}", **row}).encode()


@pytest.fixture(scope="module")
def imported(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, str | None]:
    """Line of the file -> its reason, or None where it became an item."""
    lines = []
    for number, (_, row, _) in enumerate(CORPUS):
        lines += [line(number, row), line(1000 + number, {})]
    (folder / "rows.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    store = Store(tmp_path_factory.mktemp("workspace"))
    made, _ = make_items(store, str(folder / "rows.jsonl"), images="required")
    assert made.manifest.rows_in == 2 * len(CORPUS)
    assert not made.manifest.dropped
    found: dict[int, str | None] = dict.fromkeys(range(1, 2 * len(CORPUS) + 1))
    for row in made.dropped.table().to_pylist():
        found[json.loads(row["meta"])["row"]] = row["reason"]
    assert made.manifest.rows == sum(reason is None for reason in found.values())
    return found


def test_the_corpus_is_as_long_as_was_asked() -> None:
    assert len(CORPUS) >= 60
    assert len({name for name, _, _ in CORPUS}) == len(CORPUS)


@pytest.mark.parametrize("number", range(len(CORPUS)), ids=[name for name, _, _ in CORPUS])
def test_bad_row(imported: dict[int, str | None], number: int) -> None:
    _, _, expected = CORPUS[number]
    reason = imported[2 * number + 1]
    if expected is KEPT:
        assert reason is None
    else:
        assert reason is not None
        assert reason.startswith(expected)
    assert imported[2 * number + 2] is None, "the good row behind it"


BAD_FILES: list[tuple[str, str, bytes, str]] = [
    # What it is, the file's name, its bytes, and what the one sentence says.
    ("empty jsonl", "a.jsonl", b"", "is empty"),
    ("blank jsonl", "a.jsonl", b"\n \n\n", "is empty"),
    ("only garbage", "a.jsonl", os.urandom(5000), "no readable rows"),
    ("empty csv", "a.csv", b"", "is empty"),
    ("csv of a header", "a.csv", b"image,question,answer\n", "is empty"),
    (
        "csv of nameless columns",
        "a.csv",
        b",,\n1,2,3\n",
        "is not a header with distinct column names",
    ),
    (
        "csv with a column twice",
        "a.csv",
        b"image,question,question\nx,y,z\n",
        "distinct column names",
    ),
    (
        "csv in UTF-16",
        "a.csv",
        "image,question,answer\nx,y,z\n".encode("utf-16"),
        "image file not found",
    ),
    ("broken json list", "a.json", b'[{"image": 1}, ', "broken JSON"),
    ("json list in latin-1", "a.json", '[{"question": "é"}]'.encode("latin-1"), "not UTF-8"),
    ("empty json list", "a.json", b"[]", "is empty"),
    ("text as parquet", "a.parquet", b"PAR1 not really", "not a Parquet file"),
    ("empty parquet file", "a.parquet", b"", "is empty"),
    ("no data at all", "a.xlsx", b"PK", "is not one of"),
    ("gzip cut short", "a.jsonl.gz", gzip.compress(b'{"question": 1}\n' * 99)[:40], "is damaged"),
    ("gzip of nothing", "a.jsonl.gz", gzip.compress(b""), "is empty"),
    (
        "zstd cut short",
        "a.csv.zst",
        pa.compress(b"a,b\n" * 999, "zstd", asbytes=True)[:20],
        "a.csv",
    ),
    ("json null", "a.json", b"null", "contains null instead of rows"),
    ("json of two lists", "a.json", b'{"a": [{"x": 1}], "b": [{"y": 1}]}', "under 'a', 'b'"),
    ("json of texts", "a.json", b'["a", "b"]', "no JSON object"),
    ("text as tar", "a.tar", b"no tar" * 200, "is damaged"),
    ("text as arrow", "a.arrow", b"no arrow" * 200, "not an Arrow file"),
    ("a Git LFS pointer", "a.parquet", LFS + b"v1\noid x\n", "git lfs pull"),
    ("a pointer as jsonl", "a.jsonl", LFS + b"v1\noid x\n", "git lfs pull"),
]


@pytest.mark.parametrize(
    ("what", "name", "data", "words"), BAD_FILES, ids=[b[0] for b in BAD_FILES]
)
def test_bad_file(tmp_path: Path, what: str, name: str, data: bytes, words: str) -> None:
    assert what
    (tmp_path / name).write_bytes(data)
    store = Store(tmp_path / "workspace")
    with pytest.raises(UserError, match=words) as caught:
        make_items(store, str(tmp_path / name))
    assert "\n" not in str(caught.value)
    assert not store.all()


def test_parquet_without_rows_or_cut_short(tmp_path: Path) -> None:
    schema = pa.schema([("image", pa.binary()), ("question", pa.string()), ("answer", pa.string())])
    pq.write_table(schema.empty_table(), tmp_path / "a.parquet")
    store = Store(tmp_path / "workspace")
    with pytest.raises(UserError, match="gives no rows"):
        make_items(store, str(tmp_path / "a.parquet"))
    rows = {"image": [os.urandom(4000)] * 200, "question": ["q"] * 200, "answer": ["a"] * 200}
    pq.write_table(pa.table(rows, schema), tmp_path / "b.parquet", compression="none")
    data = bytearray((tmp_path / "b.parquet").read_bytes())
    (tmp_path / "c.parquet").write_bytes(data[: len(data) // 2])
    data[4:3000] = b"\0" * 2996
    (tmp_path / "d.parquet").write_bytes(data)
    for name in ("c", "d"):
        with pytest.raises(UserError):
            make_items(store, str(tmp_path / f"{name}.parquet"))
    assert not store.all()


def test_rows_of_which_none_is_an_item_make_no_version(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps({**GOOD, "image": f"{i}.png"}) + "\n" for i in range(9)))
    store = Store(tmp_path / "workspace")
    with pytest.raises(UserError, match="none of the 9 rows.*9 image file not found.*e.g."):
        make_items(store, str(file))
    assert not store.all()


def test_questions_without_golds_are_told_what_takes_them(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"question": "How many dots?"}\n')
    with pytest.raises(UserError, match=r"no column for answer .*`vlt import --unlabelled`"):
        make_items(Store(tmp_path / "workspace"), str(file))
    file.write_text('{"text": "How many dots?", "answer": "2"}\n')
    with pytest.raises(UserError, match=r"no column for question .*question=COLUMN$"):
        make_items(Store(tmp_path / "workspace"), str(file))


def test_csv_rows_that_are_broken(tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes(png())
    lines = [
        b"image,question,answer",
        b"good.png,q,1",
        b"good.png,too few",
        b"good.png,too,many,cells",
        b"good.png,\xff\xfe,1",
        b'good.png,"a ""quoted"" one",1',
        b"good.png,na\x00ul,1",
        b",no image,1",
    ]
    (tmp_path / "rows.csv").write_bytes(b"\n".join(lines))
    made, _ = make_items(
        Store(tmp_path / "workspace"), str(tmp_path / "rows.csv"), images="required"
    )
    assert made.manifest.rows == 3
    assert made.manifest.failed == {"wrong number of cells": 2, "not UTF-8": 1, "no image": 1}


def test_50_mb_of_garbage_does_not_stop_an_import(tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes(png())
    good = json.dumps(GOOD).encode() + b"\n"
    last = json.dumps({**GOOD, "question": "The last?"}).encode() + b"\n"
    with open(tmp_path / "rows.jsonl", "wb") as out:
        out.write(good)
        out.write(b"{" * (30 << 20) + b"\n")
        out.write(b"x" * (70 << 20) + b"\n")
        out.write(os.urandom(4 << 20) + b"\n")
        out.write(last)
    done = run_vlt("import", tmp_path / "rows.jsonl", "-w", tmp_path / "workspace")
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert done.stdout.startswith("items@v1: 2 items")
