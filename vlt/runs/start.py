"""What `vlt init` asks: which model is trained, which one teaches, and on which server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from vlt.cluster.address import ray_address
from vlt.engine.vllm_server import command_of, program_of
from vlt.errors import UsageError, UserError
from vlt.fields import Option

STUDENT = "Qwen/Qwen2.5-VL-3B-Instruct"
REASONER = "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"
LIKE = "qwen2.5-vl-3b-single-gpu"


@dataclass(frozen=True, kw_only=True)
class Start:
    """The choices that a first recipe is made from."""

    student: str = STUDENT
    """The vision-language model to train: a name on the Hub, or a folder."""
    teacher: str | None = None
    """The model that writes the reasoning to learn from. [a 7B R1 that reads captions; with
    --base-url, what is served there]"""
    base_url: Annotated[tuple[str, ...], Option(metavar="URL")] = ()
    """A server that serves the teacher (vLLM, any OpenAI-compatible API); repeatable. [none: see
    --engine]"""
    engine: Literal["vllm", "local"] | None = None
    """What serves models without a server: vllm (started for a step) or local (transformers, in the
    run's process). [vllm, or local where there is no vLLM]"""
    sees: Literal["image", "caption"] | None = None
    """Whether the teacher sees the image, or reads the student's caption of it. [guessed from its name]"""
    data_only: bool = False
    """Only make data; train nothing."""

    @property
    def teacher_name(self) -> str:
        """The teacher, by default a text-only reasoner; raises UsageError for a server without one."""
        if self.base_url and not self.teacher:
            raise UsageError(
                f"no model is named for the server {self.base_url[0]}; give --teacher MODEL"
            )
        return self.teacher or REASONER

    @property
    def serves(self) -> Literal["vllm", "local"]:
        """The engine of models without a server: as given; else vllm if it can be started from here."""
        if self.engine:
            return self.engine
        if ray_address():
            return "vllm"
        try:
            program_of(command_of(None))
        except UserError:
            return "local"
        return "vllm"

    @property
    def teacher_sees(self) -> Literal["image", "caption"]:
        """As given; else models named like a reasoner read captions, and any other sees the image."""
        if self.sees:
            return self.sees
        name = self.teacher_name.lower()
        reads = "r1-distill" in name or "deepseek-r1" in name
        return "caption" if reads else "image"


def next_steps(file: Path, data_only: bool) -> list[tuple[str, str]]:
    """(command, what it does): what to do with a new recipe."""
    name = str(file)
    return [
        (f"vlt doctor {name}", "what this machine lacks for it"),
        (f"vlt run {name} --dry-run", "its steps; nothing is done"),
        (f"vlt run {name} --until sft@r1", "the first round's data"),
        ("vlt view sft", "look at it in the browser, and flag bad rows"),
        (f"vlt run {name}", "the rest" if data_only else "the rest: train and measure"),
    ]


def no_vllm_note(start: Start) -> str:
    """What a recipe's models do without vLLM; "" if it is there or was not asked for."""
    if start.engine or start.serves == "vllm":
        return ""
    return (
        "There is no vLLM on this machine, so models answer in the run's process (engine: local), which "
        "is slow for large ones, above all without a GPU. Faster: install vLLM in an environment of its "
        "own, set VLT_VLLM_COMMAND to its program and write engine: vllm; or name a server: base_url "
        "instead of engine."
    )
