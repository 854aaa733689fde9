"""vlt gen captions | reasoning | rollouts: ask models, and never pay for an answer twice."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from vlt.cli.asking import DryRun, Probe, generate
from vlt.cli.derived import derived
from vlt.cli.options import WORKSPACE, As, Json, Ray, Workspace
from vlt.datagen.asking import CAPTIONS, REASONS, ROLLOUTS, Asking
from vlt.engine.model import Model

app = typer.Typer(no_args_is_help=True, help="Ask models: captions, reasoning, rollouts.")
Items = Annotated[str | None, typer.Argument(help="[the newest items]")]
Captions = Annotated[str | None, typer.Argument(help="[the newest captions]")]
ONE_SAMPLE = ("k", "until_correct", "max_samples", "shuffle_choices", "images")


@app.command()
@derived(leave_out=ONE_SAMPLE, model=Model, asking=CAPTIONS)
def captions(
    items: Items = None,
    *,
    model: Model,
    asking: Asking,
    name: As = None,
    dry_run: DryRun = False,
    probe: Probe = 0,
    ray: Ray = None,  # noqa: ARG001
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Describe each item's images."""
    from vlt.datagen.captions import make_captions

    generate(
        partial(make_captions, name=name or "captions"),
        workspace,
        items,
        ("item", "vlt import SOURCE"),
        model,
        asking,
        dry_run=dry_run,
        probe=probe,
        as_json=as_json,
    )


@app.command()
@derived(leave_out=("pixels", "images"), model=Model, asking=REASONS)
def reasoning(
    captions: Captions = None,
    *,
    model: Model,
    asking: Asking,
    name: As = None,
    dry_run: DryRun = False,
    probe: Probe = 0,
    ray: Ray = None,  # noqa: ARG001
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Reason over each caption k times, with a model that reads only text."""
    from vlt.datagen.reasoning import make_reasoning

    generate(
        partial(make_reasoning, name=name or "samples"),
        workspace,
        captions,
        ("caption", "vlt gen captions"),
        model,
        asking,
        dry_run=dry_run,
        probe=probe,
        as_json=as_json,
    )


@app.command()
@derived(model=Model, asking=ROLLOUTS)
def rollouts(
    items: Items = None,
    *,
    model: Model,
    asking: Asking,
    name: As = None,
    dry_run: DryRun = False,
    probe: Probe = 0,
    ray: Ray = None,  # noqa: ARG001
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Answer each item k times, with a model that sees its images."""
    from vlt.datagen.rollouts import make_rollouts

    generate(
        partial(make_rollouts, name=name or "samples"),
        workspace,
        items,
        ("item", "vlt import SOURCE"),
        model,
        asking,
        dry_run=dry_run,
        probe=probe,
        as_json=as_json,
    )
