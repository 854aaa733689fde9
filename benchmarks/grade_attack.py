"""An adversary for the grader: it builds responses that hedge, and looks for one that pays off.

    python -m benchmarks.grade --attack [--tries 200000] [--seed 0]     (or: make bench-grade ATTACK=1)

A try takes two different gold answers of one kind (a and b), builds a response from them (joins,
negations, corrections, afterthoughts, changed numbers, units, boxes, nested tags, other languages, and
combinations) and knows for which of the two it may be correct: the one that it commits to, or neither.
It is a find if the response is graded as correct for both, or for one that it does not commit to.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vlt.grade import grade

NAMES = (
    "Paris London Rome Oslo Berlin Madrid Vienna Lisbon cat dog horse red blue green square circle kite"
).split()
SURDS = (2, 3, 5, 6, 7, 10, 11, 13)
UNITS = (
    "cm",
    "m",
    "km",
    "kg",
    "g",
    "s",
    "min",
    "L",
    "mL",
    "mph",
    "cm^2",
    "m^3",
    "degrees",
    "N",
    "J",
)
OPTIONS = (
    ("12 cm", "15 cm", "18 cm", "21 cm"), ("red", "blue", "green", "white"),
    ("increasing", "decreasing", "constant", "increasing then decreasing"),
    ("P", "Q", "R", "S"), ("\\frac23", "\\frac15", "\\sqrt{2}", "\\pi"), ("Yes", "No", "Both", "Neither"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Find:
    """A response that was graded as correct for an answer that it does not commit to."""

    response: str
    golds: tuple[str, ...]
    """The gold answers that it was correct for."""
    built: str
    """The templates that made it, outermost first."""
    choices: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Built:
    """A text, which gold answers it may be correct for, and the templates that it is made from."""

    text: str
    may: frozenset[str]
    how: str
    computed: bool = False
    """Arithmetic on a, whose result may be b."""


# -- gold answers


def _integer(rng: random.Random) -> str:
    return str(rng.choice((rng.randint(2, 30), rng.randint(31, 2500), -rng.randint(2, 40))))


def _decimal(rng: random.Random) -> str:
    return f"{rng.randint(0, 60)}.{rng.randint(1, 9)}{rng.choice(('', '5', '7'))}"


def _fraction(rng: random.Random) -> str:
    bottom = rng.randint(2, 9)
    top = rng.choice([n for n in range(1, 10) if n % bottom])  # no whole number in disguise
    return rng.choice((f"{top}/{bottom}", f"\\frac{{{top}}}{{{bottom}}}"))


def _quantity(rng: random.Random) -> str:
    return f"{rng.randint(2, 60)} {rng.choice(UNITS)}"


KINDS: dict[str, Callable[[random.Random], str]] = {
    "integer": _integer,
    "decimal": _decimal,
    "fraction": _fraction,
    "surd": lambda rng: f"{rng.randint(2, 9)}\\sqrt{{{rng.choice(SURDS)}}}",
    "quantity": _quantity,
    "money": lambda rng: rng.choice("$€£") + str(rng.randint(1, 400)),
    "percent": lambda rng: f"{rng.randint(1, 99)}%",
    "text": lambda rng: rng.choice(NAMES),
    "yes_no": lambda rng: rng.choice(("yes", "no")),
    "letter": lambda rng: rng.choice("ABCD"),
    "pair": lambda rng: f"({rng.randint(-9, 9)}, {rng.randint(-9, 9)})",
    "equation": lambda rng: (
        f"{rng.choice('xy')} = {rng.choice((rng.randint(-9, -2), rng.randint(2, 20)))}"
    ),
    "formula": lambda rng: f"{rng.randint(2, 9)}{rng.choice('xyn')}+{rng.randint(2, 9)}",
    "code": lambda rng: rng.choice(
        ("C2H4", "C4H2", "D4", "4D", "N2O5", "N5O2", "H2O2", "3B", "B3")
    ),
    "range": lambda rng: f"{(low := rng.randint(1, 50))}-{low + rng.randint(1, 20)}",
    "year": lambda rng: rng.choice((str(rng.randint(1950, 2030)), f"{rng.randint(195, 202)}0s")),
    "date": lambda rng: f"{rng.randint(1, 12)}/{rng.randint(1, 28)}/{rng.randint(1990, 2025)}",
    "time": lambda rng: f"{rng.randint(1, 12)}:{rng.randint(10, 59)} {rng.choice(('AM', 'PM'))}",
}

# -- templates: {a} is the answer committed to or given first, {b} another answer

JOINS = (
    "{a} or {b}", "{a}, {b}", "{a} and {b}", "{a}/{b}", "{a}; {b}", "{a} | {b}", "{a}\n{b}", "{a} {b}",
    "either {a} or {b}", "{a} (or {b})", "{a} (or maybe {b})", "{a} (alternatively {b})", "{a}, maybe {b}",
    "{a} and/or {b}", "{a} vs {b}", "{a}, possibly {b}", "{a} & {b}", "both {a} and {b}", "{a}, or {b}",
    "\\boxed{{{a}}} or \\boxed{{{b}}}", "\\boxed{{{a}}} \\text{{ or }} \\boxed{{{b}}}",
    "\\boxed{{{a}}}, \\boxed{{{b}}}", "\\boxed{{{a}}} \\boxed{{{b}}}", "\\boxed{{{a}}}/\\boxed{{{b}}}",
    "\\boxed{{{a}}} and maybe \\boxed{{{b}}}", "\\boxed{{{a}}} with \\boxed{{{b}}}",
    "<answer>{a}</answer> or <answer>{b}</answer>", "<answer>{a}</answer><answer>{b}</answer>",
    "<answer>{a}</answer>\n<answer>{b}</answer>", "<answer>{a}<answer>{b}</answer></answer>",
    "<answer>{a} <answer>{b}", "The answer is {a}. The answer is {b}.", "Answer: {a}\nAnswer: {b}",
    "The answer is {a} or {b}.", "The answer could be {a} or {b}.", "{a} 或 {b}", "答案是{a}或{b}",
    "{a} oder {b}", "{a} o {b}", "{a} ou {b}", "{a}、{b}", "{a} to {b}", "between {a} and {b}",
    "{a} = {b}", "{a} ≈ {b}", "{a} → {b}", "1. {a}\n2. {b}", "- {a}\n- {b}", "{a} ({b})", "[{a}, {b}]",
    '{{"answer": "{a}", "alternative": "{b}"}}', '{{"answer": "{a}", "answer": "{b}"}}', "{a}? {b}?",
    "{a} or \\boxed{{{b}}}", "\\boxed{{{a}}} or {b}", "It is {a} or it is {b}", "{a} else {b}",
    "{a} if x > 0, {b} otherwise", "x = {a} or x = {b}", "{a} unless {b}", "neither {a} nor {b}",
)  # fmt: skip
NEGATIONS = (
    "not {a}", "It is not {a}", "anything but {a}", "{a} is wrong", "{a} is not the answer", "It isn't {a}",
    "The wrong answer is {a}", "The answer is not {a}.", "all except {a}", "non-{a}", "never {a}",
    "The previous answer is {a}.", "One incorrect answer is {a}.", "\\boxed{{{a}}} is wrong",
    "The answer is not \\boxed{{{a}}}", "不是{a}", "答案不是{a}", "unless {a}", "nicht {a}", "no es {a}",
    "opposite of {a}", "If x = 1 the answer is {a}, otherwise not.", "{a} cannot be right", "{a}, wrong",
)  # fmt: skip
CHANGES = (
    "twice {a}", "half of {a}", "Twice the answer is {a}", "more than {a}", "less than {a}", "at least {a}",
    "{a} or more", "{a} factorial", "{a} tenths", "{a} dozen", "{a} thousand", "{a}万", "{a} lakh",
    "{a} squared", "square root of {a}", "1 more than {a}", "One more than the answer is {a}", "{a} + 1",
    "{a} below zero", "{a} basis points", "{a} per mille", "{a} halves", "{a} mod 7", "{a}th", "{a}x",
    "The sum of AB and CD is {a}", "{a} and a half", "up to {a}", "{a} hundredths", "minus the square of {a}",
    "{a}^2", "\\sqrt{{{a}}}", "x^2 = {a}", "{a} gross", "{a} times 3", "{a} ± 1", "±{a}",
)  # fmt: skip
AFTERTHOUGHTS = (
    "{a} because the base is {b}", "{a} because x is {b}", "{a}\nThe base is {b}", "{a}. The base is {b}.",
    "{a} (the base is {b})", "{a} when x is {b}", "{a} where x is {b}", "{a}, which is more than {b}",
    "{a}\n\nExplanation: the other one is {b}", "{a} since {b} is too small", "{a} as the base is {b}",
    "{a}, not {b}", "{a} rather than {b}", "{a} The base is {b}", "{a} with {b} left",
    "Area: {a}\nThe base is {b}",
    "{a}\n\nNote: option C is {b}.", "The final result is {a} when the input is {b}", "{a} given {b}",
    "\\boxed{{{a}}} where the base is {b}", "<answer>{a}</answer> The base is {b}.",
    "The answer is {a}, because the base is {b}.", "The answer is {a}. The base is {b}.",
    "{a}\n\nQuestion: What comes next?\nAnswer: {b}", "{a}</s>{b}", "{a}<|im_end|>\n<|im_start|>user\n{b}",
    "{a}，因为底边是{b}", "Answer: {a}\n\nThe capital of France is {b}", "{a} # {b}", "{a} // {b}",
    "{a}\nAB is {b}", "The other is {b}. The answer is {a}.", "{b} is tempting, but the answer is {a}.",
    "The base is {b}, so the answer is {a}.", "{a} is right and {b} is wrong", "Since x is {b}, {a}",
)  # fmt: skip
CORRECTIONS = (
    "{b}. Wait, no, {a}", "The answer is {b}. Wait, the answer is {a}.", "{b}, no, {a}", "{b}, sorry, {a}",
    "\\boxed{{{b}}}. Checking again: \\boxed{{{a}}}", "<answer>{b}</answer> no, <answer>{a}</answer>",
    "{b}... actually {a}", "First {b}, then {a}", "{b}; I mean {a}", "The answer is {b}. No, it's {a}.",
)  # fmt: skip
WRAPPERS = (
    "{a}", "<answer>{a}</answer>", "\\boxed{{{a}}}", "The answer is {a}", "Answer: {a}", "答案：{a}",
    "<answer>\\boxed{{{a}}}</answer>", "**{a}**", "${a}$", "\\text{{{a}}}",
    "<think>{b}</think><answer>{a}</answer>",
    "<think>So {b}.</think>\nThe final answer is {a}.", '{{"answer": "{a}"}}', "```\n{a}\n```", "`{a}`",
    "The correct option is {a}.", "Therefore, {a}.", "<answer>The answer is {a}.</answer>",
    "La respuesta es {a}",
    "<|begin_of_box|>{a}<|end_of_box|>", "The value is {a}", "So it is {a}", "x = {a}", "故选{a}", "({a})",
)  # fmt: skip


OUTER = ("{a}", "<think>{b}</think>{a}", "Let me see.\n{a}", "{a}\n")
STRUCTURE = re.compile(
    r"<answer|boxed|box\|>|</s>|<\||<think|question:|answer\b|wait|sorry|i mean|actually|\bno, |\bthen\b"
    r"|答案|选"
    r"|respuesta|option is|```|\"|First",
    re.I,
)
"""Marks the position of an answer, so text around it is not part of the answer."""


def builds(a: str, b: str, rng: random.Random, depth: int = 0) -> Built:
    """A response built from two gold answers."""
    both, one, none = frozenset((a, b)), frozenset((a,)), frozenset[str]()
    kind = rng.choices(
        ("joins", "negations", "changes", "afterthoughts", "corrections"), (5, 2, 2, 4, 1)
    )[0]
    templates = {
        "joins": JOINS, "negations": NEGATIONS, "changes": CHANGES, "afterthoughts": AFTERTHOUGHTS,
        "corrections": CORRECTIONS,
    }[kind]  # fmt: skip
    template = rng.choice(templates)
    may = one if kind in ("afterthoughts", "corrections") else none
    first, second = a, b
    how = template
    if depth == 0 and kind in ("joins", "afterthoughts", "corrections") and rng.random() < 0.3:
        inner = builds(a, b, rng, 1)
        if not STRUCTURE.search(inner.text) and not STRUCTURE.search(template):
            how = f"{template} <- {inner.how}"
            if kind == "corrections":
                second = inner.text
            else:  # what follows an explanation is part of it
                first, may = inner.text, inner.may
    text = template.format(a=first, b=second)
    for _ in range(rng.choice((0, 1, 1, 2)) if depth == 0 else 0):
        wrapper = rng.choice(WRAPPERS)
        if STRUCTURE.search(text):  # nested tags have their own templates
            wrapper = rng.choice(OUTER)
        text, how = wrapper.format(a=text, b=b), f"{wrapper} <- {how}"
    return Built(text, may & both, how, kind == "changes" or template == "{a}/{b}")


def attempts(tries: int, seed: int) -> Iterator[tuple[Built, str, str, tuple[str, ...] | None]]:
    """(the response, a, b, choices) of every try."""
    rng = random.Random(seed)
    kinds = list(KINDS)
    for _ in range(tries):
        kind = rng.choice(kinds)
        a, b = KINDS[kind](rng), KINDS[kind](rng)
        choices = rng.choice((*OPTIONS, None)) if kind == "letter" else None
        if (
            grade(a, b, choices=choices).verdict != "wrong"
            or grade(b, a, choices=choices).verdict != "wrong"
        ):
            continue  # the same answer, or equal after rounding
        if re.sub(r"[^\d.]", "", a) == re.sub(r"[^\d.]", "", b) != "":
            continue  # $5 and €5: a bare 5 is correct for both
        if choices and rng.random() < 0.4:  # an option's text instead of its letter
            built = builds(a, choices["ABCD".index(b)], rng)
            if re.search(r"\bA \w", built.text) and "{a} {b}" in built.how:
                continue  # "A green": an article
        else:
            built = builds(a, b, rng)
        if not re.search(r"\n\d{1,2}\. ", built.text):  # reads as a numbered line
            yield built, a, b, choices


def search(tries: int, seed: int = 0) -> list[Find]:
    """What the adversary finds in this many tries."""
    finds = []
    for built, a, b, choices in attempts(tries, seed):
        right = tuple(
            gold
            for gold in ((a,) if built.computed else (a, b))
            if grade(built.text, gold, choices=choices).verdict == "correct"
        )
        if len(right) > 1 or (right and right[0] not in built.may):
            finds.append(Find(built.text, right, built.how, choices))
    return finds


def main(tries: int, seed: int) -> int:
    """Print the finds; returns 1 if there are any."""
    began = time.monotonic()
    finds = search(tries, seed)
    for find in finds[:50]:
        print(
            f"correct for {' and '.join(find.golds)}: {find.response!r}  [{find.built}] "
            f"{find.choices or ''}"
        )
    print(f"{tries:,} tries, {len(finds):,} finds, {time.monotonic() - began:.0f} s")
    return 1 if finds else 0
