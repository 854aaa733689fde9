"""Did the model switch to another script? (Reasoning models sometimes drift into Chinese.)"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vlt.filters.protocol import Judgement, everything
from vlt.workspace.reason import Reason

SCRIPTS = (
    "Han Hiragana Katakana Hangul Cyrillic Arabic Hebrew Thai Devanagari Bengali Tamil Telugu "
    "Georgian Armenian Khmer Ethiopic"
).split()
_OTHER = "[" + "".join(rf"\p{{{script}}}" for script in SCRIPTS) + "]"


@dataclass(frozen=True)
class Language:
    """Drops responses with letters of a script other than Latin (and the Greek of formulae).

    If question, choices or answer contain such letters themselves, the response is kept.
    """

    name: ClassVar[str] = "language"
    columns: ClassVar[tuple[str, ...]] = ("response", "question", "choices", "answer")

    share: float = 0.01
    """Maximum share of such letters among the characters."""

    def judge(self, rows: pa.RecordBatch) -> Judgement:
        """Only texts that are not ASCII are examined."""
        response = pc.fill_null(rows.column("response"), "")
        keep = everything(rows)
        odd = np.flatnonzero(~pc.string_is_ascii(response).to_numpy(zero_copy_only=False))
        if not len(odd):
            return Judgement(keep)
        rows, response = rows.take(pa.array(odd)), response.take(pa.array(odd))
        letters = pc.count_substring_regex(response, _OTHER).to_numpy()
        shares = letters / np.maximum(pc.utf8_length(response).to_numpy(), 1)
        asked = pc.binary_join_element_wise(
            rows.column("question"),
            pc.binary_join(rows.column("choices"), " "),
            rows.column("answer"),
            " ",
            null_handling="replace",
        )
        own = pc.match_substring_regex(asked, _OTHER).to_numpy(zero_copy_only=False)
        out = (shares > self.share) & ~own
        keep[odd[out]] = False
        return Judgement(
            keep, [Reason("another script", f"{share:.0%} of it") for share in shares[out]]
        )
