"""Does the reasoning mention the caption?

A text-only model that was given a caption in place of the image mentions it ("based on the caption ...");
the student, who sees the image, must not learn that. Responses to questions that themselves mention a caption
or a description are left unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vlt.errors import UsageError
from vlt.fields import Option
from vlt.filters.protocol import Judgement, everything
from vlt.workspace.reason import Reason

_KIND = r"(?:(?:image|picture|figure|provided|given|detailed|text|textual|above)'?s? )*"
_TEXT = r"(?:captions?|descriptions?)\b"
_SAYS = "says|say|states|state|mentions|mention|describes|describe|notes|tells us|explains|reads"
RULES = (
    (
        rf"(?i)\b(as|what) (?:is |was )?(?:described|stated|mentioned|said) in the {_KIND}{_TEXT}",
        r"\1 shown in the image",
    ),
    (rf"(?i)\b(the) {_KIND}{_TEXT} (?:{_SAYS})\b", r"\1 image shows"),
    (rf"(?i)\b(the) {_KIND}{_TEXT}", r"\1 image"),
    (rf"(?i)\b(this|that) {_KIND}{_TEXT}", r"\1 image"),
)
"""(pattern of a leak, its replacement), applied in this order. RE2."""
LEAK = rf"(?i)\b(?:the|this|that) {_KIND}{_TEXT}"
"""Part of everything that the rules match."""
ASKED = r"(?i)\b(?:caption|description|describe)"
ACTIONS = ("drop", "rewrite")


@dataclass(frozen=True)
class Leakage:
    """Drops or rewrites responses that mention the caption or the description."""

    name: ClassVar[str] = "leakage"
    columns: ClassVar[tuple[str, ...]] = ("response", "reasoning", "question")

    action: Annotated[str, Option("--leakage", metavar="drop|rewrite")] = "drop"
    """Drop responses that mention the caption, or rewrite them ("the image shows")."""

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise UsageError(f"leakage: {self.action!r} is not known; write {' or '.join(ACTIONS)}")

    def judge(self, rows: pa.RecordBatch) -> Judgement:
        """Rewriting changes response and reasoning."""
        leaks = pc.fill_null(pc.match_substring_regex(rows.column("response"), LEAK), False)
        asked = pc.fill_null(pc.match_substring_regex(rows.column("question"), ASKED), False)
        leaks = pc.and_not(leaks, asked)
        mask = leaks.to_numpy(zero_copy_only=False)
        if not mask.any():
            return Judgement(everything(rows))
        if self.action == "drop":
            found = pc.extract_regex(
                rows.column("response").filter(leaks), f"(?P<words>{LEAK})"
            ).field("words")
            return Judgement(
                ~mask, [Reason("speaks of the caption", words) for words in found.to_pylist()]
            )
        columns = {
            name: pc.replace_with_mask(
                rows.column(name), leaks, _rewritten(rows.column(name).filter(leaks))
            )
            for name in ("response", "reasoning")
        }
        return Judgement(everything(rows), columns=columns, rewritten=int(np.count_nonzero(mask)))


def _rewritten(texts: pa.Array) -> pa.Array:
    for pattern, replacement in RULES:
        texts = pc.replace_substring_regex(texts, pattern, replacement)
    return texts
