"""vlt eval: how good models are on a benchmark, or on a dataset of items."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlt.cli.asking import ask_model, open_workspace
from vlt.cli.derived import SYSTEM, by_source, derived, prompt_of
from vlt.cli.options import WORKSPACE, As, Json, Ray, Workspace
from vlt.cli.output import SOME_ROWS_FAILED, describe, say
from vlt.cli.progress import Progress
from vlt.datagen.asking import EVALUATION, Asking
from vlt.engine.model import Model
from vlt.errors import UsageError
from vlt.plugins import is_path

if TYPE_CHECKING:
    from vlt.cli.eval_report import Made
    from vlt.evaluation.judge import LLMJudge
    from vlt.prompts import Prompt
    from vlt.workspace.store import Dataset
    from vlt.workspace.workspace import Workspace as Opened

Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        help="A model's name, a directory, or a checkpoint. Repeatable: each further model is compared "
        "with the first by a paired test. MODEL@URL gives a model its own server.",
    ),
]
PromptName = Annotated[
    str | None,
    typer.Option(
        "--prompt",
        metavar="NAME|FILE",
        help="boxed, bare (as upstream asks its models), rollout (as in GRPO), or a file with "
        "{question}. [benchmarks: boxed; datasets: rollout]",
    ),
]
_OWN_URL = re.compile(r"(?P<model>.+?)@(?P<urls>https?://.+)")


NOT_HERE = (
    "model",  # --model may be given several times
    *("until_correct", "max_samples", "prompt"),  # --prompt takes names, too
    *("batch", "rpm", "tpm", "budget", "prices"),
)


@derived(leave_out=NOT_HERE, reached=Model(""), asking=EVALUATION)
def eval_(
    dataset: Annotated[
        str | None,
        typer.Argument(
            metavar="BENCHMARK|DATASET",
            help="A benchmark (see --list), items with gold answers, or samples, which are regraded "
            "without asking a model.",
        ),
    ] = None,
    models: Models = None,
    *,
    list_: Annotated[bool, typer.Option("--list", help="List the benchmarks and exit.")] = False,
    path: Annotated[
        str | None,
        typer.Option(
            metavar="COPY", help="A local copy of the benchmark, read instead of the Hub."
        ),
    ] = None,
    image_root: Annotated[
        Path | None, typer.Option(help="Folder of the copy's images, if they are elsewhere.")
    ] = None,
    grader: Annotated[
        str,
        typer.Option(
            help="vlt; paper: upstream's rule; llm: vlt, then a judge where the rules cannot decide "
            "(on MathVerse, whose answers are free-form: wherever they do not find it correct); or "
            "your own: file.py:name."
        ),
    ] = "vlt",
    judge_model: Annotated[str | None, typer.Option(help="With --grader llm: the judge.")] = None,
    judge_base_url: Annotated[
        list[str] | None, typer.Option(help="The judge's server. [OPENAI_BASE_URL]")
    ] = None,
    prompt: PromptName = None,
    system: Annotated[
        str | None, typer.Option(metavar="TEXT", help=SYSTEM, show_default=False)
    ] = None,
    others: Annotated[list[str] | None, by_source()] = None,
    reached: Model,
    asking: Asking,
    name: As = None,
    ray: Ray = None,  # noqa: ARG001
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Ask models the questions of a benchmark or dataset, grade the answers, and print accuracy.

    Accuracies have 95 % intervals. All models get the same prompt and the same grader. Nothing is
    asked twice: the same command resumes, and another --grader regrades without asking. With --images
    none, swapped or noise, each model is also asked with the items' own images, and the difference is
    what the image is worth.
    """
    from vlt.cli.eval_report import print_benchmarks, report
    from vlt.evaluation.evaluate import evaluation_name, make_evaluation

    if list_:
        print_benchmarks(as_json)
        return
    if not dataset:
        raise UsageError(
            "name a benchmark or a dataset of items; `vlt eval --list` lists the benchmarks"
        )
    with open_workspace(workspace) as opened:
        items = find_items(opened, dataset, path, image_root)
        judge = find_judge(opened, grader, judge_model, judge_base_url or [], reached.timeout)
        without: list[Made] = []
        if items.kind == "sample":
            again = asking.retry_failed
            made = [_regraded(opened, items, models, grader, judge, name, again)]
        else:
            asking = replace(asking, prompt=_prompt(items, prompt, system, others))
            ordinary = replace(asking, images="own")
            made = []
            for named in _several(models):
                model, urls = own_urls(named, reached.base_url)
                at = replace(reached, model=model, base_url=urls)
                for each in [ordinary] if asking == ordinary else [ordinary, asking]:
                    called = evaluation_name(name or _name(items), each)
                    make = partial(make_evaluation, grader=grader, judge=judge, name=called)
                    asked = ask_model(make, opened, items, at, each)
                    (made if each is ordinary else without).append((model, *asked))
        report(opened, items, made, as_json, without)
    if any(version.manifest.failed for _, version, _ in [*made, *without]):
        raise typer.Exit(SOME_ROWS_FAILED)


def find_items(
    store: Opened, dataset: str, path: str | None, image_root: Path | None = None
) -> Dataset:
    """The benchmark, prepared if need be, or the dataset of the workspace.

    A dataset that the user made under a benchmark's name takes precedence.
    """
    from vlt.datagen.benchmarks import BY_NAME, prepare_benchmark

    versions = store.versions(dataset) if dataset in BY_NAME else []
    own = versions and not any(v.manifest.facts.get("benchmark") for v in versions)
    if dataset in BY_NAME and (path or not own):
        progress = Progress()
        items, existed = prepare_benchmark(
            store, dataset, path, image_root=image_root, progress=progress
        )
        progress.done()
        if not existed:
            say(describe(items))
        return items
    if path or image_root:
        raise UsageError(
            f"--path and --image-root are for the copy of a benchmark, and {dataset!r} is not one of "
            f"{', '.join(BY_NAME)}; leave them out"
        )
    found = store.open(dataset)
    if found.kind not in ("item", "sample"):
        raise UsageError(
            f"{found.ref} holds {found.kind}s; vlt eval takes items with gold answers, or samples"
        )
    return found


def own_urls(model: str, base_url: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """(model, its servers): those in MODEL@URL[,URL], else those that all models share."""
    found = _OWN_URL.fullmatch(model)
    return (found["model"], tuple(found["urls"].split(","))) if found else (model, base_url)


def find_judge(
    workspace: Opened, grader: str, name: str | None, urls: list[str], timeout: float | None
) -> LLMJudge | None:
    """The judge of --grader llm; None for another grader."""
    from vlt.evaluation.evaluate import LLM
    from vlt.grade.graders import find_grader

    find_grader(grader, [LLM])
    if (grader == LLM) != bool(name):
        raise UsageError("--grader llm and --judge-model go together; give both or neither")
    if not name:
        return None
    from vlt.evaluation.judge import LLMJudge

    judge = LLMJudge(workspace, Model(name, base_url=tuple(urls), timeout=timeout))
    if not (judge.model.urls or os.path.isdir(judge.model.model)):
        raise UsageError(
            f"there is no server for the judge {name!r}; give --judge-base-url of a server that "
            "serves it"
        )
    return judge


def _several(models: list[str] | None) -> list[str]:
    if not models:
        raise UsageError(
            "--model is missing: name a model as its server knows it, a directory or a checkpoint"
        )
    twice = next((model for model in models if models.count(model) > 1), None)
    if twice:
        raise UsageError(f"--model {twice!r} is given twice; name two different models")
    return models


def _regraded(
    store: Opened,
    answers: Dataset,
    models: list[str] | None,
    grader: str,
    judge: LLMJudge | None,
    name: str | None,
    retry_failed: bool,
) -> tuple[str, Dataset, bool]:
    from vlt.datagen.benchmarks import benchmark_of
    from vlt.evaluation.evaluate import make_verdicts

    if models:
        raise UsageError(
            f"{answers.ref} already holds answers; leave out --model to regrade them, or name items"
        )
    parents = answers.manifest.parents
    benchmark = benchmark_of(store.open(parents[0].ref)) if parents else None
    own = answers.manifest.name
    version, existed = make_verdicts(
        store,
        answers,
        grader=grader,
        judge=judge,
        benchmark=benchmark,
        name=name or (own.removesuffix("-answers") if own.endswith("-answers") else f"{own}-eval"),
        retry_failed=retry_failed,
    )
    first = next(answers.batches(["model"], size=1), None)
    label = first.column("model")[0].as_py() if first is not None and first.num_rows else None
    return label or answers.ref, version, existed


def _name(items: Dataset) -> str:
    """eval-mathvista for a benchmark; eval for any other dataset."""
    benchmark = items.manifest.facts.get("benchmark")
    return f"eval-{benchmark}" if benchmark else "eval"


def _prompt(
    items: Dataset, given: str | None, system: str | None, others: list[str] | None
) -> Prompt:
    from vlt.datagen.benchmarks.wording import BOXED, NAMED
    from vlt.datagen.paper_prompts import ROLLOUT

    benchmark = items.manifest.facts.get("benchmark")
    default = BOXED if benchmark else ROLLOUT
    if given in NAMED:
        return prompt_of(NAMED[given], None, system, others)
    if given is not None and not is_path(given) and not Path(given).is_file():
        raise UsageError(
            f"--prompt {given!r} is neither a file nor one of {', '.join(NAMED)}; write the prompt "
            "to a file"
        )
    return prompt_of(default, Path(given) if given else None, system, others)
