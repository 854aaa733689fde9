"""Cut the reasoning at its first reflection (paper, section 4.2; Table 3: 48.4 -> 62.5).

The paper splits at keywords such as "Wait," and discards what follows, but keeps the final
answer. Here the text between the first keyword and `</think>` (without the tag: the last
`<answer>`) is removed, and what follows is unchanged.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vlt.errors import UsageError
from vlt.filters.protocol import Judgement, everything
from vlt.filters.rules.verify import READS, graded, incorrect
from vlt.filters.text import Ints, buffers
from vlt.grade import split_reasoning
from vlt.grade.graders import Grader, find_grader, grader_identity
from vlt.workspace.reason import Reason
from vlt.workspace.row_group import Mask

NOTHING = Reason("nothing before the first second thought")
KEYWORDS = ("Wait,", "But wait", "But the question")
"""The three that the paper names; case-sensitive, as they begin a sentence."""


def count_keywords(texts: pa.Array) -> tuple[dict[str, int], Mask]:
    """How often each of KEYWORDS occurs in the texts, and which texts have one; null has none."""
    known = pc.fill_null(texts, "")
    counts = {keyword: pc.count_substring(known, keyword).to_numpy() for keyword in KEYWORDS}
    some = np.any([each > 0 for each in counts.values()], axis=0)
    return {keyword: int(each.sum()) for keyword, each in counts.items()}, some


def first_keyword(column: pa.Array, keywords: Sequence[str]) -> Ints:
    """[n] byte position of the first keyword in each text, -1 if there is none."""
    data, at_bytes = buffers(column)
    text, offsets = data.tobytes(), at_bytes.tolist()
    first: dict[int, int] = {}
    for keyword in keywords:
        needle, at, row = keyword.encode(), 0, 0
        while (at := text.find(needle, at)) >= 0:
            row = bisect_right(offsets, at, lo=row) - 1
            if at + len(needle) <= offsets[row + 1]:
                first[row] = min(first.get(row, at), at)
                at = offsets[row + 1]  # on to the next text
            else:
                at += 1  # it spans two texts
    positions = np.full(len(column), -1)
    rows = np.array(list(first), np.int64)
    positions[rows] = np.array(list(first.values()), np.int64) - at_bytes[rows]
    return positions


def cut(response: bytes, at: int) -> tuple[bytes, bytes] | None:
    """(the response without its reflection, what was cut); None if no answer follows it."""
    end = response.rfind(b"</think>")
    if end < 0:
        end = response.rfind(b"<answer>")
    if not 0 <= at < end:
        return None
    reflection = response[at:end].rstrip()
    return response[:at].rstrip() + response[at + len(reflection) :], reflection


@dataclass(frozen=True)
class TruncateReflections:
    """Rewrites response and reasoning, records what it removed in `cut`, and grades the result again."""

    name: ClassVar[str] = "truncate_reflections"
    columns: ClassVar[tuple[str, ...]] = ("response", "reasoning", "cut", "verdict", *READS)

    keywords: tuple[str, ...] = KEYWORDS
    """Texts that begin a reflection; the reasoning is cut at the first of them."""
    grader: Grader | None = None
    """By default the grader of a `verify` before it in the chain."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "keywords", tuple(self.keywords))
        if self.grader is not None:
            find_grader(self.grader)
        if not self.keywords or not all(self.keywords):
            raise UsageError("truncate_reflections needs non-empty keywords, e.g. 'Wait,'")

    def identity(self) -> dict[str, Any]:
        """A user's grader is identified by its source."""
        return {} if self.grader is None else {"grader": grader_identity(self.grader)}

    def judge(self, rows: pa.RecordBatch) -> Judgement:
        """Drops a sample that has no reasoning before its first reflection."""
        response = rows.column("response")
        found = first_keyword(response, self.keywords)
        hits = np.flatnonzero(found >= 0)
        keep = everything(rows)
        responses, thoughts, cuts, changed = [], [], [], []
        for row, text in zip(hits.tolist(), response.take(pa.array(hits)), strict=True):
            if (parts := cut(text.as_buffer().to_pybytes(), int(found[row]))) is None:
                continue
            kept = parts[0].decode()
            thought = split_reasoning(kept)[0]
            before = thought if "</think>" in kept else kept.rpartition("<answer>")[0]
            if not before.removeprefix("<think>").strip():
                keep[row] = False
                continue
            changed.append(row)
            responses.append(kept)
            thoughts.append(thought)
            cuts.append(parts[1].decode())
        if not changed:
            return Judgement(keep, NOTHING)
        where = np.zeros(rows.num_rows, bool)
        where[changed] = True
        mask = pa.array(where)
        cuts = [
            f"{earlier}\n{now}" if earlier else now
            for earlier, now in zip(rows.column("cut").filter(mask).to_pylist(), cuts, strict=True)
        ]
        columns = {
            name: pc.replace_with_mask(rows.column(name), mask, pa.array(values, pa.string()))
            for name, values in (("response", responses), ("reasoning", thoughts), ("cut", cuts))
        }
        reasons = [NOTHING] * int(np.count_nonzero(~keep))
        judgement = Judgement(keep, reasons, columns, rewritten=len(changed))
        return self._graded_again(rows, judgement, where)

    def _graded_again(self, rows: pa.RecordBatch, judged: Judgement, cut: np.ndarray) -> Judgement:
        """Drops what was correct and no longer is.

        vlt's grader reads nothing before `</think>`, so a cut can change its verdict only if the tag
        is missing.
        """
        right = pc.fill_null(pc.equal(rows.column("verdict"), "correct"), False)
        again = cut & right.to_numpy(zero_copy_only=False)
        grader = self.grader or "vlt"
        if find_grader(grader).name == "vlt":
            tagged = pc.match_substring(rows.column("response"), "</think>")
            again &= ~pc.fill_null(tagged, False).to_numpy(zero_copy_only=False)
        if not again.any():
            return judged
        changed = rows.set_column(
            rows.schema.get_field_index("response"), "response", judged.columns["response"]
        ).filter(pa.array(again))
        still, reasons = incorrect(*list(graded(changed, grader).values())[:2])
        lost = dict(zip(np.flatnonzero(again)[~still].tolist(), reasons, strict=True))
        before = iter(judged.each_reason())
        every = {row: next(before) for row in np.flatnonzero(~judged.keep).tolist()}
        every |= {
            row: Reason("not correct after the cut", reason.text) for row, reason in lost.items()
        }
        judged.keep[list(lost)] = False
        judged.reasons = [every[row] for row in sorted(every)]
        judged.rewritten -= len(lost)
        return judged
