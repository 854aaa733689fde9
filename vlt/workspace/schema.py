"""The Arrow schemas of every kind of row, defined once; nothing is ever inferred.

| kind       | one row is                                   | key          |
|------------|----------------------------------------------|--------------|
| item       | a question about images                      | id           |
| caption    | an item with its caption                     | id           |
| sample     | one response to one item                     | id, sample   |
| checkpoint | (no rows: a directory with a model)          |              |

An absent value is null; `choices` and `images` are lists that may be empty, never null.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import pyarrow as pa

ANSWER_TYPES = ("choice", "yes_no", "integer", "float", "math", "list", "time", "text")
VERDICTS = ("correct", "wrong", "unjudged")
MAJORITY, NO_GOLD = "majority", "none"
ANSWER_SOURCES = (MAJORITY, NO_GOLD)
"""Sources of an answer other than gold: the majority answer of a model's samples (`vlt label`), or no
answer (`vlt import --unlabelled`)."""

JUDGED = ("pass", "fail", "unjudged")
"""Verdicts of a judgement: see vlt.workspace.judgements."""

_string, _strings = pa.string(), pa.list_(pa.string())
JUDGEMENTS = pa.list_(
    pa.struct(
        [
            ("rubric", _string),  # the rubric's name
            ("model", _string),  # the judge, named as in the column model
            ("score", pa.float64()),  # on the rubric's scale; null if there is none
            ("verdict", _string),  # one of JUDGED
            ("reason", _string),  # the judge's; for unjudged, why
        ]
    )
)

ITEM = pa.schema(
    [
        pa.field("id", _string, nullable=False),  # see item_id
        ("source", _string),  # the dataset from which the question came
        ("question", _string),
        ("choices", _strings),
        ("answer", _string),  # gold
        ("answer_type", _string),  # one of ANSWER_TYPES
        ("images", _strings),  # sha256, hexadecimal, in the order of the question
        ("meta", _string),  # a JSON object: the source's other columns
        ("answer_source", _string),  # one of ANSWER_SOURCES; null: the answer is a gold
    ]
)
_CAPTIONED = [
    *ITEM,
    pa.field("caption", _string),
    pa.field("caption_model", _string),
    pa.field("caption_finish_reason", _string),  # as finish_reason
]
_JUDGED = pa.field("judgements", JUDGEMENTS)  # models' judgements of the row; null if none
CAPTION = pa.schema([*_CAPTIONED, _JUDGED])
SAMPLE = pa.schema(
    [
        *_CAPTIONED,  # the caption's columns are null if the model saw the images
        ("sample", pa.int32()),  # 0 .. k-1
        ("response", _string),  # everything that the model wrote, reasoning included
        ("reasoning", _string),  # the text inside <think>
        ("predicted", _string),  # the answer extracted from the response
        ("finish_reason", _string),  # stop or length, or a server's own word
        ("prompt_tokens", pa.int32()),
        ("completion_tokens", pa.int32()),
        ("model", _string),
        ("verdict", _string),  # one of VERDICTS; null before verification
        ("verdict_reason", _string),
        ("cut", _string),  # the text that a filter removed from the response; null if none
        ("agreement", pa.float64()),  # share of the item's samples with the majority answer
        # Indices of the choices in the order in which they were shown; null: the original order.
        ("choice_order", pa.list_(pa.int32())),
        ("images_shown", _strings),  # sha256 of the images shown instead of `images`; null: these
        _JUDGED,
    ]
)
ADDED = ("answer_source", "agreement", "choice_order", "images_shown", "judgements")
"""Columns added after content digests were introduced: if such a column is empty, the version's digest is
the same as without it."""
KINDS: dict[str, pa.Schema] = {"item": ITEM, "caption": CAPTION, "sample": SAMPLE}
KEYS: dict[str, tuple[str, ...]] = {"item": ("id",), "caption": ("id",), "sample": ("id", "sample")}


def dropped(schema: pa.Schema) -> pa.Schema:
    """The schema of dropped rows: the row's own columns, with the filter that dropped it and why."""
    return pa.schema([*schema, ("filter", _string), ("reason", _string)])


def item_id(
    source: str,
    question: str,
    choices: Sequence[str],
    answer: str,
    images: Sequence[str],
    answer_source: str | None = None,
) -> str:
    """32 hexadecimal digits: a hash of the item's whole content; `images` are sha256.

    The same answer as a gold and from another source makes two different items.
    """
    parts = [source, question, list(choices), answer, list(images)]
    text = json.dumps([*parts, *([answer_source] if answer_source else [])], ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
