"""The prompts that benchmarks are asked with; one of them for all models of a comparison.

Upstream asks its own models with the bare question and the baseline with a sentence about the box
(evaluation/eval_openvlthinker.py, eval_qwen.py). Here every model is asked in the same way.
"""

from __future__ import annotations

from vlt.datagen.paper_prompts import ROLLOUT
from vlt.prompts import Prompt

BOXED = Prompt("{question}\n\nYour final answer MUST BE put in \\boxed{}")
"""As upstream asks the baseline: any model can follow it, and <answer> tags are read as well."""
BARE = Prompt("{question}")
"""As upstream asks OpenVLThinker."""

NAMED = {"boxed": BOXED, "bare": BARE, "rollout": ROLLOUT}
"""By the names that `vlt eval --prompt` takes beside a file; rollout is what GRPO trains with."""
