"""Benchmarks' files in the layouts of the Hub, written by us: the real columns and types, a few rows each.

Layouts: the datasets' cards and repositories (datagen/benchmarks/catalog.py says which).
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.pictures import png

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
TEXTS = pa.list_(pa.string())


def shown(seed: int, path: str | None = None) -> dict[str, Any]:
    """An image as `datasets` stores it."""
    return {"bytes": png(seed), "path": path}


def _text(*names: str) -> list[tuple[str, pa.DataType]]:
    return [(name, pa.string()) for name in names]


def _images(count: int) -> list[tuple[str, pa.DataType]]:
    return [(f"image_{i}", IMAGE) for i in range(1, count + 1)]


MATHVISTA_SCHEMA = pa.schema(
    [
        *_text("pid", "question", "image"),
        ("decoded_image", IMAGE),
        ("choices", TEXTS),
        ("unit", pa.string()),
        ("precision", pa.float64()),
        *_text("answer", "question_type", "answer_type"),
        (
            "metadata",
            pa.struct(
                [
                    *_text("category", "context", "grade", "source", "split", "task"),
                    ("skills", TEXTS),
                ]
            ),
        ),
        ("query", pa.string()),
    ]
)
LETTER_HINT = (
    "Hint: Please answer the question and provide the correct option letter, e.g., A, B, C, D, at "
    "the end."
)
FLOAT_HINT = (
    "Hint: Please answer the question requiring a floating-point number with one decimal place and "
    "provide the final value, e.g., 1.2, 1.3, 1.4, at the end."
)


def _vista(
    pid: int, question: str, answer: str, hint: str, task: str, **more: Any
) -> dict[str, Any]:
    choices = more.pop("choices", None)
    lines = [
        f"({letter}) {choice}" for letter, choice in zip("ABCDEFGH", choices or [], strict=False)
    ]
    query = "\n".join([hint, f"Question: {question}", *(["Choices:", *lines] if lines else [])])
    return {
        "pid": str(pid),
        "question": question,
        "image": f"images/{pid}.jpg",
        "decoded_image": shown(pid),
        "choices": choices,
        "answer": answer,
        "question_type": "multi_choice" if choices else "free_form",
        "answer_type": "text" if choices else "float",
        "metadata": {
            "category": "math-targeted-vqa",
            "split": "testmini",
            "task": task,
            "skills": ["geometry reasoning", "algebraic reasoning"],
        },
        "query": query,
        **more,
    }


GEOMETRY, FIGURES = "geometry problem solving", "figure question answering"
MATHVISTA = [
    _vista(1, "Find the angle.", "145°", LETTER_HINT, GEOMETRY, choices=["140°", "145°", "150° "]),
    _vista(2, "How far is it?", "1.2", FLOAT_HINT, FIGURES, precision=1.0),
    # Two options have the gold's text; the first is meant, as upstream's `index` finds it.
    _vista(3, "Find CD.", "18", LETTER_HINT, GEOMETRY, choices=["9", "12", "18", "18"]),
]

MATHVERSE_SCHEMA = pa.schema(
    [
        *_text("sample_index", "problem_index", "problem_version", "question"),
        ("image", IMAGE),
        *_text("answer", "question_type"),
        ("metadata", pa.struct(_text("split", "source", "subject", "subfield"))),
        *_text("query_wo", "query_cot", "question_for_eval"),
    ]
)
COT = "Please first conduct reasoning, and then answer the question and provide the "


def _verse(index: int, version: str, question: str, query: str, answer: str, kind: str) -> Any:
    return {
        "sample_index": str(index),
        "problem_index": str(index // 3 + 1),
        "problem_version": version,
        "question": question,
        "image": shown(50 + index // 3),
        "answer": answer,
        "question_type": kind,
        "metadata": {
            "split": "testmini",
            "source": "GeoQA",
            "subject": "Functions",
            "subfield": "x",
        },
        "query_wo": f"Please directly answer.\nQuestion: {question}",
        "query_cot": query,
        "question_for_eval": question,
    }


LETTERED = "Find the angle.\nChoices:\nA:40°\nB:60°\nC:120°\nD:140°"
LETTERED_QUERY = f"{COT}correct option letter, e.g., A, B, C, D, at the end.\nQuestion: {LETTERED}"
UNSEEN_QUERY = "According to the question shown in the image, please first conduct reasoning."
FREE = "What is the bearing of P?"
FREE_QUERY = f"{COT}final value, e.g., 1, 2.5, 300, at the end.\nQuestion: {FREE}"
MATHVERSE = [
    _verse(0, "Text Dominant", LETTERED, LETTERED_QUERY, "D", "multi-choice"),
    # The same words about the same image in two versions: two questions all the same.
    _verse(1, "Text Lite", LETTERED, LETTERED_QUERY, "D", "multi-choice"),
    _verse(2, "Vision Only", "", UNSEEN_QUERY, "D", "multi-choice"),
    _verse(3, "Text Dominant", FREE, FREE_QUERY, "S 23.5 ^\\circ W", "free-form"),
]

MATHVISION_SCHEMA = pa.schema(
    [
        *_text("id", "question"),
        ("options", TEXTS),
        ("image", pa.string()),
        ("decoded_image", IMAGE),
        *_text("answer", "solution"),
        ("level", pa.int64()),
        ("subject", pa.string()),
    ]
)


def _vision(
    id: int, question: str, options: list[str], answer: str, level: int, subject: str
) -> Any:
    return {
        "id": str(id),
        "question": question,
        "options": options,
        "image": f"images/{id}.jpg",
        "decoded_image": shown(100 + id),
        "answer": answer,
        "level": level,
        "subject": subject,
    }


MATHVISION = [
    _vision(1, "Which number is missing?\n<image1>", [], "60", 2, "arithmetic"),
    _vision(2, "Which kite is longest?\n<image1>", list("ABCDE"), "C", 1, "logic"),
    # Options are pictures beside the question's, all in one image file.
    _vision(3, "<image1>\nWhich?", ["<image2>", "<image3>", "<image4>"], "B", 5, "logic"),
]

PRO_SCHEMA = pa.schema(
    [
        *_text("id", "question", "options", "explanation"),
        *_images(7),
        *_text("img_type", "answer", "topic_difficulty", "subject"),
    ]
)


def _pro(id: str, question: str, options: str, images: int, answer: str, **more: str) -> Any:
    return {
        "id": id,
        "question": question,
        "options": options,
        "explanation": "?",
        **{f"image_{i}": shown(200 + i) for i in range(1, images + 1)},
        "img_type": "['Diagrams']",
        "answer": answer,
        "topic_difficulty": "Medium",
        "subject": "History",
        **more,
    }


PRO = [
    _pro("test_1", "Which is it in <image 1>?", "['It\\'s red', \"it isn't\", '3', '4']", 1, "B"),
    _pro("test_2", "Pick one.", "['<image 3>', '<image 1>', '<image 2>']", 3, "A"),
    # Options that are letters, in another order: gold is the place and not the text.
    _pro("test_3", "Where is the sheath in <image 1>?", "['B', 'D', 'E', 'A', 'C']", 1, "C"),
    _pro("test_4", "Which call is it? <image 1>", "[['A', 'B', 'Not enough']]", 1, "B"),
    _pro("test_5", "Broken <image 1>?", "__import__('os').system('true')", 1, "A"),
]
PRO_VISION_SCHEMA = pa.schema(
    [*_text("id", "options"), ("image", IMAGE), *_text("answer", "subject")]
)
PRO_VISION = [
    {"id": "v1", "options": "['one', 'two']", "image": shown(300), "answer": "B", "subject": "Art"}
]

EMMA_SCHEMA = pa.schema(
    [
        *_text("pid", "question"),
        ("options", TEXTS),
        ("answer", pa.string()),
        *_images(5),
        *_text("solution", "subject", "task", "category", "source", "type", "context"),
    ]
)


def _emma(
    pid: str, question: str, options: list[str], answer: str, images: int, subject: str
) -> Any:
    return {
        "pid": pid,
        "question": question,
        "options": options,
        "answer": answer,
        **{f"image_{i}": shown(400 + i) for i in range(1, images + 1)},
        "subject": subject,
        "task": f"{subject} task",
        "category": "2D",
        "source": "MathVision",
        "type": "Multiple Choice" if options else "Open-ended",
        "context": "Some context.",
    }


def emma(subject: str) -> list[dict[str, Any]]:
    """One multiple choice with two images, one open question."""
    return [
        _emma(
            f"{subject}_1", "Which fits <image_1> and <image_2>?", ["A", "B", "C"], "B", 2, subject
        ),
        _emma(f"{subject}_2", "How many bonds? <image_1>", [], "12", 1, subject),
    ]


HALLUSION_NAMES = (
    "category subcategory visual_input set_id figure_id sample_note question_id".split()
)
HALLUSION_SCHEMA = pa.schema(
    [
        *_text(*HALLUSION_NAMES, "question", "gt_answer_details", "gt_answer", "filename"),
        ("image", IMAGE),
    ]
)


def _hallusion(figure: int, number: int, question: str, gold: str) -> dict[str, Any]:
    return {
        "category": "VD",
        "subcategory": "illusion",
        "visual_input": "1",
        "set_id": "0",
        "figure_id": str(figure),
        "sample_note": "circle",
        "question_id": str(number),
        "question": question,
        "gt_answer_details": "...",
        "gt_answer": gold,
        "filename": f"./VD/illusion/0_{figure}.png",
        "image": shown(500 + figure),
    }


SAME = "Is the left circle as large as the right one?"
HALLUSION = [
    _hallusion(0, 0, SAME, "1"),
    _hallusion(1, 0, SAME, "0"),
    _hallusion(0, 1, "Is the left circle larger?", "0"),
    # Asked twice of one figure with the same gold, as the real one does (math 5_0).
    _hallusion(1, 1, "Is the right circle larger?", "0"),
    _hallusion(1, 2, "Is the right circle larger?", "0"),
]

MATHV = "data/{split}-00000-of-00001.parquet"
FILES: dict[str, tuple[str, pa.Schema, list[dict[str, Any]]]] = {
    "mathvista": (MATHV.format(split="testmini"), MATHVISTA_SCHEMA, MATHVISTA),
    "mathverse": ("testmini.parquet", MATHVERSE_SCHEMA, MATHVERSE),
    "mathvision": (MATHV.format(split="test"), MATHVISION_SCHEMA, MATHVISION),
    "mathvision-testmini": (MATHV.format(split="testmini"), MATHVISION_SCHEMA, MATHVISION[:1]),
    "mmmu-pro-vision": ("vision/test-00000-of-00001.parquet", PRO_VISION_SCHEMA, PRO_VISION),
    "mmmu-pro-4": ("standard (4 options)/test-00000-of-00001.parquet", PRO_SCHEMA, PRO[:1]),
    "mmmu-pro-10": ("standard (10 options)/test-00000-of-00001.parquet", PRO_SCHEMA, PRO),
    **{
        name: (f"{config}/test-00000-of-00001.parquet", EMMA_SCHEMA, emma(config))
        for name, config in (
            ("emma-math", "Math"),
            ("emma-chem", "Chemistry"),
            ("emma-code", "Coding"),
            ("emma-physics", "Physics"),
        )
    },
    "hallusionbench": (MATHV.format(split="image"), HALLUSION_SCHEMA, HALLUSION),
}
"""Benchmark -> (path in its repository, schema, rows)."""


def parquet(name: str) -> tuple[str, bytes]:
    """(path in the repository, the file)."""
    path, schema, rows = FILES[name]
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema), out)
    return path, out.getvalue()


def copy_of(name: str, folder: Path) -> Path:
    """A local copy of the benchmark's repository, with another split besides the one that is used."""
    path, data = parquet(name)
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(data)
    if path.startswith("data/"):
        _, schema, rows = FILES[name]
        other = pa.Table.from_pylist(rows[:1], schema)
        pq.write_table(other, folder / "data" / "other-00000-of-00001.parquet")
    return folder
