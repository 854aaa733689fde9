"""How judges are asked unless somebody says otherwise: apart, so that a command's help loads nothing."""

from __future__ import annotations

from vlt.datagen.asking import Asking
from vlt.prompts import Prompt

JUDGING = Asking(prompt=Prompt(""), temperature=0.0, max_tokens=2048)
"""Greedily, once; the prompt is the rubric's."""
