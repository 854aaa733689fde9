"""Trees, and the tokens and names in expressions.

A tree is a tuple: ("n", Fraction) a number; ("v", name) a variable; ("c", "pi" | "e" | "i" |
"inf") a constant; ("+", (trees)); ("*", (trees)); ("^", base, exponent); ("root", degree, tree);
("f", name, (arguments)) a function.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

Tree = tuple[Any, ...]

MAX_DIGITS = 400

_TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d+)?|\.\d+)|(\\?[A-Za-z]+)|([πμΩ∞ħα-ωΑ-Ω△∠])|(\*\*|.))", re.S)
FUNCTIONS = frozenset(
    "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh ln log lg exp sqrt cbrt abs max "
    "min gcd lcm floor ceil".split()
)
ALIASES = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "lg": "log"}
INVERSES = {"sin": "arcsin", "cos": "arccos", "tan": "arctan"}
GREEK = frozenset(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda nu xi rho "
    "sigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi".split()
)
LETTER_NAMES = dict(zip("αβγδεζηθικλνξρστυφχψω", (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda nu xi rho sigma tau upsilon "
    "phi chi psi omega").split(), strict=True))  # fmt: skip
ENGLISH = frozenset(
    "or and not to in of is if by an no on as so it be do go we us the per but all any one two six "
    "ten are was for nor yes out off".split()
)  # never a product of letters
ACCENTS = frozenset("vec hat bar tilde dot overline overrightarrow widehat".split())


class NotUnderstood(Exception):
    """The text is not an expression of a known kind."""


def tokens_of(text: str) -> list[tuple[str, str, bool]]:
    """(kind, text, follows a space?) of every token; kinds are num, name and op."""
    found = []
    for match in _TOKEN.finditer(text):
        index = match.lastindex or 1
        if match.group(index).strip():
            kind = ("num", "name", "name", "op")[index - 1]
            found.append((kind, match.group(index), match.group()[:1].isspace()))
    return found


def times(a: Tree, b: Tree) -> Tree:
    """a * b; numbers are multiplied immediately."""
    if a[0] == "n" and b[0] == "n":
        return ("n", a[1] * b[1])
    return ("*", (a, b))


def inverse(a: Tree) -> Tree:
    """1 / a."""
    if a[0] == "n" and a[1] != 0:
        return ("n", 1 / a[1])
    return ("^", a, ("n", Fraction(-1)))


class Tokens:
    """A text's tokens and the current position."""

    def __init__(self, text: str):
        self.tokens = tokens_of(text)
        self.at = 0

    def peek(self, ahead: int = 0) -> str:
        """The text of the next token, "" at the end."""
        i = self.at + ahead
        return self.tokens[i][1] if i < len(self.tokens) else ""

    def kind(self, ahead: int = 0) -> str:
        """num, name, op, or "" at the end."""
        i = self.at + ahead
        return self.tokens[i][0] if i < len(self.tokens) else ""

    def spaced(self) -> bool:
        """Whether there is a space before the next token."""
        return self.at < len(self.tokens) and self.tokens[self.at][2]

    def take(self, expected: str | None = None) -> str:
        """Consume the next token; raises NotUnderstood if it is not `expected`."""
        if self.at >= len(self.tokens) or (expected is not None and self.peek() != expected):
            raise NotUnderstood
        self.at += 1
        return self.tokens[self.at - 1][1]


def mixed_part(tokens: list[tuple[str, str, bool]], at: int) -> tuple[Fraction, int]:
    """The fraction of a mixed number ("1/2" in "3 1/2" and "3\\frac{1}{2}") and its number of tokens.

    0 and 0 if the whole number before `at` is not followed by a proper fraction.
    """
    shapes = (
        ((None, "/", None), 0, 2),
        (("\\frac", "{", None, "}", "{", None, "}"), 2, 5),
        (("\\frac", None), 1, 1),  # \frac12
    )
    for shape, top, bottom in shapes:
        got = tokens[at : at + len(shape)]
        fits = len(got) == len(shape) and all(
            t[1] == want if want is not None else (t[0] == "num" and t[1].isdigit())
            for t, want in zip(got, shape, strict=True)
        )
        if not fits or (top == 0 and not got[0][2]):
            continue
        digits = got[top][1]
        if top == bottom:
            if len(digits) != 2:
                continue
            pair = (int(digits[0]), int(digits[1]))
        else:
            pair = (int(digits[:MAX_DIGITS]), int(got[bottom][1][:MAX_DIGITS]))
        if pair[1] == 0:
            raise NotUnderstood
        return (Fraction(*pair), len(shape)) if pair[0] < pair[1] else (Fraction(0), 0)
    return Fraction(0), 0
