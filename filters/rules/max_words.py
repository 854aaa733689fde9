"""How long may a response be?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import pyarrow as pa

from vlt.errors import UsageError
from vlt.fields import Option
from vlt.filters.protocol import Judgement
from vlt.filters.text import count_words, reasoning
from vlt.workspace.reason import Reason


@dataclass(frozen=True)
class MaxWords:
    """Drops reasoning of more than `words` words (paper, section 4.2 and Table 3: 500)."""

    name: ClassVar[str] = "max_words"
    columns: ClassVar[tuple[str, ...]] = ("reasoning", "response")

    words: Annotated[int, Option("--max-words", metavar="N")] = 500
    """Maximum length of the reasoning, in words (paper: 500)."""

    def __post_init__(self) -> None:
        if self.words < 1:
            raise UsageError(f"max_words: {self.words} keeps no response; give a number above 0")

    def judge(self, rows: pa.RecordBatch) -> Judgement:
        """Words of the reasoning; of the response if there is no <think>."""
        counts = count_words(reasoning(rows))
        keep = counts <= self.words
        return Judgement(keep, [Reason(f"over {self.words} words", str(n)) for n in counts[~keep]])
