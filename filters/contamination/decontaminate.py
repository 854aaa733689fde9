"""Drop items that a benchmark asks too: the same image, or most of the words of one of its questions.

Short questions are templates ("What is the value of x?"): about different images they are different
items, so words alone count only in questions of at least `words` words, or without images. N-grams
that occur in very many of the rows are templates as well and do not count (see minhash.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vlt.errors import UsageError, UserError
from vlt.fields import Option
from vlt.filters.duplicates.exact import joined
from vlt.filters.duplicates.hashing import Hashes, word_blocks
from vlt.filters.duplicates.minhash import Common, common_grams, is_common
from vlt.filters.duplicates.near_dedup import images_of, sampled_questions
from vlt.filters.duplicates.near_images import alike, hashes_of, near_pairs
from vlt.filters.protocol import NEVER, Judgement, Once, everything, with_found
from vlt.filters.text import Ints
from vlt.images.store import ImageStore
from vlt.workspace.reason import Reason
from vlt.workspace.row_group import Mask
from vlt.workspace.store import REF, Dataset
from vlt.workspace.workspace import Workspace

IMAGES = ("near", "same", "ignore")
INSTRUCTION = r"^\s*(?:Hint: |Please first )[^\n]*\nQuestion: "
"""Instructions that benchmarks put before a question; not part of what it asks."""


@dataclass(frozen=True)
class Known:
    """What the benchmarks ask."""

    grams: Hashes
    """[all] ascending."""
    owners: Ints
    """[all] the first question in which each gram occurs."""
    names: list[str]
    """Dataset and id of each question."""
    images: dict[str, tuple[str, str]]
    """sha256 of one of our images -> (the benchmark's question that shows it, how near it is)."""
    common: Common


@dataclass(frozen=True)
class Decontaminate:
    """Drops items that occur in the datasets `against`."""

    name: ClassVar[str] = "decontaminate"
    columns: ClassVar[tuple[str, ...]] = ("id", "question", "choices", "images")
    of_items: ClassVar[bool] = True

    against: Annotated[tuple[str, ...] | str, Option("--decontaminate", metavar="DATASET,...")] = ()
    """Drop what these datasets ask: names, name@v3 or name@r2."""
    ngram: int = 8
    """Words in an n-gram."""
    share: float = 0.5
    """Minimum share of a question's n-grams that occur in benchmark questions."""
    words: int = 13
    """Minimum words of a question with images for its words alone to count."""
    images: str = "near"
    """near: also rescaled or re-encoded copies; same: by sha256; ignore."""
    references: Sequence[Dataset] = field(default=(), init=False, repr=False, compare=False)
    """The benchmarks, which become parents of the new version; found by `prepared`."""
    known: Once[Known] = field(default=NEVER, init=False, repr=False, compare=False)
    """What the benchmarks ask; found by `prepared`."""

    def __post_init__(self) -> None:
        against = self.against.split(",") if isinstance(self.against, str) else self.against
        object.__setattr__(self, "against", tuple(name.strip() for name in against))
        if not any(self.against):
            raise UsageError(
                "decontaminate needs datasets to compare with; write e.g. against: heldout"
            )
        if not 0 < self.share <= 1 or self.ngram < 2:
            raise UsageError(
                f"decontaminate: share {self.share} with ngram {self.ngram} is out of range; give a "
                "share in (0, 1] and an ngram of at least 2"
            )
        if self.images not in IMAGES:
            raise UsageError(
                f"decontaminate: images {self.images!r} is not known; write {', '.join(IMAGES)}"
            )

    def prepared(self, workspace: Workspace, parents: Sequence[Dataset]) -> Decontaminate:
        """With the benchmarks; their n-grams and images are loaded at the first row.

        Raises UserError if a benchmark is not in the workspace.
        """
        for name in self.against:
            if REF.fullmatch(name) and not workspace.versions(name.partition("@")[0]):
                raise UserError(
                    f"no dataset {name!r} in workspace {str(workspace.root)!r} to decontaminate against; "
                    f"a benchmark that `vlt sources` lists comes with `vlt import {name}`"
                )
        benchmarks = [workspace.open(name) for name in self.against]

        def known() -> Known:
            names, grams, owners = _questions(benchmarks, self.ngram)
            return Known(
                *_first_owners(grams, owners),
                names=names,
                images=self._shown(workspace, parents, benchmarks),
                common=common_grams(sampled_questions(parents), self.ngram),
            )

        return with_found(self, references=benchmarks, known=Once(known))

    def judge(self, rows: pa.RecordBatch) -> Judgement:
        """The reason names the benchmark's question, and how near it is (see pairs.py)."""
        known, images = self.known(), rows.column("images").to_pylist()
        reasons: list[Reason | None] = [None] * rows.num_rows
        for row, question, part in self._worded(rows, np.array([bool(e) for e in images], bool)):
            reasons[row] = Reason(
                "words", f"as in {question} ({part:.0%} of its {self.ngram}-grams)"
            )
        for row, each in enumerate(images):
            shown = [known.images[name] for name in each if name in known.images]
            if shown:
                reasons[row] = Reason("image", f"as in {shown[0][0]} ({shown[0][1]})")
        keep = everything(rows)
        keep[[row for row, reason in enumerate(reasons) if reason]] = False
        return Judgement(keep, [reason for reason in reasons if reason])

    def _worded(self, rows: pa.RecordBatch, pictured: Mask) -> list[tuple[int, str, float]]:
        """(row, the benchmark question that shares most of its n-grams, the share of its n-grams found
        in any benchmark question)."""
        known, found = self.known(), []
        if not len(known.grams):
            return []
        for block in word_blocks(_asked(rows)):
            grams, offsets = block.grams(self.ngram)
            at = np.minimum(np.searchsorted(known.grams, grams), len(known.grams) - 1)
            telling = ~is_common(known.common, grams)
            hit = (known.grams[at] == grams) & telling
            text = np.repeat(np.arange(len(block)), np.diff(offsets))
            hits = np.bincount(text[hit], minlength=len(block))
            total = np.bincount(text[telling], minlength=len(block))
            here = slice(block.start, block.start + len(block))
            long = (np.diff(block.offsets) >= self.words) | ~pictured[here]
            for row in np.flatnonzero((hits > 0) & long & (hits >= self.share * total)).tolist():
                mine = slice(offsets[row], offsets[row + 1])
                owner = int(np.bincount(known.owners[at[mine][hit[mine]]]).argmax())
                part = float(hits[row] / total[row])
                found.append((block.start + row, known.names[owner], part))
        return found

    def _shown(
        self, workspace: Workspace, parents: Sequence[Dataset], benchmarks: Sequence[Dataset]
    ) -> dict[str, tuple[str, str]]:
        """Our images that a benchmark shows -> (its first question that does, how near)."""
        if self.images == "ignore":
            return {}
        asked: dict[str, str] = {}
        for benchmark in benchmarks:
            for batch in benchmark.batches(["id", "images"]):
                for id, names in zip(
                    *(column.to_pylist() for column in batch.columns), strict=True
                ):
                    for name in names:
                        asked.setdefault(name, f"{benchmark.ref} {id}")
        ours, theirs = images_of(parents), list(asked)
        found = {name: (asked[name], "the same file") for name in ours if name in asked}
        if self.images == "near" and ours and theirs:
            with ImageStore(workspace.images_folder, read_only=True) as images:
                mine, yours = hashes_of(images, ours), hashes_of(images, theirs)
                pairs = near_pairs(mine, yours)
                for one, other in zip(*alike(images, ours, pairs, theirs), strict=True):
                    bits = int(np.bitwise_count(mine[one] ^ yours[other]))
                    how = f"a copy, {bits} of 64 bits differ"
                    found.setdefault(ours[one], (asked[theirs[other]], how))
        return found


def _questions(benchmarks: Sequence[Dataset], ngram: int) -> tuple[list[str], Hashes, Ints]:
    """(dataset and id of each question, their n-grams, the question of each)."""
    names: list[str] = []
    grams, owners = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for benchmark in benchmarks:
        for batch in benchmark.batches(["id", "question", "choices"]):
            for block in word_blocks(_asked(batch)):
                each, offsets = block.grams(ngram)
                number = np.arange(len(block)) + len(names) + block.start
                grams.append(each)
                owners.append(np.repeat(number, np.diff(offsets)))
            ids = pc.binary_join_element_wise(benchmark.ref, batch.column("id"), " ")
            names += ids.to_pylist()
    return names, np.concatenate(grams), np.concatenate(owners)


def _asked(rows: pa.RecordBatch) -> pa.Array:
    """Questions with their choices, without a leading instruction."""
    plain = pc.replace_substring_regex(rows.column("question"), INSTRUCTION, "")
    at = rows.schema.get_field_index("question")
    return joined(rows.set_column(at, "question", plain), ("question", "choices"))


def _first_owners(grams: Hashes, owners: Ints) -> tuple[Hashes, Ints]:
    distinct, first = np.unique(grams, return_index=True)
    return distinct, owners[first]
