"""vlt gen captions | reasoning | rollouts: ask models, pay for no answer twice."""

from __future__ import annotations

from typing import Annotated

import typer

from vlt.cli.ask_options import (
    BaseUrl,
    Budget,
    Concurrency,
    DryRun,
    Engine,
    Extra,
    K,
    MaxSamples,
    MaxTokens,
    Model,
    PixelRange,
    Prices,
    Probe,
    PromptFile,
    RetryFailed,
    Revision,
    Rpm,
    Seed,
    System,
    Temperature,
    Timeout,
    TopK,
    TopP,
    Tpm,
    UntilCorrect,
    UseBatches,
    VllmArgs,
    VllmCommand,
)
from vlt.cli.asking import ask_model, common, sampled
from vlt.cli.options import WORKSPACE, As, Json, Limit, Workspace

app = typer.Typer(no_args_is_help=True, help="Ask models: captions, reasoning, rollouts.")
Items = Annotated[str | None, typer.Argument(help="[the newest items]")]
Captions = Annotated[str | None, typer.Argument(help="[the newest captions]")]


@app.command()
def captions(
    model: Model,
    items: Items = None,
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
    pixels: PixelRange = None,
    limit: Limit = None,
    name: As = None,
    concurrency: Concurrency = None,
    timeout: Timeout = None,
    vllm_command: VllmCommand = None,
    vllm_args: VllmArgs = None,
    batch: UseBatches = False,
    rpm: Rpm = None,
    tpm: Tpm = None,
    budget: Budget = None,
    prices: Prices = None,
    dry_run: DryRun = False,
    probe: Probe = 0,
    retry_failed: RetryFailed = False,
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Describe each item's images in words."""
    from vlt.datagen.captions import make_captions
    from vlt.datagen.paper_prompts import CAPTION

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
    captions: Captions = None,
    k: K = 4,
    until_correct: UntilCorrect = None,
    max_samples: MaxSamples = None,
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
    vllm_command: VllmCommand = None,
    vllm_args: VllmArgs = None,
    batch: UseBatches = False,
    rpm: Rpm = None,
    tpm: Tpm = None,
    budget: Budget = None,
    prices: Prices = None,
    dry_run: DryRun = False,
    probe: Probe = 0,
    retry_failed: RetryFailed = False,
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Reason over each caption k times, with a model that reads only text."""
    from vlt.datagen.paper_prompts import REASONING
    from vlt.datagen.reasoning import make_reasoning

    ask_model(
        make_reasoning,
        captions,
        ("caption", "vlt gen captions"),
        name or "samples",
        REASONING,
        sampled(k, until_correct, max_samples),
        **common(locals()),
    )


@app.command()
def rollouts(
    model: Model,
    items: Items = None,
    k: K = 4,
    until_correct: UntilCorrect = None,
    max_samples: MaxSamples = None,
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
    pixels: PixelRange = None,
    limit: Limit = None,
    name: As = None,
    concurrency: Concurrency = None,
    timeout: Timeout = None,
    vllm_command: VllmCommand = None,
    vllm_args: VllmArgs = None,
    batch: UseBatches = False,
    rpm: Rpm = None,
    tpm: Tpm = None,
    budget: Budget = None,
    prices: Prices = None,
    dry_run: DryRun = False,
    probe: Probe = 0,
    retry_failed: RetryFailed = False,
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Answer each item k times, with a model that sees its images."""
    from vlt.datagen.paper_prompts import ROLLOUT
    from vlt.datagen.rollouts import make_rollouts

    ask_model(
        make_rollouts,
        items,
        ("item", "vlt import SOURCE"),
        name or "samples",
        ROLLOUT,
        sampled(k, until_correct, max_samples),
        **common(locals()),
    )
