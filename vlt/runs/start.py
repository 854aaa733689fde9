"""What `vlt init` asks: who is trained, who teaches, and where they answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from vlt.errors import UsageError
from vlt.fields import Option

STUDENT = "Qwen/Qwen2.5-VL-3B-Instruct"
REASONER = "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"
LIKE = "qwen2.5-vl-3b-single-gpu"


@dataclass(frozen=True, kw_only=True)
class Start:
    """The choices that a first recipe is made of."""

    student: str = STUDENT
    """The vision-language model to train: a name on the Hub, or a folder."""
    teacher: str | None = None
    """The model that writes the reasoning to learn from. [a 7B R1 that reads captions; with
    --base-url, what is served there]"""
    base_url: Annotated[tuple[str, ...], Option(metavar="URL")] = ()
    """A server that answers for the teacher (vLLM, any OpenAI-compatible API); repeatable. [none:
    vLLM is started on this machine's GPU]"""
    sees: Literal["image", "caption"] | None = None
    """Whether the teacher sees the image, or reads the student's caption of it. [by its name]"""
    data_only: bool = False
    """Make the data, and train nothing."""

    @property
    def teacher_name(self) -> str:
        """The teacher, by default a text-only reasoner; raises UsageError for a server without one."""
        if self.base_url and not self.teacher:
            raise UsageError(
                f"nothing says which model {self.base_url[0]} is to be asked for; give --teacher MODEL"
            )
        return self.teacher or REASONER

    @property
    def teacher_sees(self) -> Literal["image", "caption"]:
        """What is said; else a reasoner by its name reads captions, and any other model looks."""
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
        ("vlt view sft", "look at them in the browser, flag bad ones"),
        (f"vlt run {name}", "go on" if data_only else "go on: train, measure, report"),
    ]
