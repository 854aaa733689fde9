"""Properties that must hold for every answer that hypothesis generates."""

from __future__ import annotations

import string
from fractions import Fraction

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vlt.grade import answer_type_of, extract, grade, grade_many, split_reasoning
from vlt.grade.clean import clean

FEW = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))

integers = st.integers(-(10**12), 10**12).map(str)
decimals = st.decimals(-(10**6), 10**6, places=3, allow_nan=False).map(lambda d: f"{d:f}")
fractions = st.tuples(st.integers(-99, 99), st.integers(1, 99)).map(
    lambda t: f"\\frac{{{t[0]}}}{{{t[1]}}}"
)
surds = st.tuples(st.integers(2, 99), st.integers(2, 99)).map(lambda t: f"{t[0]}\\sqrt{{{t[1]}}}")
numbers = st.one_of(integers, decimals, fractions, surds)
units = st.sampled_from(("cm", "m^2", "km/h", "^\\circ", "\\%", "kg", "apples", "\\text{ mL}"))
quantities = st.tuples(st.one_of(integers, decimals), units).map(" ".join)
money = st.tuples(st.sampled_from("$€£"), st.integers(0, 10**6)).map(lambda t: f"{t[0]}{t[1]}")
words = st.text(string.ascii_letters, min_size=2, max_size=12)
texts = st.lists(words, min_size=1, max_size=4).map(" ".join)
lists = st.lists(words, min_size=2, max_size=5).map(", ".join)
sets = st.lists(numbers, min_size=1, max_size=4).map(lambda xs: "\\{" + ", ".join(xs) + "\\}")
tuples = st.lists(numbers, min_size=2, max_size=4).map(lambda xs: "(" + ", ".join(xs) + ")")
equations = st.tuples(st.sampled_from("xyn"), numbers).map(" = ".join)
times = st.tuples(st.integers(1, 12), st.integers(0, 59), st.sampled_from(("AM", "PM"))).map(
    lambda t: f"{t[0]}:{t[1]:02} {t[2]}"
)
polynomials = st.lists(st.integers(-9, 9).filter(bool), min_size=2, max_size=4).map(
    lambda cs: " + ".join(f"({c})x^{i}" for i, c in enumerate(cs))
)
matrices = st.lists(st.tuples(integers, integers), min_size=1, max_size=3).map(
    lambda rows: (
        "\\begin{pmatrix}" + "\\\\".join(" & ".join(row) for row in rows) + "\\end{pmatrix}"
    )
)
letters = st.sampled_from("ABCDEFGHIJ")
golds = st.one_of(
    numbers, quantities, money, texts, lists, sets, tuples, equations, times, polynomials, matrices,
    letters, st.sampled_from(("Yes", "No", "True", "\\pi", "\\infty", "3:4", "[1, 2)", "\\pm 2")),
)  # fmt: skip


@FEW
@given(golds, st.sampled_from(("{}", "<answer>{}</answer>", "<think>5</think>\\boxed{{{}}}")))
def test_gold_is_right(gold: str, wrapper: str) -> None:
    assert grade(wrapper.format(gold), gold).verdict == "correct"


@FEW
@given(
    st.text(min_size=1, max_size=40).filter(
        lambda s: s.strip() and "<" not in s and "oxed" not in s and "nswer" not in s.lower()
    )
)
def test_any_text_that_says_something_is_its_own_answer(gold: str) -> None:
    if clean(gold) and any(c.isalnum() for c in clean(gold)):
        assert grade(f"<answer>{gold}</answer>", gold).verdict == "correct"


@FEW
@given(st.one_of(numbers, sets, tuples, polynomials), st.one_of(numbers, sets, tuples, polynomials))
def test_equality_of_exact_answers_is_symmetric(a: str, b: str) -> None:
    if "." not in a + b:  # a decimal gold takes longer decimals
        assert grade(a, b).verdict == grade(b, a).verdict


@FEW
@given(st.integers(-999, 999), st.integers(1, 99), st.integers(2, 9))
def test_a_fraction_equals_its_expansion_and_no_neighbour(top: int, bottom: int, by: int) -> None:
    gold = f"\\frac{{{top}}}{{{bottom}}}"
    assert grade(f"{top * by}/{bottom * by}", gold).verdict == "correct"
    assert grade(f"{top * by + 1}/{bottom * by}", gold).verdict == "wrong"


@FEW
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 10**6))
def test_a_longer_decimal_is_right_when_it_rounds_to_gold(n: int, places: int, more: int) -> None:
    gold = Fraction(n, 10**places)
    longer = Fraction(n * 10**7 + more, 10 ** (places + 7))
    rounded = (longer * 10**places + Fraction(1, 2)).__floor__()
    wanted = "correct" if rounded == n else "wrong"
    assert grade(_decimal(longer, places + 7), _decimal(gold, places)).verdict == wanted


def _decimal(value: Fraction, places: int) -> str:
    digits = str(int(value * 10**places)).zfill(places + 1)
    return f"{digits[:-places]}.{digits[-places:]}"


@FEW
@given(numbers, numbers, st.sampled_from((" or ", ", ", " and ", "; ")))
def test_two_answers_are_no_answer(a: str, b: str, joint: str) -> None:
    assert grade(f"<answer>{a}{joint}{b}</answer>", a).verdict == "wrong"


@FEW
@given(
    st.lists(letters, min_size=2, max_size=4, unique=True),
    st.sampled_from((" or ", ", ", "/", " and ")),
)
def test_two_letters_are_no_letter(said: list[str], joint: str) -> None:
    options = ["w", "x1", "y2", "z3", "p4", "q5", "r6", "s7", "t8", "u9"]
    for choices in (options, None):
        graded = grade(f"<answer>{joint.join(said)}</answer>", said[0], choices=choices)
        assert graded.verdict == "wrong"


@FEW
@given(
    st.text(max_size=200), st.text(max_size=60), st.one_of(st.none(), st.lists(st.text(max_size=9)))
)
def test_no_text_raises(response: str, gold: str, choices: list[str] | None) -> None:
    graded = grade(response, gold, question=gold, choices=choices)
    assert graded.verdict in ("correct", "wrong", "unjudged")
    assert (graded.predicted is None) or isinstance(graded.predicted, str)
    answer_type_of(gold, choices)
    grade_many([response], [gold], grader="paper")


SOUP = st.lists(
    st.sampled_from(
        "\\frac \\sqrt { } ( ) [ ] ^ _ + - * / = < 1 2 0 . , x y π ± ∞ % $ \\pi \\text cm or and A B "
        "\\begin{pmatrix} \\end{pmatrix} & \\\\ ! | sin log : ; ° \\{ \\} e i 1/2 <answer> </answer> "
        "<think> </think> \\boxed{ ¤ ' \" ½ ² √ not is the".split()
    ),
    max_size=25,
).map(lambda parts: " ".join(parts) if len(parts) % 2 else "".join(parts))


@FEW
@given(SOUP, SOUP)
def test_no_soup_of_latex_raises(response: str, gold: str) -> None:
    assert grade(response, gold).verdict in ("correct", "wrong", "unjudged")
    extract(response)
    split_reasoning(response)
    assert grade(response, gold)[:2] == grade(response, gold)[:2]
