"""Asks a model about every row of a dataset, through the journal and an engine.

A generation stage defines how a row becomes messages and how answers become columns; this module does
the rest: it requests only what the journal lacks, records every answer as it arrives, and yields the rows
in their order with their answers. To write another stage, copy datagen/captions.py.
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
    """One stage's requests to one model: `asking` says what and how often, `workspace` keeps the answers."""

    workspace: Workspace
    model: Model
    asking: Asking
    response_format: Mapping[str, Any] | None = None
    """The format to which servers that support it constrain the answers: see vlt.request.Request."""
    identity: dict[str, Any] = field(init=False)
    """What the model is, independent of its location."""
    price: Price | None = field(init=False)
    """What the tokens cost; only reported, in the progress and the manifest."""
    facts: dict[str, Any] = field(init=False, default_factory=dict)
    """About the model, for the manifest: `prompt_opens`, known after its answers have been read."""

    def __post_init__(self) -> None:
        name = self.workspace.resolve_model(self.model.model)
        model = replace(self.model, model=name).sized()
        self.asking.check_for(model)
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "identity", model.identity())
        object.__setattr__(self, "price", self.asking.price(model))

    def parameters(self) -> dict[str, Any]:
        """The settings that belong to a stage's identity."""
        pixels = {"pixels": self.model.pixels} if self.model.pixels else {}
        return {"model": self.identity, **self.asking.parameters(), **pixels}

    def cost(self, tokens: Tokens) -> float | None:
        """Dollars, if the model's price and its token counts are known."""
        return self.price.of(tokens.read, tokens.written) if self.price and tokens.known else None

    def found(self, name: str, stage: Stage, parents: Sequence[Dataset]) -> Dataset | None:
        """The version that exists already, if it need not be made again."""
        found = self.workspace.find(name, stage, parents)
        return None if found and self.asking.retry_failed and found.manifest.failed else found

    def label(self) -> str:
        """The model's name in rows: its name, the workspace's name for it, or its digest; never a path."""
        name, revision = self.model.model, self.model.revision
        if "digest" not in self.identity:
            return f"{name}@{revision}" if revision else name
        checkpoint = self.workspace.checkpoint_at(name)
        return checkpoint.ref if checkpoint else f"sha256:{self.identity['digest'][:16]}"

    def parents(self, rows: Dataset) -> list[Dataset]:
        """The rows' dataset, and the model if it is a checkpoint of this workspace."""
        checkpoint = self.workspace.checkpoint_at(self.model.model)
        return [rows, checkpoint] if checkpoint else [rows]

    def answers(
        self,
        parent: Dataset,
        messages: Messages,
        reads: Sequence[str],
        check: Check | None = None,
    ) -> Iterator[tuple[pa.RecordBatch, list[list[Answer]], Tokens]]:
        """Batches of the parent's rows in order, with each row's answers and their tokens.

        A row has k answers, or more with `until_correct`. `reads` are the columns that `messages`
        needs; no others are read while asking. If choices are shuffled, a row that `messages` gets has the
        number of its sample in `sample`. `check` returns why an answer cannot be used; with
        `retry_failed` those are requested again.

        Everything is requested before the first batch is yielded; meanwhile 22 bytes per row are kept.
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
        """The text with which the prompt opens a thought: from the template if it was rendered here,
        otherwise inferred from the server's answers."""
        if self.model.kind != "local":
            return OPEN if 2 * answers.inside > answers.whole else None
        from vlt.engine.loading import opens_thought

        return opens_thought(self.model.model, self.model.revision) or None


def _or_why_not(messages: Messages) -> Messages:
    """`messages`, returning the reason if a user's prompt raises for a row."""

    def of(row: dict[str, Any]) -> Sequence[Message] | str:
        try:
            return messages(row)
        except CannotAsk as error:
            return str(error)

    return of
