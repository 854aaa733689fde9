"""The prompts for benchmarks; all models of a comparison get the same one.

Upstream prompts its own models with the bare question and the baseline with a sentence about the box
(evaluation/eval_openvlthinker.py, eval_qwen.py). Here every model gets the same prompt.
"""

from __future__ import annotations

from vlt.datagen.paper_prompts import ROLLOUT
from vlt.prompts import Prompt

BOXED = Prompt("{question}\n\nYour final answer MUST BE put in \\boxed{}")
"""Upstream's prompt for the baseline: any model can follow it, and <answer> tags are read as well."""
BARE = Prompt("{question}")
"""Upstream's prompt for OpenVLThinker."""

NAMED = {"boxed": BOXED, "bare": BARE, "rollout": ROLLOUT}
"""Names that `vlt eval --prompt` accepts besides a file; rollout is GRPO's training prompt."""
