"""vlt judge: models judge captions and responses by a rubric; --agreement and --bias test the judges."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from vlt.cli.asking import DryRun, Probe, clear, open_workspace
from vlt.cli.derived import derived
from vlt.cli.eval import own_urls
from vlt.cli.options import WORKSPACE, As, Json, Ray, Workspace, complete_datasets
from vlt.cli.output import SOME_ROWS_FAILED, describe, plain, print_json, say
from vlt.datagen.asking import Asking
from vlt.engine.model import Model
from vlt.errors import UsageError
from vlt.evaluation.judging_settings import JUDGING
from vlt.plural import plural

if TYPE_CHECKING:
    from vlt.judging.rubric import Rubric
    from vlt.workspace.store import Dataset
    from vlt.workspace.workspace import Workspace as Opened

NOT_HERE = ("model", "prompt", "until_correct", "max_samples")


@derived(leave_out=NOT_HERE, reached=Model(""), asking=JUDGING)
def judge(
    rows: Annotated[
        str | None,
        typer.Argument(
            metavar="SAMPLES|CAPTIONS",
            help="[the newest that the rubric can judge]",
            autocompletion=complete_datasets,
        ),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help="The judge: a model's name, a directory, or a checkpoint. Repeatable: the majority of "
            "several judges decides. MODEL@URL gives a model its own server.",
        ),
    ] = None,
    rubric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="grounded (is what the response says about the image true?), sound (do its steps lead "
            "to its answer?), caption (is the caption correct and sufficient?), or your own file.",
        ),
    ] = None,
    *,
    image: Annotated[
        bool | None,
        typer.Option(
            "--image/--no-image",
            help="Whether the judge sees the image. [as the rubric says]",
            show_default=False,
        ),
    ] = None,
    agreement: Annotated[
        bool,
        typer.Option(
            "--agreement",
            help="Ask no model: compare existing judgements with people's marks from `vlt view`.",
        ),
    ] = False,
    bias: Annotated[
        bool,
        typer.Option(
            "--bias",
            help="Judge samples again with filler added, and pairs in both orders, and measure how much "
            "that moves the judge. Makes no version.",
        ),
    ] = False,
    reached: Model,
    asking: Asking,
    name: As = None,
    dry_run: DryRun = False,
    probe: Probe = 0,
    ray: Ray = None,  # noqa: ARG001
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Ask models to judge captions or responses by a rubric; judgements are stored with the verdicts.

    A reply in the wrong format counts as unjudged, never as a pass. To add another rubric's or model's
    judgements, run the command again on its result.
    """
    if agreement and bias:
        raise UsageError("--agreement and --bias exclude each other; give one of them")
    if agreement:
        from vlt.cli.judge_trust import print_agreement

        if models:
            raise UsageError("--agreement asks no model; leave out --model")
        print_agreement(workspace, rows, rubric, as_json)
        return
    from vlt.judging.rubric import load_rubric

    if not rubric:
        raise UsageError(
            "--rubric is missing: name grounded, sound, caption or a file of your own (docs/judging.md)"
        )
    if probe and not dry_run:
        raise UsageError("--probe needs --dry-run; to judge only some of the rows, use --limit")
    found = load_rubric(rubric)
    judges = _judges(models, reached)
    with open_workspace(workspace) as opened:
        dataset = opened.open(rows) if rows else newest(opened, found, judges)
        if bias:
            from vlt.cli.judge_trust import print_bias

            print_bias(opened, dataset, judges, found, asking, image, as_json)
            return
        if dry_run:
            asking = replace(asking, probe=probe)
            _plan(opened, dataset, judges, found, asking, image, name, as_json)
            return
        _judge(opened, dataset, judges, found, asking, image, name, as_json)


def newest(store: Opened, rubric: Rubric, judges: list[Model]) -> Dataset:
    """The newest rows generated or judged by a model.

    If they already hold the judgements asked for, the rows they were made from: then the same version
    is found again.
    """
    from vlt.evaluation.judging import model_label

    for kind in rubric.kinds:
        if given := store.candidates(kind, by_models=True):
            last = given[-1]
            made = last.manifest.facts.get("judged", {})
            asked = {model_label(model.model) for model in judges}
            if made.get("rubric") == rubric.name and set(made["asked"]) & asked:
                return store.open(last.manifest.parents[0].ref)
            return last
    made_by = {"sample": "vlt gen reasoning", "caption": "vlt gen captions"}
    return store.newest(rubric.kinds[0], made_by[rubric.kinds[0]])


def _judges(models: list[str] | None, reached: Model) -> list[Model]:
    if not models:
        raise UsageError("--model is missing: name the judge as its server knows it")
    judges = []
    for named in models:
        model, urls = own_urls(named, reached.base_url)
        judges.append(replace(reached, model=model, base_url=urls))
    return judges


def _judge(
    workspace: Opened,
    rows: Dataset,
    judges: list[Model],
    rubric: Rubric,
    asking: Asking,
    image: bool | None,
    name: str | None,
    as_json: bool,
) -> None:
    from vlt.evaluation.judging import NAME, make_judged

    name = name or NAME
    try:
        made, existed = make_judged(workspace, rows, judges, rubric, asking, image=image, name=name)
    finally:
        clear(workspace)
    m = made.manifest
    facts = m.facts["judged"]
    if as_json:
        kept = {field: getattr(m, field) for field in ("name", "version", "kind", "rows", "money")}
        print_json({**kept, **facts, "existed": existed})
    else:
        print(describe(made, existed=existed))
        print(f"  {in_words(facts)}")
    if m.completion_tokens and not existed:
        money = "" if m.money is None else f", ${m.money:,.4f}"
        say(f"  {m.prompt_tokens:,} prompt and {m.completion_tokens:,} completion tokens{money}")
    if facts["failed"]:
        for reason in facts["failure_examples"]:
            say(f"  {plain(reason)}")
        say(
            f"  {plural(facts['failed'], 'request')} failed and left their rows unjudged; "
            "--retry-failed asks again"
        )
        raise typer.Exit(SOME_ROWS_FAILED)


def in_words(facts: dict[str, object]) -> str:
    """grounded by m: 12 pass, 3 fail, 1 unjudged, mean score 4.1"""
    models = ", ".join(facts["models"])  # type: ignore[arg-type]
    score = "" if facts["score"] is None else f", mean score {facts['score']:.2f}"
    counts = ", ".join(f"{facts[v]:,} {v}" for v in ("pass", "fail", "unjudged"))
    return f"{facts['rubric']} by {plain(models)}: {counts}{score}"


def _plan(
    workspace: Opened,
    rows: Dataset,
    judges: list[Model],
    rubric: Rubric,
    asking: Asking,
    image: bool | None,
    name: str | None,
    as_json: bool,
) -> None:
    """Print the plan of each judge separately: prices and servers differ."""
    from vlt.datagen.estimate import Planned
    from vlt.evaluation.judging import NAME, make_judged

    plans, name = {}, name or NAME
    for model in judges:
        try:
            made, _ = make_judged(workspace, rows, model, rubric, asking, image=image, name=name)
        except Planned as planned:
            price = asking.price(model)
            plans[model.model] = planned.plan.summary(price)
            if not as_json:
                print("\n".join([f"{model.model}:", *planned.plan.lines(price)]))
        else:
            print(describe(made, existed=True))
        finally:
            clear(workspace)
    if as_json:
        print_json(plans if len(judges) > 1 else next(iter(plans.values()), {}))
