"""The defaults for judging: in a separate module, so that a command's help loads nothing else."""

from __future__ import annotations

from vlt.datagen.asking import Asking
from vlt.prompts import Prompt

JUDGING = Asking(prompt=Prompt(""), temperature=0.0, max_tokens=2048)
"""Greedy, one sample; the prompt is the rubric's."""
