"""vlt gen captions | reasoning | rollouts: ask models, pay for no answer twice."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlt.cli.lean import lean_arrow
from vlt.cli.options import (
    WORKSPACE,
    As,
    Json,
    Limit,
    Workspace,
    dataset_or_newest,
    number,
    open_store,
)
from vlt.cli.output import describe, exit_code, print_json, say
from vlt.cli.progress import Progress
from vlt.errors import UsageError

if TYPE_CHECKING:
    from vlt.prompts import Prompt
    from vlt.request import Sampling
    from vlt.store import Dataset

app = typer.Typer(no_args_is_help=True, help="Ask models: captions, reasoning, rollouts.")

Model = Annotated[
    str, typer.Option(help="A model's name as the server knows it, a directory, or a checkpoint.")
]
Revision = Annotated[str | None, typer.Option(help="The model's revision on the Hub.")]
Engine = Annotated[
    str | None,
    typer.Option(help="openai (a server) or local (transformers in this process). [by the model]"),
]
BaseUrl = Annotated[
    list[str] | None,
    typer.Option(help="http://localhost:8000/v1; several share the work. [OPENAI_BASE_URL]"),
]
K = Annotated[int, typer.Option("-k", min=1, help="Samples of each row.")]
Temperature = Annotated[float, typer.Option(min=0.0)]
TopP = Annotated[float, typer.Option(min=0.0, max=1.0)]
TopK = Annotated[int | None, typer.Option(min=1, show_default=False)]
MaxTokens = Annotated[int, typer.Option(min=1, help="Of one response.")]
Seed = Annotated[
    int | None, typer.Option(help="Sample i is drawn with SEED + i.", show_default=False)
]
Extra = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE", help="A field of the server's own: repetition_penalty=1.05."),
]
PromptFile = Annotated[
    Path | None,
    typer.Option(
        "--prompt", metavar="FILE", help="The user text, with the slots {question} and {caption}."
    ),
]
System = Annotated[str | None, typer.Option(metavar="TEXT", help="The system text. [none]")]
Concurrency = Annotated[
    int | None, typer.Option(min=1, help="Requests in flight at each server. [64]")
]
Timeout = Annotated[
    float | None,
    typer.Option(min=0.1, help="Seconds for one request, then it is sent again. [600]"),
]


@app.command()
def captions(
    model: Model,
    items: Annotated[str | None, typer.Argument(help="[the newest items]")] = None,
    engine: Engine = None,
    base_url: BaseUrl = None,
    revision: Revision = None,
    temperature: Temperature = 0.0,
    top_p: TopP = 1.0,
    top_k: TopK = None,
    max_tokens: MaxTokens = 1024,
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
    """Describe each item's images in words."""
    from datagen.captions import make_captions
    from datagen.prompts import CAPTION

    ask_model(
        make_captions,
        items,
        ("item", "vlt import SOURCE"),
        name or "captions",
        CAPTION,
        {},
        **common(locals()),
    )


@app.command()
def reasoning(
    model: Model,
    captions: Annotated[str | None, typer.Argument(help="[the newest captions]")] = None,
    k: K = 4,
    engine: Engine = None,
    base_url: BaseUrl = None,
    revision: Revision = None,
    temperature: Temperature = 0.6,
    top_p: TopP = 0.95,
    top_k: TopK = None,
    max_tokens: MaxTokens = 8192,
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
    """Reason over each caption k times, with a model that reads only text."""
    from datagen.prompts import REASONING
    from datagen.reasoning import make_reasoning

    ask_model(
        make_reasoning,
        captions,
        ("caption", "vlt gen captions"),
        name or "samples",
        REASONING,
        {"k": k},
        **common(locals()),
    )


@app.command()
def rollouts(
    model: Model,
    items: Annotated[str | None, typer.Argument(help="[the newest items]")] = None,
    k: K = 4,
    engine: Engine = None,
    base_url: BaseUrl = None,
    revision: Revision = None,
    temperature: Temperature = 1.0,
    top_p: TopP = 0.99,
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
    """Answer each item k times, with a model that sees its images."""
    from datagen.prompts import ROLLOUT
    from datagen.rollouts import make_rollouts

    ask_model(
        make_rollouts,
        items,
        ("item", "vlt import SOURCE"),
        name or "samples",
        ROLLOUT,
        {"k": k},
        **common(locals()),
    )


COMMON = (
    "model engine base_url revision temperature top_p top_k max_tokens seed extra prompt system "
    "limit concurrency timeout workspace as_json"
).split()


def common(values: dict[str, Any]) -> dict[str, Any]:
    """The options that every command which asks a model has, out of the command's locals()."""
    return {option: values[option] for option in COMMON}


def ask_model(
    make: Callable[..., tuple[Dataset, bool]],
    ref: str | None,
    parent: tuple[str, str],
    name: str,
    default_prompt: Prompt,
    more: dict[str, Any],
    *,
    model: str,
    engine: str | None,
    base_url: list[str] | None,
    revision: str | None,
    prompt: Path | None,
    system: str | None,
    limit: int | None,
    concurrency: int | None,
    timeout: float | None,
    workspace: Path,
    as_json: bool,
    **sampling: Any,
) -> None:
    """Open what a stage needs, make the version, say what came of it."""
    lean_arrow()
    from train.checkpoint import resolve_model
    from vlt.engine.choose import choose_engine, open_engine
    from vlt.images import ImageStore
    from vlt.journal import Journal

    store = open_store(workspace)
    rows = dataset_or_newest(store, ref, *parent)
    model = resolve_model(store, model)
    urls = base_url or []
    choose_engine(model, engine, urls)
    progress = Progress()
    with closing(ImageStore(store.images)) as images, closing(Journal(store.journal)) as journal:
        dataset, existed = make(
            store,
            rows,
            model=model,
            revision=revision,
            engine=lambda: open_engine(
                model,
                engine=engine,
                base_urls=urls,
                revision=revision,
                concurrency=concurrency,
                timeout=timeout,
                load_image=images.read,
            ),
            journal=journal,
            prompt=_prompt(default_prompt, prompt, system),
            sampling=_sampling(**sampling),
            limit=limit,
            name=name,
            progress=progress,
            **more,
        )
    progress.done()
    if as_json:
        print_json({**_result(dataset), "existed": existed})
    else:
        print(describe(dataset, existed=existed))
    for reason, count in dataset.manifest.failed.items():
        say(f"  {count:,} failed: {reason}")
    if dataset.manifest.failed:
        say(f"  see them with `vlt show {dataset.ref} --dropped`")
        raise typer.Exit(exit_code(dataset))


def _prompt(default: Prompt, file: Path | None, system: str | None) -> Prompt:
    from vlt.prompts import Prompt

    user = default.user
    if file:
        if not file.exists() or file.is_dir():
            raise UsageError(f"--prompt {str(file)!r} is not a file; write the user text into one")
        user = file.read_text().strip()
    return Prompt(user=user, system=default.system if system is None else system)


def _sampling(extra: list[str] | None, **fields: Any) -> Sampling:
    import yaml

    from vlt.request import Sampling

    given: dict[str, Any] = {}
    for setting in extra or []:
        key, equals, value = setting.partition("=")
        if not equals:
            raise UsageError(f"--extra {setting!r} is not KEY=VALUE")
        given[key] = number(yaml.safe_load(value))
    return Sampling(**fields, extra=given)


def _result(dataset: Dataset) -> dict[str, Any]:
    m = dataset.manifest
    return {
        "name": m.name,
        "version": m.version,
        "kind": m.kind,
        "rows": m.rows,
        "failed": m.failed,
        "prompt_tokens": m.prompt_tokens,
        "completion_tokens": m.completion_tokens,
        "seconds": m.seconds,
        "facts": m.facts,
    }
