"""The options that the commands which ask a model share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[
    str, typer.Option(help="A model's name as the server knows it, a directory, or a checkpoint.")
]
Revision = Annotated[str | None, typer.Option(help="The model's revision on the Hub.")]
Engine = Annotated[
    str | None,
    typer.Option(
        help="openai (a server), vllm (started for this run) or local (in this process). [by the model]"
    ),
]
BaseUrl = Annotated[
    list[str] | None,
    typer.Option(help="http://localhost:8000/v1; several share the work. [OPENAI_BASE_URL]"),
]
K = Annotated[int, typer.Option("-k", min=1, help="Samples of each row.")]
UntilCorrect = Annotated[
    int | None,
    typer.Option(min=1, help="Draw k more as long as fewer samples of a row are right."),
]
MaxSamples = Annotated[
    int | None, typer.Option(min=1, help="With --until-correct: at most so many of a row. [4 k]")
]
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
PixelRange = Annotated[
    str | None,
    typer.Option(
        "--pixels",
        metavar="MIN:MAX",
        help="Show images in this range of pixels, sides in multiples of 28. [as they are]",
    ),
]
Concurrency = Annotated[
    int | None, typer.Option(min=1, help="Requests in flight at each server. [64]")
]
Timeout = Annotated[
    float | None,
    typer.Option(min=0.1, help="Seconds for one request, then it is sent again. [600]"),
]
VllmCommand = Annotated[
    str | None, typer.Option(help="How vLLM is called, e.g. /opt/vllm/bin/vllm. [VLT_VLLM_COMMAND]")
]
VllmArgs = Annotated[
    str | None,
    typer.Option(help="For `vllm serve`: '--tensor-parallel-size 2'. [VLT_VLLM_ARGS]"),
]
RetryFailed = Annotated[
    bool,
    typer.Option("--retry-failed", help="Ask again for the rows that failed, as a new version."),
]
UseBatches = Annotated[
    bool, typer.Option("--batch", help="Use the server's Batch API: half the price, within a day.")
]
Rpm = Annotated[int | None, typer.Option(min=1, help="At most so many requests a minute.")]
Tpm = Annotated[int | None, typer.Option(min=1, help="At most so many tokens a minute.")]
Budget = Annotated[
    float | None, typer.Option(min=0.0, help="Dollars; the run stops before they are passed.")
]
Prices = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="YAML, model: {prompt: 0.15, completion: 0.6} (dollars a million)."
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be asked, and make nothing.")
]
Probe = Annotated[
    int,
    typer.Option(min=0, help="With --dry-run: ask so many rows, and say what the rest will cost."),
]
