"""vlt eval: how good a model is on a dataset of items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlt.cli.asking import (
    BaseUrl,
    Concurrency,
    Engine,
    Extra,
    K,
    MaxTokens,
    Model,
    PromptFile,
    Revision,
    Seed,
    System,
    Temperature,
    Timeout,
    TopK,
    TopP,
    ask_model,
    common,
)
from vlt.cli.options import WORKSPACE, As, Json, Limit, Workspace
from vlt.cli.output import percent, print_table

if TYPE_CHECKING:
    from vlt.store import Dataset, Store


def eval_(
    items: Annotated[str, typer.Argument(metavar="DATASET", help="Items with gold answers.")],
    model: Model,
    k: K = 1,
    grader: Annotated[str, typer.Option(help="vlt, or paper: upstream's rule.")] = "vlt",
    engine: Engine = None,
    base_url: BaseUrl = None,
    revision: Revision = None,
    temperature: Temperature = 0.0,
    top_p: TopP = 1.0,
    top_k: TopK = None,
    max_tokens: MaxTokens = 2048,
    seed: Seed = None,
    extra: Extra = None,
    prompt: PromptFile = None,
    system: System = None,
    limit: Limit = None,
    name: As = None,
    concurrency: Concurrency = None,
    timeout: Timeout = None,
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Answer the items with a model, grade the answers, and print accuracy with 95 % intervals."""
    from datagen.prompts import ROLLOUT

    def evaluate(store: Store, rows: Dataset, **ask: Any) -> tuple[Dataset, bool]:
        from vlt.evaluate import make_evaluation

        made = make_evaluation(store, rows, grader=grader, **ask)
        if not as_json:
            _print_summary(made[0])
        return made

    ask_model(
        evaluate,
        items,
        ("item", "vlt import SOURCE"),
        name or "eval",
        ROLLOUT,
        {"k": k},
        **common(locals()),
    )


def _print_summary(evaluation: Dataset) -> None:
    facts = evaluation.manifest.facts
    scores = {"all": facts["accuracy"], "all, in format": facts["strict"], **facts["sources"]}
    print_table(
        [{"source": name, "accuracy": percent(s), "items": s["n"]} for name, s in scores.items()]
    )
    print(
        f"truncated {facts['truncated']:.1%}, without an answer {facts['unanswered']:.1%}, "
        f"unjudged {facts['unjudged']:,}, {facts['tokens']:.0f} tokens a response"
    )
