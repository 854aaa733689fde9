"""The Arrow schemas of every kind of row, written down once; nothing is ever inferred.

| kind       | one row is                                   | key          |
|------------|----------------------------------------------|--------------|
| item       | a question about images                      | id           |
| caption    | an item with its caption                     | id           |
| sample     | one response to one item                     | id, sample   |
| checkpoint | (no rows: a directory that holds a model)    |              |

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
"""Where an answer is from that is no gold: what most samples of a model said (`vlt label`), or there
is none (`vlt import --unlabelled`)."""

JUDGED = ("pass", "fail", "unjudged")
"""Verdicts of a judgement: see vlt.workspace.judgements."""

_string, _strings = pa.string(), pa.list_(pa.string())
JUDGEMENTS = pa.list_(
    pa.struct(
        [
            ("rubric", _string),  # the rubric's name
            ("model", _string),  # who judged, as the column model says it
            ("score", pa.float64()),  # on the rubric's scale; null where there is none
            ("verdict", _string),  # one of JUDGED
            ("reason", _string),  # in the judge's words; why not, where it is unjudged
        ]
    )
)

ITEM = pa.schema(
    [
        pa.field("id", _string, nullable=False),  # see item_id
        ("source", _string),  # the dataset that the question came from
        ("question", _string),
        ("choices", _strings),
        ("answer", _string),  # gold
        ("answer_type", _string),  # one of ANSWER_TYPES
        ("images", _strings),  # sha256, hexadecimal, in the order of the question
        ("meta", _string),  # a JSON object: what the source said beside this
        ("answer_source", _string),  # one of ANSWER_SOURCES; null: the answer is a gold
    ]
)
_CAPTIONED = [
    *ITEM,
    pa.field("caption", _string),
    pa.field("caption_model", _string),
    pa.field("caption_finish_reason", _string),  # as finish_reason
]
_JUDGED = pa.field("judgements", JUDGEMENTS)  # what models said of the row; null is none
CAPTION = pa.schema([*_CAPTIONED, _JUDGED])
SAMPLE = pa.schema(
    [
        *_CAPTIONED,  # the caption's columns are null where the model saw the images
        ("sample", pa.int32()),  # 0 .. k-1
        ("response", _string),  # all that the model wrote, reasoning included
        ("reasoning", _string),  # what stands inside <think>
        ("predicted", _string),  # the answer that the response commits itself to
        ("finish_reason", _string),  # stop or length; a server's own word that is neither
        ("prompt_tokens", pa.int32()),
        ("completion_tokens", pa.int32()),
        ("model", _string),
        ("verdict", _string),  # one of VERDICTS; null before verification
        ("verdict_reason", _string),
        ("cut", _string),  # what a rewriting filter took out of the response; null if nothing
        ("agreement", pa.float64()),  # share of the item's samples with the majority's answer
        # Places of the choices in the order in which they were shown; null: in their own order.
        ("choice_order", pa.list_(pa.int32())),
        ("images_shown", _strings),  # sha256 of what was shown in place of `images`; null: these
        _JUDGED,
    ]
)
ADDED = ("answer_source", "agreement", "choice_order", "images_shown", "judgements")
"""Columns that came after versions were known by their content: where one holds nothing, a version has
the content, and the digest, that it had without it."""
KINDS: dict[str, pa.Schema] = {"item": ITEM, "caption": CAPTION, "sample": SAMPLE}
KEYS: dict[str, tuple[str, ...]] = {"item": ("id",), "caption": ("id",), "sample": ("id", "sample")}


def dropped(schema: pa.Schema) -> pa.Schema:
    """The schema of dropped rows: the row as it was, with what took it out and why."""
    return pa.schema([*schema, ("filter", _string), ("reason", _string)])


def item_id(
    source: str,
    question: str,
    choices: Sequence[str],
    answer: str,
    images: Sequence[str],
    answer_source: str | None = None,
) -> str:
    """32 hexadecimal digits made of all that makes the item what it is; `images` are sha256.

    An answer that is no gold makes another item than the same answer as a gold.
    """
    parts = [source, question, list(choices), answer, list(images)]
    text = json.dumps([*parts, *([answer_source] if answer_source else [])], ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
