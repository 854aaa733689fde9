"""vlt train sft | grpo: TRL on a dataset of the workspace, into a checkpoint of the workspace."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlt.cli.options import WORKSPACE, Json, Workspace, open_store, parse_settings
from vlt.cli.output import describe, print_json, print_table, say
from vlt.cli.progress import Progress
from vlt.cli.taken import Taken, take
from vlt.errors import UsageError

if TYPE_CHECKING:
    from vlt.prompts import Prompt
    from vlt.train.method import Method
    from vlt.train.settings import Training
    from vlt.workspace.store import Dataset

app = typer.Typer(no_args_is_help=True, help="Train a model with TRL: SFT, then GRPO.")

Data = Annotated[str | None, typer.Option(help="The dataset. [the newest that fits]")]
Model = Annotated[
    str | None, typer.Option(help="A directory, a checkpoint of the workspace, or a Hub name.")
]
Revision = Annotated[str | None, typer.Option(help="The model's revision on the Hub.")]
RecipeName = Annotated[
    str | None, typer.Option("--recipe", help="Take settings, freeze, pixels and prompt from it.")
]
RoundOfRecipe = Annotated[int, typer.Option("--round", min=1, help="With --recipe: which round.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A field of TRL's config; repeatable."),
]
Freeze = Annotated[list[str] | None, typer.Option(help="vision_tower or projector; repeatable.")]
MaxPixels = Annotated[int | None, typer.Option(min=1, help="Most pixels of an image.")]
MinPixels = Annotated[int, typer.Option(min=0, help="Least pixels, with --max-pixels.")]
MaxPromptTokens = Annotated[
    int | None,
    typer.Option(min=1, help="Leave out rows whose prompt is longer, image tokens included."),
]
Lora = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE", help="Train adapters: r=16, lora_alpha=32, quantize=true."),
]
PromptFile = Annotated[
    Path | None,
    typer.Option("--prompt", metavar="FILE", help="The user text, with the slot {question}."),
]
System = Annotated[str | None, typer.Option(metavar="TEXT", help="The system text. [none]")]
Processes = Annotated[int | None, typer.Option(min=1, help="Processes (GPUs) of this machine.")]
Accelerate = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WORD", help="zero2, zero3, fsdp2, or an argument of accelerate's launcher."
    ),
]
Output = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Copy the checkpoint there as well.")
]
As = Annotated[str, typer.Option("--as", metavar="NAME", help="Name of the new checkpoint.")]
Explain = Annotated[
    bool, typer.Option("--explain", help="Print the settings beside TRL's defaults, and stop.")
]


@app.command()
def sft(
    data: Data = None,
    model: Model = None,
    recipe: RecipeName = None,
    round_: RoundOfRecipe = 1,
    settings: Set = None,
    freeze: Freeze = None,
    max_pixels: MaxPixels = None,
    min_pixels: MinPixels = 0,
    max_prompt_tokens: MaxPromptTokens = None,
    lora: Lora = None,
    prompt: PromptFile = None,
    system: System = None,
    revision: Revision = None,
    processes: Processes = None,
    accelerate: Accelerate = None,
    output: Output = None,
    name: As = "sft-model",
    explain: Explain = False,
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Fine-tune a model on verified samples."""
    _train("sft", take("sft", recipe, round_, 1), _options(locals()), {})


@app.command()
def grpo(
    data: Data = None,
    model: Model = None,
    recipe: RecipeName = None,
    round_: RoundOfRecipe = 1,
    phase: Annotated[
        int, typer.Option(min=1, help="With --recipe: which GRPO training of the round.")
    ] = 1,
    settings: Set = None,
    reward: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Weights: accuracy=1 format=0.1; repeatable."),
    ] = None,
    difficulty: Annotated[
        str | None, typer.Option(metavar="LOW:HIGH", help="Items by pass rate, e.g. 0.2:0.8.")
    ] = None,
    freeze: Freeze = None,
    max_pixels: MaxPixels = None,
    min_pixels: MinPixels = 0,
    max_prompt_tokens: MaxPromptTokens = None,
    lora: Lora = None,
    prompt: PromptFile = None,
    system: System = None,
    revision: Revision = None,
    processes: Processes = None,
    accelerate: Accelerate = None,
    output: Output = None,
    name: As = "grpo-model",
    explain: Explain = False,
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Improve a model by reinforcement on the answers that the grader finds right."""
    taken = take("grpo", recipe, round_, phase)
    more = {}
    if reward:
        more["reward"] = {**(taken.training.reward if taken else {}), **parse_settings(reward)}
    if difficulty:
        more["difficulty"] = _band(difficulty)
    _train("grpo", taken, _options(locals()), more)


OPTIONS = (
    "data model settings freeze max_pixels min_pixels max_prompt_tokens lora prompt system revision "
    "processes accelerate output name explain workspace as_json"
).split()


def _options(values: dict[str, Any]) -> dict[str, Any]:
    return {option: values[option] for option in OPTIONS}


def _train(kind: str, taken: Taken | None, options: dict[str, Any], more: dict[str, Any]) -> None:
    """Put recipe and options together (options win), train, say what came of it."""
    from vlt.train.checkpoint import copy_out
    from vlt.train.method import find_method
    from vlt.train.training import train

    method = find_method(kind)
    training = replace(_training(taken, method, options), **more)
    if options["explain"]:
        _explain(method, training, options["as_json"])
        return
    store = open_store(options["workspace"])
    model = options["model"] or (taken.model if taken else None)
    if model is None:
        raise UsageError(f"nothing says which model to train; write vlt train {kind} --model MODEL")
    if training.choose:
        say(
            "the recipe's `choose` needs its validation items; `vlt run` does it, this keeps the last step"
        )
    progress = Progress()
    checkpoint, existed = train(
        store,
        method,
        store.open(options["data"])
        if options["data"]
        else store.newest(method.takes[0], method.made_by),
        model,
        replace(training, choose=None),
        name=options["name"],
        revision=options["revision"],
        progress=progress,
    )
    progress.done()
    if options["output"]:
        copy_out(checkpoint, options["output"])
    if options["as_json"]:
        print_json(_result(checkpoint, existed))
    else:
        print(describe(checkpoint, existed=existed))
        print(f"  {checkpoint.path}")
    for reason, count in checkpoint.manifest.failed.items():
        say(f"  {count:,} rows left out: {reason}")


def _training(taken: Taken | None, method: Method, options: dict[str, Any]) -> Any:
    """The recipe's settings, or the method's own, with the options that are given."""
    base = taken.training if taken else method.filled(None)
    return replace(
        base,
        settings={**base.settings, **parse_settings(options["settings"] or [])},
        freeze=options["freeze"] or base.freeze,
        pixels=_pixels(base, options["min_pixels"], options["max_pixels"]),
        max_prompt_tokens=options["max_prompt_tokens"] or base.max_prompt_tokens,
        lora={**base.lora, **parse_settings(options["lora"] or [])},
        prompt=_prompt(base.prompt, options["prompt"], options["system"]),
        processes=options["processes"] or base.processes,
        accelerate=options["accelerate"] or base.accelerate,
    )


def _prompt(base: Prompt | None, file: Path | None, system: str | None) -> Prompt:
    from vlt.datagen.paper_prompts import ROLLOUT
    from vlt.prompts import Prompt

    chosen = base or ROLLOUT
    user = chosen.user
    if file:
        if not file.is_file():
            raise UsageError(f"--prompt {str(file)!r} is not a file; write the user text into one")
        user = file.read_text().strip()
    return Prompt(user=user, system=chosen.system if system is None else system)


def _pixels(base: Training, least: int, most: int | None) -> Any:
    return base.pixels if most is None else {"min": least, "max": most}


def _band(text: str) -> tuple[float, float]:
    low, colon, high = text.partition(":")
    try:
        if colon:
            return float(low), float(high)
    except ValueError:
        pass
    raise UsageError(f"--difficulty {text!r} is not LOW:HIGH, e.g. 0.2:0.8")


def _explain(method: Method, training: Training, as_json: bool) -> None:
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
