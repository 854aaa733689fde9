"""A corpus with planted duplicates and their ground truth, and a score of how well a dedup finds them.

    python -m benchmarks.corpus 100000 OUT            # OUT/corpus.parquet, OUT/truth.parquet
    python -m benchmarks.corpus 100000 OUT --templates
    python -m benchmarks.corpus --score KEPT.parquet OUT

Of the rows, 70 % are originals, 10 % exact copies and 20 % near-copies of originals.

* Free text: about 300 words drawn by Zipf's law; a near-copy has single words replaced throughout, so
  that the Jaccard similarity of word 5-grams is about 0.60, 0.65, ... 0.95.
* `--templates`: questions and traces as in figure and table QA. Originals of one template differ only
  in a few names, colours and numbers; a near-copy differs in case, punctuation and a polite word, never
  in a fact.

truth.parquet: id, src (the id it was copied from), kind (exact or near), jaccard.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

VOCABULARY = 20_000
TARGETS = np.arange(0.60, 0.96, 0.05)
SCHEMA = pa.schema(
    [("id", pa.int64()), ("question", pa.string()), ("trace", pa.string()), ("text", pa.string())]
)
ROW_GROUP = 10_000
Rng = np.random.Generator


def vocabulary(rng: Rng) -> pa.Array:
    """Distinct made-up words of one to four syllables."""
    onsets = "b c d f g h k l m n p r s t v z ch sh th st".split()
    syllables = [onset + rime for onset in onsets for rime in "a e i o u an er in on".split()]
    words: dict[str, None] = {}
    while len(words) < VOCABULARY:
        length = int(rng.choice([1, 2, 3, 4], p=[0.1, 0.4, 0.35, 0.15]))
        words.setdefault("".join(rng.choice(syllables, length)))
    return pa.array(list(words))


class Texts:
    """Texts as arrays of word indices, so that a million of them fit into memory."""

    def __init__(self, rows: int, rng: Rng):
        odds = np.cumsum(1 / (np.arange(VOCABULARY) + 3.0) ** 0.9)
        self._odds, self._rng = odds / odds[-1], rng
        lengths = np.clip(rng.normal(300, 60, rows), 120, 600).astype(int)
        self.offsets = np.concatenate([[0], np.cumsum(lengths)])
        self.words = self._draw(int(self.offsets[-1]))

    def _draw(self, count: int) -> np.ndarray[Any, np.dtype[np.int32]]:
        drawn = np.searchsorted(self._odds, self._rng.random(count, np.float32))
        return np.minimum(drawn, VOCABULARY - 1).astype(np.int32)

    def __getitem__(self, row: int) -> np.ndarray[Any, np.dtype[np.int32]]:
        return self.words[self.offsets[row] : self.offsets[row + 1]]

    def near(self, row: int, target: float) -> tuple[np.ndarray[Any, np.dtype[np.int32]], float]:
        """A copy with words replaced, and its Jaccard: m words far apart spoil 5 m of n - 4 grams."""
        words = self[row].copy()
        grams = len(words) - 4
        count = max(1, round(grams * (1 - target) / (5 * (1 + target))))
        step = len(words) / count
        places = (np.arange(count) * step + self._rng.random(count) * (step - 1)).astype(int)
        words[places] = (words[places] + self._rng.integers(1, VOCABULARY, count)) % VOCABULARY
        return words, _jaccard(self[row], words)


def _jaccard(first: np.ndarray[Any, Any], second: np.ndarray[Any, Any]) -> float:
    powers = np.array([3, 5, 7, 11, 13], np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    sets = []
    for words in (first, second):
        grams = np.lib.stride_tricks.sliding_window_view(words.astype(np.uint64) + 1, 5)
        hashed = (grams * powers).sum(axis=1, dtype=np.uint64)
        sets.append(set((hashed ^ (hashed >> np.uint64(31))).tolist()))
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def free_text(rows: int, out: Path, rng: Rng) -> None:
    """Write rows of free text, shuffled."""
    originals, exact, near = _shares(rows)
    words, texts = vocabulary(rng), Texts(originals, rng)
    source = rng.integers(0, originals, exact + near)
    copies = [texts.near(int(source[exact + i]), TARGETS[i % len(TARGETS)]) for i in range(near)]
    order = rng.permutation(rows)

    def word_numbers(slot: int) -> np.ndarray[Any, np.dtype[np.int32]]:
        if slot < originals:
            return texts[slot]
        if slot < originals + exact:
            return texts[int(source[slot - originals])]
        return copies[slot - originals - exact][0]

    with pq.ParquetWriter(out / "corpus.parquet", SCHEMA, compression="zstd") as writer:
        for start in range(0, rows, ROW_GROUP):
            each = [word_numbers(int(slot)) for slot in order[start : start + ROW_GROUP]]
            heads = _sentences([numbers[:14] for numbers in each], words)
            tails = _sentences([numbers[14:] for numbers in each], words)
            questions = pc.binary_join_element_wise("What is the ", heads, "?", "")
            traces = pc.binary_join_element_wise("<think>", tails, "</think>", "")
            _write(writer, start, questions, traces)
    jaccards = [1.0] * exact + [jaccard for _, jaccard in copies]
    _write_truth(out, order, originals, exact, source, jaccards)


def _sentences(rows: list[np.ndarray[Any, Any]], words: pa.Array) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int32)
    flat = words.take(pa.array(np.concatenate(rows)))
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), flat), " ")


COLOURS = (
    "Red,Dark Red,Violet Red,Coral,Salmon,Orange,Dark Orange,Gold,Khaki,Olive,Lime,Web Green,"
    "Light Seafoam,Medium Seafoam,Teal,Aqua,Cyan,Royal Blue,Navy Blue,Blue Violet,Purple,Plum,"
    "Hot Pink,Maroon,Sienna,Peru,Tan,Gray,Slate Gray,Black"
).split(",")
NAMES = "Ada Ben Cleo Dan Eva Finn Gus Hana Ivo June Kai Lena Max Nora Otis Pia Quin Rosa".split()
THINGS = "apples pears plums shells stamps coins marbles kites books pens hats cakes".split()
PLACES = "market,fair,school shop,museum,corner store,harbour,flea market,town hall".split(",")
KINDS = ("vertical bar chart", "horizontal bar chart", "line plot", "pie chart", "dot plot")


def templated(rng: Rng) -> tuple[str, str]:
    """A question and its trace from one of four templates."""

    def pick(of: Any, count: int) -> list[str]:
        return [str(one) for one in rng.choice(of, count, replace=False)]

    kind, (one, two, three) = pick(KINDS, 1)[0], pick(COLOURS, 3)
    a, b, c, d = (int(n) for n in rng.integers(2, 90, 4))
    shape = int(rng.integers(4))
    if shape == 0:
        return (
            f"Is {one} the maximum?",
            f"The figure is a {kind} and I need to see whether {one} has the largest value of all. "
            f"The value of {one} is about {a}. The value of {two} is about {b}, and the value of "
            f"{three} is about {c}. Comparing {one} with every other colour in the figure, the "
            f"answer follows: {'yes' if a > max(b, c) else 'no'}.",
        )
    if shape == 1:
        return (
            f"Is {one} less than {two}?",
            f"To answer this I compare two colours in the {kind}. First I look at {one} and then I "
            f"look at {two}. In the figure {one} stands at {a} while {two} stands at {b}. Since the "
            f"question asks whether the first is less than the second, the answer is "
            f"{'yes' if a < b else 'no'}.",
        )
    who, (what, other), where = pick(NAMES, 1)[0], pick(THINGS, 2), pick(PLACES, 1)[0]
    if shape == 2:
        return (
            f"{who} went to the {where} and wrote down how many {what} each stand had. Look at the "
            f"table. The numbers are {a}, {b}, {c} and {d}. What is the median of the numbers?",
            f"The table lists the {what}. I put the numbers in order from the least to the greatest "
            f"and take the mean of the two in the middle. The numbers are {sorted((a, b, c, d))}, "
            f"so the median is {sum(sorted((a, b, c, d))[1:3]) / 2}.",
        )
    return (
        f"{who} has ${a}.50. According to the price list of the {where}, {what} cost ${b}.25 and "
        f"{other} cost ${c}.75. Does {who} have enough money to buy both?",
        f"I add the price of the {what} and the price of the {other}: ${b}.25 + ${c}.75 = "
        f"${b + c + 1}.00. Then I compare the sum with the money that {who} has, which is ${a}.50. "
        f"Since the two must be compared, the answer is {'yes' if a >= b + c + 1 else 'no'}.",
    )


def reworded(question: str, trace: str, rng: Rng) -> tuple[str, str]:
    """The same facts, written differently."""
    how = int(rng.integers(3))
    if how == 0:
        return question.upper(), trace.replace(". ", ".  ")
    if how == 1:
        return question.replace("?", " ?"), re.sub(r"[,:]", " ", trace)
    return "Please answer: " + question, trace + " Done."


def template_text(rows: int, out: Path, rng: Rng) -> None:
    """Write rows of templated text, shuffled; no two originals are the same."""
    originals, exact, near = _shares(rows)
    distinct: dict[tuple[str, str], None] = {}
    while len(distinct) < originals:
        distinct.setdefault(templated(rng))
    pairs = list(distinct)
    source = rng.integers(0, originals, exact + near)
    pairs += [pairs[int(i)] for i in source[:exact]]
    pairs += [reworded(*pairs[int(i)], rng) for i in source[exact:]]
    order = rng.permutation(rows)
    with pq.ParquetWriter(out / "corpus.parquet", SCHEMA, compression="zstd") as writer:
        for start in range(0, rows, ROW_GROUP):
            here = [pairs[slot] for slot in order[start : start + ROW_GROUP]]
            questions = pa.array([question for question, _ in here])
            _write(writer, start, questions, pa.array([trace for _, trace in here]))
    _write_truth(out, order, originals, exact, source, [1.0] * (exact + near))


def _shares(rows: int) -> tuple[int, int, int]:
    return rows - rows // 10 - rows // 5, rows // 10, rows // 5


def _write(writer: pq.ParquetWriter, start: int, questions: pa.Array, traces: pa.Array) -> None:
    texts = pc.binary_join_element_wise(questions, traces, "\n")
    ids = pa.array(np.arange(start, start + len(questions)))
    writer.write_table(pa.table([ids, questions, traces, texts], schema=SCHEMA), ROW_GROUP)


def _write_truth(
    out: Path,
    order: np.ndarray[Any, Any],
    originals: int,
    exact: int,
    source: np.ndarray[Any, Any],
    jaccards: list[float],
) -> None:
    id_of = np.empty(len(order), np.int64)
    id_of[order] = np.arange(len(order))
    kinds = ["exact"] * exact + ["near"] * (len(source) - exact)
    columns = {"id": id_of[originals:], "src": id_of[source], "kind": kinds, "jaccard": jaccards}
    pq.write_table(pa.table(columns), out / "truth.parquet")


def score(kept: Path, corpus: Path) -> dict[str, float]:
    """Recall and precision of a dedup against the truth.

    All rows but one of a family (an original and its copies) should be removed; a further row, or one
    of another family, is a false removal. Recall by Jaccard similarity is over families of two.
    """
    rows = pq.ParquetFile(corpus / "corpus.parquet").metadata.num_rows
    truth = pq.read_table(corpus / "truth.parquet")
    copy, src, jaccard = (truth[name].to_numpy() for name in ("id", "src", "jaccard"))
    exact = truth["kind"].to_numpy(zero_copy_only=False) == "exact"
    family = np.arange(rows)
    family[copy] = src
    gone = np.ones(rows, bool)
    gone[pq.read_table(kept, columns=["id"])["id"].to_numpy()] = False
    size = np.bincount(family, minlength=rows)
    removed = np.bincount(family, gone, minlength=rows)
    right = float(np.minimum(removed, np.maximum(size - 1, 0)).sum())
    found, pair = removed[family[copy]] > 0, size[family[copy]] == 2
    scores = {
        "removed": int(gone.sum()),
        "precision": right / max(1, int(gone.sum())),
        "recall": right / len(copy),
        "recall exact": float(found[pair & exact].mean()),
        "recall >= 0.8": float(found[pair & (jaccard >= 0.8)].mean()),
    }
    for low in (0.6, 0.7, 0.8, 0.9):
        here = pair & ~exact & (jaccard >= low) & (jaccard < low + 0.1)
        if here.any():
            scores[f"recall {low:.1f}-{low + 0.1:.1f}"] = float(found[here].mean())
    return {name: round(value, 5) for name, value in scores.items()}


def main() -> None:
    """Write a corpus, or score a dedup of one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rows", type=int, nargs="?")
    parser.add_argument("out", type=Path)
    parser.add_argument("--templates", action="store_true")
    parser.add_argument("--score", type=Path, metavar="KEPT")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.score:
        print(json.dumps(score(given.score, given.out)))
        return
    if not given.rows:
        parser.error("how many rows?")
    given.out.mkdir(parents=True, exist_ok=True)
    write = template_text if given.templates else free_text
    write(given.rows, given.out, np.random.default_rng(given.seed))


if __name__ == "__main__":
    main()
