"""The prompts of the paper, and ours where it does not print one.

A recipe or `--prompt FILE` gives others. An edited prompt is a different stage with new requests.
"""

from __future__ import annotations

from vlt.prompts import Prompt

CAPTION = Prompt(
    user=(
        "Please provide a detailed description of this image that could help another AI model "
        "understand it completely. Be specific and comprehensive while maintaining natural language "
        "flow."
    )
)
"""Paper, appendix B, for Qwen2.5-VL-3B-Instruct."""

CAPTION_FOR_QUESTION = Prompt(
    user=(
        "<image>Describe this image in detail for somebody who cannot see it and has to answer the "
        "question below. Write down every number, label, relation and position that may matter. Do "
        "not answer the question.\n\nQuestion: {question}"
    )
)
"""A caption written for the question omits less of what it needs, but costs one caption per question."""

REASONING = Prompt(
    user=(
        "You are looking at an image. This is what it shows:\n\n{caption}\n\n"
        "Question: {question}\n\n"
        "Reason step by step as somebody who sees the image itself, and never mention that it was "
        "described to you. Then give the final answer, and nothing else, inside <answer> </answer> "
        "tags; for a question with choices that is the letter."
    )
)
"""The caption stands in for the image (paper, section 4.1, which does not print its prompt).

One user message and no system prompt, as DeepSeek advises for the R1 distillations.
"""

ROLLOUT = Prompt(
    user=(
        "{question} You FIRST think about the reasoning process as an internal monologue and then "
        "provide the final answer."
    )
)
"""Upstream's GRPO template (train/easyr1/examples/format_prompt/math_format.jinja)."""

PROMPTS = {
    "caption": CAPTION,
    "caption-for-question": CAPTION_FOR_QUESTION,
    "reasoning": REASONING,
    "rollout": ROLLOUT,
}
"""Names that `--prompt` accepts besides a file."""
