"""vlt train METHOD: train with TRL on a dataset of the workspace, and store the checkpoint there.

There is one command for each training method (vlt.train.method); its options are the fields of the
method's settings. A user's own method is file.py:NAME.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlt.cli.from_recipe import FromRecipe, from_recipe
from vlt.cli.groups import Commands
from vlt.cli.options import WORKSPACE, Json, Ray, Workspace
from vlt.cli.output import describe, print_json, print_table, say
from vlt.cli.overrides import changes, options, parameter
from vlt.cli.progress import Progress
from vlt.errors import UsageError
from vlt.plural import plural
from vlt.train.method import BUILT_IN, Method, find_method

if TYPE_CHECKING:
    from vlt.workspace.store import Dataset

Data = Annotated[str | None, typer.Option(help="The dataset. [the newest that fits]")]
Model = Annotated[
    str | None, typer.Option(help="A directory, a checkpoint of the workspace, or a Hub name.")
]
Revision = Annotated[str | None, typer.Option(help="The model's revision on the Hub.")]
RecipeName = Annotated[
    str | None,
    typer.Option("--recipe", help="Take settings, freeze, pixels and prompt from this recipe."),
]
RoundOfRecipe = Annotated[int, typer.Option("--round", min=1, help="With --recipe: which round.")]
PhaseOfRecipe = Annotated[
    int, typer.Option("--phase", min=1, help="With --recipe: which training of the round.")
]
MaxPixels = Annotated[int | None, typer.Option(min=1, help="Maximum pixels of an image.")]
MinPixels = Annotated[int, typer.Option(min=0, help="Minimum pixels, with --max-pixels.")]
Output = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Copy the checkpoint there as well.")
]
As = typer.Option("--as", metavar="NAME", help="Name of the new checkpoint.")
Explain = Annotated[
    bool, typer.Option("--explain", help="Print the settings next to TRL's defaults, and exit.")
]


class Methods(Commands):
    """The methods as commands, including the user's own and those of installed packages."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The method's command; built on demand unless it is one of vlt's."""
        found = super().get_command(ctx, cmd_name)
        if found:
            return found
        own = typer.Typer(add_completion=False, rich_markup_mode=None)
        method = find_method(cmd_name)
        own.command(cmd_name, help=method.about)(command(method))
        return typer.main.get_command(own)


app = typer.Typer(
    cls=Methods,
    no_args_is_help=True,
    help="Train a model with TRL: SFT, then GRPO or DPO, or a method of your own (file.py:NAME).",
)


def command(method: Method) -> Callable[..., None]:
    """The method's command: the options common to all, and those of its settings."""

    def called(
        *,
        data: Data = None,
        model: Model = None,
        recipe: RecipeName = None,
        round_: RoundOfRecipe = 1,
        phase: PhaseOfRecipe = 1,
        max_pixels: MaxPixels = None,
        min_pixels: MinPixels = 0,
        revision: Revision = None,
        output: Output = None,
        name: str,
        explain: Explain = False,
        ray: Ray = None,  # noqa: ARG001
        workspace: Workspace = WORKSPACE,
        as_json: Json = False,
        **given: Any,
    ) -> None:
        settled = from_recipe(method, recipe, round_, phase)
        training = _training(method, settled, given)
        if max_pixels is not None:
            training = replace(training, pixels={"min": min_pixels, "max": max_pixels})
        if explain:
            _explain(method, training, as_json)
            return
        start = model or (settled.model if settled else None)
        if start is None:
            raise UsageError(
                f"no model to train was named; write vlt train {method.name} --model MODEL"
            )
        made = _train(workspace, method, data, (start, revision), training, name)
        _report(made, output, as_json)

    own = inspect.signature(called, eval_str=True).parameters
    ordered = [own[name] for name in ("data", "model", "recipe", "round_")]
    ordered += [] if method.name == "sft" else [own["phase"]]
    ordered += options(method.training)
    ordered += [own[name] for name in ("max_pixels", "min_pixels", "revision", "output")]
    ordered += [parameter("name", str, As, default=f"{method.name}-model")]
    ordered += [own[name] for name in ("explain", "ray", "workspace", "as_json")]
    called.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
    called.__annotations__ = {p.name: p.annotation for p in ordered}
    return called


for built_in in map(find_method, BUILT_IN):
    app.command(built_in.name, help=built_in.about)(command(built_in))


def _training(method: Method, settled: FromRecipe | None, given: dict[str, Any]) -> Any:
    """The recipe's settings, or the method's own, changed by the options given."""
    from vlt.datagen.paper_prompts import ROLLOUT

    base = settled.training if settled else method.filled(None)
    base = replace(base, prompt=base.prompt or ROLLOUT)
    return replace(base, **changes(method.training, base, given))


def _train(
    root: Path,
    method: Method,
    data: str | None,
    start: tuple[str, str | None],
    training: Any,
    name: str,
) -> tuple[Dataset, bool]:
    """Train the model `start` (name, revision) on `data`, or on the newest dataset that fits."""
    from vlt.engine.model import Model
    from vlt.train.training import train
    from vlt.workspace.workspace import Workspace

    if training.choose:
        say(
            "the recipe's `choose` needs validation items and works in `vlt run` only; keeping the last "
            "step"
        )
        training = replace(training, choose=None)
    progress = Progress()
    with Workspace(root, progress) as workspace:
        rows = workspace.open(data) if data else workspace.newest(method.takes[0], method.made_by)
        model = Model(start[0], revision=start[1])
        if cost := method.cost(training, None if rows.kind == "sample" else rows.manifest.rows):
            say(cost)
        try:
            return train(workspace, method, rows, model, training, name=name)
        finally:
            progress.done()


def _report(made: tuple[Dataset, bool], output: Path | None, as_json: bool) -> None:
    """Print the outcome, and copy the checkpoint to `output`."""
    from vlt.train.checkpoint import copy_out

    checkpoint, existed = made
    if output:
        copy_out(checkpoint, output)
    if as_json:
        print_json(_result(checkpoint, existed))
    else:
        print(describe(checkpoint, existed=existed))
        print(f"  {checkpoint.path}")
    for reason, count in checkpoint.manifest.failed.items():
        say(f"  {plural(count, 'row')} left out: {reason}")
    for reward, errors in checkpoint.manifest.facts.get("reward_errors", {}).items():
        for error, count in errors.items():
            say(f"  {plural(count, 'sample')} without the reward {reward}: {error}")


def _explain(method: Method, training: Any, as_json: bool) -> None:
    from vlt.train.explain import explain

    rows = explain(method, training.settings, training.processes)
    if as_json:
        print_json(rows)
    else:
        print_table(rows)


def _result(checkpoint: Dataset, existed: bool) -> dict[str, Any]:
    m = checkpoint.manifest
    return {
        "name": m.name,
        "version": m.version,
        "path": str(checkpoint.path),
        "rows": m.rows,
        "failed": m.failed,
        "seconds": m.seconds,
        "existed": existed,
        "facts": m.facts,
    }
