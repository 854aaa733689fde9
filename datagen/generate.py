"""Asks a model about every row of a dataset: the meeting of rows, journal and engine.

A generation stage says how a row becomes messages and what becomes of the answers, and this does
the rest: it asks only for what the journal lacks, records every answer when it arrives, and gives
the rows back in their order with their answers. To write the next stage, copy datagen/captions.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from vlt.datagen.answers import Answer, Answers, Check, Tokens
from vlt.datagen.asking import Asking
from vlt.datagen.estimate import Planned
from vlt.datagen.one_pass import Messages, OnePass
from vlt.datagen.scan import batches
from vlt.engine.budget import Price
from vlt.engine.model import Model
from vlt.prompts import CannotAsk
from vlt.request import Message
from vlt.thinking import OPEN
from vlt.workspace.manifest import Stage
from vlt.workspace.store import Dataset
from vlt.workspace.workspace import Workspace


@dataclass(frozen=True)
class Ask:
    """One stage's questions to one model: `asking` says what and how often, `workspace` keeps them."""

    workspace: Workspace
    model: Model
    asking: Asking
    response_format: Mapping[str, Any] | None = None
    """What a server that can holds the answers to: see vlt.request.Request."""
    identity: dict[str, Any] = field(init=False)
    """What the model is, apart from where it lies."""
    price: Price | None = field(init=False)
    """What the tokens cost; only told, in the progress and the manifest."""
    facts: dict[str, Any] = field(init=False, default_factory=dict)
    """Of the model, for the manifest: `prompt_opens`, known when its answers have been read."""

    def __post_init__(self) -> None:
        name = self.workspace.resolve_model(self.model.model)
        model = replace(self.model, model=name).sized()
        self.asking.check_for(model)
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "identity", model.identity())
        object.__setattr__(self, "price", self.asking.price(model))

    def parameters(self) -> dict[str, Any]:
        """What of this belongs to a stage's identity."""
        pixels = {"pixels": self.model.pixels} if self.model.pixels else {}
        return {"model": self.identity, **self.asking.parameters(), **pixels}

    def cost(self, tokens: Tokens) -> float | None:
        """Dollars, where the model's price is known and what it took."""
        return self.price.of(tokens.read, tokens.written) if self.price and tokens.known else None

    def found(self, name: str, stage: Stage, parents: Sequence[Dataset]) -> Dataset | None:
        """The version that is there already, if it need not be made again."""
        found = self.workspace.find(name, stage, parents)
        return None if found and self.asking.retry_failed and found.manifest.failed else found

    def label(self) -> str:
        """The model in a row: its name, or the workspace's name for it, or its digest; no path."""
        name, revision = self.model.model, self.model.revision
        if "digest" not in self.identity:
            return f"{name}@{revision}" if revision else name
        checkpoint = self.workspace.checkpoint_at(name)
        return checkpoint.ref if checkpoint else f"sha256:{self.identity['digest'][:16]}"

    def parents(self, rows: Dataset) -> list[Dataset]:
        """The rows' dataset, and the model where it is a checkpoint of this workspace."""
        checkpoint = self.workspace.checkpoint_at(self.model.model)
        return [rows, checkpoint] if checkpoint else [rows]

    def answers(
        self,
        parent: Dataset,
        messages: Messages,
        reads: Sequence[str],
        check: Check | None = None,
    ) -> Iterator[tuple[pa.RecordBatch, list[list[Answer]], Tokens]]:
        """Batches of the parent's rows in order, with each row's answers and what they took.

        A row has k answers, or more with `until_correct`. `reads` are the columns that `messages`
        needs, so no others are read while asking; where choices are shuffled, a row that `messages`
        gets says in `sample` of which answer it is. `check` tells of an answer that has arrived why it
        is none; with `retry_failed` those are asked for again.

        Everything is asked before the first batch comes; meanwhile 22 bytes a row are kept.
        """
        reads = self.asking.prompt.reads(reads, parent.schema.names)
        run = OnePass(self, parent, _or_why_not(messages), reads, check)
        try:
            if self.asking.probe is not None:
                raise Planned(run.plan(self.asking.probe))
            run.ask(run.missing())
            while self.asking.until_correct and run.want_more():
                run.ask(run.missing_again())
        finally:
            run.close()
        for start, batch in batches(run.groups):
            yield batch, *run.answers.of(start, batch.num_rows)
        self.facts["prompt_opens"] = self._opened(run.answers)

    def _opened(self, answers: Answers) -> str | None:
        """What the prompt opens a thought with: by the template where it was rendered here, else by
        the answers that a server gave."""
        if self.model.kind != "local":
            return OPEN if 2 * answers.inside > answers.whole else None
        from vlt.engine.loading import opens_thought

        return opens_thought(self.model.model, self.model.revision) or None


def _or_why_not(messages: Messages) -> Messages:
    """`messages`, with the reason where a prompt of one's own raises at a row."""

    def of(row: dict[str, Any]) -> Sequence[Message] | str:
        try:
            return messages(row)
        except CannotAsk as error:
            return str(error)

    return of
