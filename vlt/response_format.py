"""The response format that the loop trains: `<think> ... </think> <answer> ... </answer>`.

Each tag occurs once, in this order and not empty, with only whitespace outside. The filter `format`, the
reward `format` and the strict accuracy of an evaluation all use this definition.
"""

from __future__ import annotations

from vlt.thinking import CLOSE, OPEN

ANSWER, END_ANSWER = "<answer>", "</answer>"
TAGS = (OPEN, CLOSE, ANSWER, END_ANSWER)
OTHER_ORDER = "not think, then answer"


def in_format(response: str | None, *, prose: bool = False) -> bool:
    """Whether the response has the format; see `format_fault` for `prose`."""
    return response is not None and format_fault(response, prose=prose) is None


def format_fault(response: str, *, boxed: bool = False, prose: bool = False) -> str | None:
    """Why the response does not have the format, or None; the first missing or repeated tag is reported.

    With `boxed`, the answer is a \\boxed{...} anywhere after the thought, instead of the tags. With
    `prose`, text is allowed before and after the answer, since OpenVLThinker v1.2 wants a summary of the
    reasoning there.
    """
    for tag in TAGS[:2] if boxed else TAGS:
        if response.count(tag) != 1:
            return f"not one {tag}"
    before, _, rest = response.partition(OPEN)
    thought, closed, rest = rest.partition(CLOSE)
    if before.strip() or not closed or not thought.strip():
        return OTHER_ORDER
    if boxed:
        _, found, answer = rest.partition("\\boxed{")
        return None if found and "}" in answer else OTHER_ORDER
    between, opened, rest = rest.partition(ANSWER)
    answer, closed, after = rest.partition(END_ANSWER)
    if not opened or not closed or not answer.strip():
        return OTHER_ORDER
    return OTHER_ORDER if not prose and (between.strip() or after.strip()) else None


def is_answer_bare(response: str) -> bool:
    """Whether there is only whitespace between the last </think> and the <answer> after it."""
    _, closed, rest = response.rpartition(CLOSE)
    between, opened, _ = rest.partition(ANSWER)
    return bool(closed) and bool(opened) and not between.strip()
