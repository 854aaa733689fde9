"""vlt judge: models judge each caption or response by a rubric, independently of the answer's verdict.

Every row is kept, with judgements added to those that it has. A missing reply, or one not in the requested
form, is unjudged. All requests go through the journal, as in any stage.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from vlt.datagen.answers import Answer, Tokens
from vlt.datagen.asking import Asking
from vlt.datagen.generate import Ask
from vlt.engine.model import Model
from vlt.errors import UsageError, UserError
from vlt.evaluation.judging_settings import JUDGING
from vlt.judging.ask import LACKS, messages_for, shown_of
from vlt.judging.reply import said
from vlt.judging.rubric import OF_ROWS, Rubric, load_rubric
from vlt.plural import plural
from vlt.prompts import Prompt
from vlt.request import Message
from vlt.workspace.judgements import combined, judgements_in, with_judgements
from vlt.workspace.manifest import Stage
from vlt.workspace.schema import JUDGED
from vlt.workspace.store import Dataset
from vlt.workspace.workspace import Workspace
from vlt.workspace.writer import Writer

STAGE = "judge"
NAME = "judged"


@dataclass(frozen=True)
class Judging:
    """The rubric, the judges and their settings: one object for command, recipe and Python."""

    workspace: Workspace
    rubric: Rubric
    models: Sequence[Model]
    asking: Asking = JUDGING
    image: bool | None = None
    """Whether the judges see the image; None: the rubric decides."""
    asks: list[Ask] = field(init=False)

    def __post_init__(self) -> None:
        asking, rubric = self.asking, self.rubric
        if asking.until_correct is not None:
            raise UsageError("judging does not support until_correct; leave it out")
        if asking.k > 1 and asking.temperature == 0:
            raise UsageError(
                f"{asking.k} judgements by one model at temperature 0 are identical; add "
                "--temperature 0.7, or name several models"
            )
        if asking.budget is not None and len(self.models) > 1:
            raise UsageError(
                "--budget works with one model; judge with one --model after the other, the second on the "
                "version that the first has made"
            )
        asked = replace(asking, prompt=Prompt(rubric.text, rubric.system))
        form = rubric.response_format()
        asks = [Ask(self.workspace, model, asked, form) for model in self.models]
        if len({str(ask.identity) for ask in asks}) < len(asks):
            raise UsageError("two of the judges are the same model; name it once, with -k 2")
        object.__setattr__(self, "asks", asks)
        object.__setattr__(self, "image", rubric.image if self.image is None else self.image)

    @property
    def stage(self) -> Stage:
        """The rubric, whether the image is seen, and each judge's model and sampling."""
        judges = [ask.parameters() for ask in self.asks]
        rubric = self.rubric.as_json()
        return Stage(STAGE, {"rubric": rubric, "image": self.image, "judges": judges})

    def columns(self, rows: Dataset) -> list[str]:
        """The columns that determine a request."""
        wanted = [*OF_ROWS, "choice_order", *(["images"] if self.image else [])]
        return [name for name in wanted if name in rows.schema.names]

    def messages(self, ask: Ask, row: dict[str, Any]) -> Sequence[Message] | str:
        """The messages to a judge about a row, or why it cannot be asked."""
        return messages_for(self.rubric, row, image=bool(self.image), size=ask.model.size)

    def judged(self, rows: pa.RecordBatch, of: Sequence[list[list[Answer]]]) -> list[list[Any]]:
        """[rows] the new judgements of each row; `of` has each judge's answers for each row."""
        rubric = self.rubric
        texts = rows.select([n for n in rubric.written if n in rows.schema.names]).to_pylist()
        new: list[list[Any]] = [[] for _ in texts]
        for ask, answers in zip(self.asks, of, strict=True):
            label = ask.label()
            for place, of_row in enumerate(answers):
                shown = shown_of(rubric, texts[place])
                found = [
                    said(answer, rubric, shown).as_row(rubric.name, label) for answer in of_row
                ]
                new[place] += found
        return new


def make_judged(
    workspace: Workspace,
    rows: Dataset,
    models: Model | Sequence[Model],
    rubric: Rubric | str | Path,
    asking: Asking = JUDGING,
    *,
    image: bool | None = None,
    name: str = NAME,
    round: int | None = None,
) -> tuple[Dataset, bool]:
    """The rows with a judgement by each model (k with `asking.k`); (version, whether it existed already).

    Captions and samples can be judged; a row whose request fails is unjudged, with the failure as reason.
    Raises UsageError if the rows do not fit the rubric, or already have judgements by it and one of the
    models; UserError if no request was answered.
    """
    rubric = rubric if isinstance(rubric, Rubric) else load_rubric(rubric)
    several = [models] if isinstance(models, Model) else list(models)
    judging = Judging(workspace, rubric, several, asking, image)
    check_rows(rows, judging)
    stage = judging.stage
    parents = list({p.ref: p for ask in judging.asks for p in ask.parents(rows)}.values())
    found = workspace.find(name, stage, parents)
    if found and not (asking.retry_failed and found.manifest.facts["judged"]["failed"]):
        return found, True
    check_new(rows, judging)
    tally, spent = Tally(), [Tokens() for _ in judging.asks]
    with Writer(workspace, stage, name, rows.kind, parents, round=round) as writer:
        for batch, answers, tokens in _answered(judging, rows):
            writer.expect(batch)
            new = judging.judged(batch, answers)
            writer.keep(with_judgements(batch, new))
            tally.add(new, answers, rubric.name)
            for total, more in zip(spent, tokens, strict=True):
                total += more
        tally.check(several)
        writer.facts["judged"] = tally.facts(judging)
        for ask, total in zip(judging.asks, spent, strict=True):
            writer.count_tokens(total.read, total.written, ask.cost(total))
    return writer.dataset, False


def model_label(model: str) -> str:
    """The judge's name for the manifest; only the last part of a path: manifests have no paths."""
    return Path(model).name if os.path.isdir(model) else model


def check_rows(rows: Dataset, judging: Judging) -> None:
    """Raises UsageError if the rubric cannot judge such rows."""
    rubric = judging.rubric
    if rows.kind not in rubric.kinds:
        made = {"sample": "vlt gen reasoning", "caption": "vlt gen captions"}[rubric.kinds[0]]
        raise UsageError(
            f"{rows.ref} holds {rows.kind}s, but rubric {rubric.name!r} judges "
            f"{' and '.join(f'{kind}s' for kind in rubric.kinds)}; make them with `{made}`"
        )


def check_new(rows: Dataset, judging: Judging) -> None:
    """Raises UsageError if a row was already judged by this rubric and model: nothing is replaced."""
    labels, name = {ask.label() for ask in judging.asks}, judging.rubric.name
    for batch in rows.batches(["id", "judgements"]):
        for of_row in judgements_in(batch):
            again = next((j for j in of_row if j["rubric"] == name and j["model"] in labels), None)
            if again:
                raise UsageError(
                    f"{rows.ref} already has judgements by rubric {name!r} and {again['model']!r}, which are "
                    "not replaced; judge the version from which it was made, or rename the rubric's file"
                )


def _answered(
    judging: Judging, rows: Dataset
) -> Iterator[tuple[pa.RecordBatch, list[list[list[Answer]]], list[Tokens]]]:
    """Batches of the rows with each judge's answers; one judge is asked after the other."""
    streams = [
        ask.answers(rows, lambda row, ask=ask: judging.messages(ask, row), judging.columns(rows))  # type: ignore[misc]
        for ask in judging.asks
    ]
    for parts in zip(*streams, strict=True):
        yield parts[0][0], [answers for _, answers, _ in parts], [tokens for *_, tokens in parts]


@dataclass
class Tally:
    """Counts of a version's judgements."""

    votes: Counter[str] = field(default_factory=Counter)
    """Verdicts of single judgements."""
    verdicts: Counter[str] = field(default_factory=Counter)
    """Combined verdicts of rows."""
    failed: Counter[str] = field(default_factory=Counter)
    """Reasons of failed requests."""
    lacking: Counter[str] = field(default_factory=Counter)
    """Reasons of rows that could not be judged."""
    answered: int = 0
    scores: float = 0.0
    scored: int = 0

    def add(self, new: list[list[Any]], answers: Sequence[list[list[Answer]]], rubric: str) -> None:
        """Add a batch's new judgements, and the answers from which they were made."""
        for of_row in new:
            self.votes.update(j["verdict"] for j in of_row)
            found = combined(of_row, rubric)
            assert found, "each row has a judgement"
            self.verdicts[found.verdict] += 1
            if found.score is not None:
                self.scores += found.score
                self.scored += 1
        for of_judge in answers:
            flat = [answer for of_row in of_judge for answer in of_row]
            self.answered += sum(not isinstance(answer, str) for answer in flat)
            self.failed.update(a for a in flat if isinstance(a, str) and not a.startswith(LACKS))
            self.lacking.update(a for a in flat if isinstance(a, str) and a.startswith(LACKS))

    def check(self, models: Sequence[Model]) -> None:
        """Raises UserError if there are rows but none was judged."""
        if self.lacking and not self.failed and not self.answered:
            raise UserError(
                f"not one of {plural(self.verdicts.total(), 'row')} can be judged: "
                f"{self.lacking.most_common(1)[0][0]}; name rows that have what the rubric needs, or "
                "another rubric"
            )
        if self.failed and not self.answered:
            names = ", ".join(repr(model.model) for model in models)
            raise UserError(
                f"the judge {names} answered none of {plural(self.failed.total(), 'request')} "
                f"({self.failed.most_common(1)[0][0]}); check that its server serves it, and run the "
                "command again"
            )

    def facts(self, judging: Judging) -> dict[str, Any]:
        """As stored in the manifest."""
        return {
            "rubric": judging.rubric.name,
            "models": [ask.label() for ask in judging.asks],
            "asked": [model_label(model.model) for model in judging.models],
            "judgements": self.votes.total(),
            **{verdict: self.verdicts[verdict] for verdict in JUDGED},
            "score": self.scores / self.scored if self.scored else None,
            "failed": self.failed.total(),
            "failure_examples": [reason for reason, _ in self.failed.most_common(3)],
        }
