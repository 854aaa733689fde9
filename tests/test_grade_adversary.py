"""No response is correct for two gold answers, or for one that it does not commit to."""

from __future__ import annotations

import pytest

from benchmarks.grade_attack import KINDS, builds, search
from vlt.grade import grade


@pytest.mark.parametrize("seed", range(4))
def test_the_adversary_finds_nothing(seed: int) -> None:
    """A part of `make bench-grade ATTACK=1`, which tries 200,000."""
    finds = search(1500, seed=100 + seed)
    assert not finds, "\n".join(f"{find.golds} {find.response!r} [{find.built}]" for find in finds)


def test_the_adversary_knows_a_plain_answer_to_be_right() -> None:
    """A response built from one gold answer is correct for it: the search space is meaningful."""
    import random

    rng = random.Random(3)
    for kind, draw in KINDS.items():
        for _ in range(5):
            gold = draw(rng)
            for wrapper in ("{}", "<answer>{}</answer>", "\\boxed{{{}}}", "The answer is {}."):
                assert grade(wrapper.format(gold), gold).verdict == "correct", (kind, gold, wrapper)


def test_what_is_built_names_its_templates() -> None:
    import random

    built = builds("12", "42", random.Random(0))
    assert built.text
    assert built.how
