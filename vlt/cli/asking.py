"""Carries out a command that asks a model; the options that these share stand in ask_options.py."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from vlt.cli.lean import lean_arrow
from vlt.cli.options import dataset_or_newest, number, open_store
from vlt.cli.output import describe, exit_code, print_json, say
from vlt.cli.progress import Progress
from vlt.errors import UsageError

if TYPE_CHECKING:
    from vlt.engine.budget import Budget, Price
    from vlt.prompts import Prompt
    from vlt.request import Sampling
    from vlt.workspace.store import Dataset

COMMON = (
    "model engine base_url revision temperature top_p top_k max_tokens seed extra prompt system "
    "pixels limit concurrency timeout vllm_command vllm_args batch rpm tpm budget prices dry_run probe "
    "retry_failed workspace as_json"
).split()


def common(values: dict[str, Any]) -> dict[str, Any]:
    """Those of a command's arguments that `ask_model` takes."""
    return {option: values[option] for option in COMMON if option in values}


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
    pixels: str | None = None,
    limit: int | None,
    concurrency: int | None,
    timeout: float | None,
    workspace: Path,
    as_json: bool,
    vllm_command: str | None = None,
    vllm_args: str | None = None,
    batch: bool = False,
    rpm: int | None = None,
    tpm: int | None = None,
    budget: float | None = None,
    prices: Path | None = None,
    dry_run: bool = False,
    probe: int = 0,
    retry_failed: bool = False,
    report: bool = True,
    **sampling: Any,
) -> tuple[Dataset, bool] | None:
    """Open what a stage needs, make the version, say what came of it.

    Without `report` nothing is said and nothing exits: the caller does both with what it is given,
    (the version, whether it was there), or None after a dry run.
    """
    lean_arrow()
    from vlt.datagen.estimate import Planned
    from vlt.engine.budget import price_of
    from vlt.engine.interrupt import end_on_sigterm
    from vlt.engine.opening import choose_engine, open_engine
    from vlt.engine.rate_limiter import RateLimiter
    from vlt.images.store import ImageStore
    from vlt.train.checkpoint import resolve_model
    from vlt.workspace.journal import Journal

    end_on_sigterm()
    if probe and not dry_run:
        raise UsageError("--probe goes with --dry-run; to ask only some rows, give --limit")
    store = open_store(workspace)
    rows = dataset_or_newest(store, ref, *parent)
    model = resolve_model(store, model)
    urls = base_url or []
    kind = choose_engine(model, engine, urls)
    if batch and (kind != "openai" or budget is not None or rpm or tpm):
        raise UsageError(
            "--batch is of the openai engine, and --budget, --rpm and --tpm do not go with it"
        )
    price = price_of(model, prices)
    money = _budget(budget, price, model, kind)
    progress = Progress()
    if dry_run:
        more = {**more, "probe": probe}
    if pixels:
        from vlt.images.pixels import Pixels

        more = {**more, "pixels": Pixels.parse(pixels)}
    if retry_failed:
        more = {**more, "retry_failed": True}
    with closing(ImageStore(store.images)) as images, closing(Journal(store.journal)) as journal:
        try:
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
                    rate_limiter=RateLimiter(rpm, tpm) if rpm or tpm else None,
                    budget=money,
                    vllm_command=vllm_command,
                    vllm_args=vllm_args,
                    logs=store.root / "logs",
                    batches=journal if batch else None,
                    tell=progress,
                ),
                journal=journal,
                prompt=_prompt(default_prompt, prompt, system),
                sampling=_sampling(**sampling),
                limit=limit,
                name=name,
                progress=progress,
                price=price,
                **more,
            )
        except Planned as planned:
            progress.done()
            if as_json:
                print_json(planned.plan.summary(price))
            else:
                print("\n".join(planned.plan.lines(price)))
            return None
        finally:
            progress.done()
    if report:
        _report(dataset, existed, as_json)
    return dataset, existed


def sampled(k: int, until_correct: int | None, max_samples: int | None) -> dict[str, Any]:
    """How many samples of a row: arguments of the stages that take more than one."""
    if until_correct is None:
        if max_samples is not None:
            raise UsageError("--max-samples goes with --until-correct; else -k says how many")
        return {"k": k}
    from vlt.datagen.adaptive import UntilCorrect

    return {"k": k, "until": UntilCorrect(until_correct, max_samples or 4 * k)}


def _report(dataset: Dataset, existed: bool, as_json: bool) -> None:
    """What came of it: on stdout the version, on stderr tokens, money and failures."""
    m = dataset.manifest
    if as_json:
        fields = ("name", "version", "kind", "rows", "failed", "prompt_tokens", "completion_tokens")
        values = {field: getattr(m, field) for field in (*fields, "money", "seconds")}
        print_json({**values, "existed": existed})
    else:
        print(describe(dataset, existed=existed))
    if m.completion_tokens and not existed:
        money = "" if m.money is None else f", ${m.money:,.4f}"
        say(f"  {m.prompt_tokens:,} prompt and {m.completion_tokens:,} completion tokens{money}")
    for reason, count in m.failed.items():
        say(f"  {count:,} failed: {reason}")
    if m.failed:
        say(
            f"  see them with `vlt show {dataset.ref} --dropped`; --retry-failed asks for them again"
        )
        raise typer.Exit(exit_code(dataset))


def _budget(budget: float | None, price: Price | None, model: str, engine: str) -> Budget | None:
    from vlt.engine.budget import Budget

    if budget is None:
        return None
    if engine != "openai":
        raise UsageError(f"--budget is for servers that are paid for; leave it out with {engine}")
    if price is None:
        raise UsageError(
            f"--budget needs the price of {model!r}; give --prices FILE with a line such as "
            f"`{model}: {{prompt: 0.15, completion: 0.6}}`, dollars for a million tokens"
        )
    return Budget(budget, price)


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
