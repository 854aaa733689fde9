"""The small language that MathRuler passes to sympy, parsed without evaluating anything.

Python's arithmetic over single letters with implied products: `2x(x+1)`, `sqrt(2)`, `3!`. At most
two different letters count (words are not parsed, but "no" is n times o). LaTeX is first turned
into plain text, as pylatexenc does it, for the commands that occur in answers.
"""

from __future__ import annotations

import re
from fractions import Fraction

from vlt.grade.tokens import NotUnderstood, Tree, inverse, times

MAX_DEPTH = 40
_LETTER_LIMIT = 2
_NAMES = {
    "pi": "π", "infty": "∞", "cdot": "·", "times": "×", "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥",
    "neq": "≠", "ne": "≠", "pm": "±", "mp": "∓", "circ": "∘", "cup": "∪", "cap": "∩", "in": "∈",
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "theta": "θ", "lambda": "λ", "mu": "μ",
    "phi": "ϕ", "omega": "ω", "sigma": "σ", "angle": "∠", "emptyset": "∅", "ldots": "…", "div": "÷",
    "sum": "∑", "to": "→", "rho": "ρ", "tau": "τ", "epsilon": "ϵ", "degree": "°", "Delta": "Δ",
    "approx": "≈", "triangle": "△", "lvert": "|", "rvert": "|", "vert": "|", "mid": "|",
    "Omega": "Ω", "varnothing": "∅", "psi": "ψ", "chi": "χ", "eta": "η", "kappa": "κ", "nu": "ν",
    "xi": "ξ", "zeta": "ζ", "Phi": "Φ", "Sigma": "Σ", "Theta": "Θ", "Lambda": "Λ", "perp": "⟂",
    "parallel": "∥", "subset": "⊂", "subseteq": "⊆", "forall": "∀", "exists": "∃", "cong": "≅",
    "sim": "∼", "equiv": "≡", "langle": "⟨", "rangle": "⟩", "cdots": "⋯", "dots": "…", "prime": "′",
}  # fmt: skip
_FUNCTION_NAMES = frozenset(
    "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh ln log exp max min gcd det lim".split()
)
_COMMAND = re.compile(r"\\([A-Za-z]+)[ ]*|\\(.)", re.S)
_ENVIRONMENT = re.compile(r"\\begin\{[a-z]*matrix\}(.*?)\\end\{[a-z]*matrix\}", re.S)


def to_plain(latex: str) -> str:
    """LaTeX as plain text, in the characters that MathRuler works with."""
    latex = latex.replace("\\tfrac", "\\frac").replace("\\dfrac", "\\frac")
    latex = latex.replace("\\frac", " \\frac")
    latex = _ENVIRONMENT.sub(_matrix, latex)
    try:
        text, _ = _text(latex, 0, 0)
    except NotUnderstood:
        return latex.strip()
    for old, new in (("√", "sqrt"), ("π", "pi"), ("∞", "inf"), ("∪", "U"), ("·", "*"), ("×", "*")):
        text = text.replace(old, new)
    return text.strip()


def _matrix(match: re.Match[str]) -> str:
    rows = [row.split("&") for row in match.group(1).split("\\\\")]
    return "[ " + "; ".join(" ".join(cell.strip() for cell in row) for row in rows) + " ]"


def _text(latex: str, at: int, depth: int) -> tuple[str, int]:
    """The text of a group that begins at `at`, and where it ends."""
    if depth > MAX_DEPTH:
        raise NotUnderstood
    out: list[str] = []
    while at < len(latex):
        c = latex[at]
        if c == "}":
            at += 1
            if depth:
                return "".join(out), at
        elif c == "{":
            piece, at = _text(latex, at + 1, depth + 1)
            out.append(piece)
        elif c == "$":
            at += 1
        elif c == "\\":
            piece, at = _command(latex, at, depth)
            out.append(piece)
        else:
            out.append("\xa0" if c == "~" else c)
            at += 1
    return "".join(out), at


def _command(latex: str, at: int, depth: int) -> tuple[str, int]:
    match = _COMMAND.match(latex, at)
    if match is None:
        return "", at + 1
    name, sign = match.groups()
    at = match.end()
    if sign is not None:
        return {",": " ", ";": " ", ":": " ", " ": " ", "!": "", "\\": "\n", "(": "", ")": ""}.get(
            sign, sign
        ), at
    if name == "frac":
        top, at = _argument(latex, at, depth)
        bottom, at = _argument(latex, at, depth)
        return f"{top}/{bottom}", at
    if name == "sqrt":
        if latex[at : at + 1] == "[":
            at = latex.find("]", at) + 1 or len(latex)
        inner, at = _argument(latex, at, depth)
        return f"√({inner})", at
    if name == "mathbf":
        inner, at = _argument(latex, at, depth)
        return "".join(_bold(c) for c in inner), at
    if name in ("quad", "qquad"):
        return "  ", at
    if name in _FUNCTION_NAMES:
        return name, at
    return _NAMES.get(name, ""), at


def _bold(c: str) -> str:
    if "A" <= c <= "Z":
        return chr(0x1D400 + ord(c) - ord("A"))
    return chr(0x1D41A + ord(c) - ord("a")) if "a" <= c <= "z" else c


def _argument(latex: str, at: int, depth: int) -> tuple[str, int]:
    while latex[at : at + 1] == " ":
        at += 1
    if at >= len(latex):
        return "", at
    if latex[at] == "{":
        return _text(latex, at + 1, depth + 1)
    if latex[at] == "\\":
        if depth > MAX_DEPTH:
            raise NotUnderstood
        return _command(latex, at, depth + 1)
    return latex[at], at + 1


def difference_is_parsable(truth: str, given: str) -> bool:
    """MathRuler's own gate: few letters, and no power of more than one digit."""
    text = f"({truth})-({given})"
    letters = {c for c in text.replace("sqrt", "").replace("frac", "") if c.isalpha()}
    if len(letters) > _LETTER_LIMIT or "^{" in text or "^(" in text:
        return False
    return not re.search(r"\^[0-9]+\^|\^[0-9][0-9]+", text)


def parse_difference(truth: str, given: str) -> tuple[Tree, Tree] | None:
    """The trees of both, or None if one is not an expression."""
    try:
        return _Parser(truth).whole(), _Parser(given).whole()
    except (NotUnderstood, RecursionError):
        return None


_TOKEN = re.compile(
    r"([0-9]+\.?[0-9]*(?:e[+-]?[0-9]+)?|\.[0-9]+(?:e[+-]?[0-9]+)?)|([^\W\d_]+)|(\*\*|[-+*/^()!])",
    re.I,
)
_GREEK = frozenset("mu nu xi".split())
_KEYWORDS = frozenset("is in or if as and not for def del try".split())


class _Parser:
    """Sums of products of powers; adjacent factors are an implied product."""

    def __init__(self, text: str):
        self.tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise NotUnderstood
            kind = ("number", "word", "sign")[(match.lastindex or 1) - 1]
            self.tokens += (
                [("word", w) for w in _letters(match.group(), text[match.end() : match.end() + 1])]
                if kind == "word"
                else [(kind, match.group())]
            )
            at = match.end()
        self.at = 0
        self.depth = 0
        self.inexact = 0  # inside a root or exponent, where sympy turns decimals into floats

    def peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        if self.at >= len(self.tokens):
            raise NotUnderstood
        self.at += 1
        return self.tokens[self.at - 1][1]

    def whole(self) -> Tree:
        tree = self.sum()
        if self.at < len(self.tokens):
            raise NotUnderstood
        return tree

    def sum(self) -> Tree:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise NotUnderstood
        terms = [self.product()]
        while self.peek() in ("+", "-"):
            minus = self.take() == "-"
            term = self.product()
            terms.append(times(("n", Fraction(-1)), term) if minus else term)
        self.depth -= 1
        return terms[0] if len(terms) == 1 else ("+", tuple(terms))

    def product(self) -> Tree:
        if self.peek() in ("+", "-"):
            minus = self.take() == "-"
            tree = self.product()
            return times(("n", Fraction(-1)), tree) if minus else tree
        factors = [self.power()]
        while self.at < len(self.tokens):
            kind, token = self.tokens[self.at]
            if token in ("*", "/"):
                self.take()
                minus = False
                while self.peek() in ("+", "-"):
                    minus ^= self.take() == "-"
                factor = self.power()
                factors.append(inverse(factor) if token == "/" else factor)
                if minus:
                    factors.append(("n", Fraction(-1)))
            elif token == "(" or kind in ("word", "number"):
                factors.append(self.power())
            else:
                break
        return factors[0] if len(factors) == 1 else ("*", tuple(factors))

    def power(self) -> Tree:
        base = self.atom()
        while self.peek() == "!":
            self.take()
            base = ("f", "factorial", (base,))
        if self.peek() in ("^", "**"):
            self.take()
            minus = False
            while self.peek() in ("+", "-"):
                minus ^= self.take() == "-"
            self.inexact += 1
            exponent = self.power()
            self.inexact -= 1
            return ("^", base, times(("n", Fraction(-1)), exponent) if minus else exponent)
        return base

    def atom(self) -> Tree:
        kind, token = self.tokens[self.at] if self.at < len(self.tokens) else ("", "")
        self.take()
        if kind == "number":
            exponent = re.search(r"e[+-]?(\d+)$", token, re.I)
            if len(token) > 1000 or (exponent and int(exponent.group(1)) > 300):
                raise NotUnderstood
            if re.fullmatch(r"0\d*[1-9]\d*", token):
                raise NotUnderstood  # Python takes no leading zeros
            if self.inexact and "." in token:
                raise NotUnderstood  # a float there equals nothing exact
            return ("n", Fraction(token.rstrip(".") if token.endswith(".") else token))
        if token == "(":
            tree = self.sum()
            if self.take() != ")":
                raise NotUnderstood
            return tree
        if kind != "word":
            raise NotUnderstood
        if token == "pi":
            return ("c", "pi")
        if token in ("sqrt", "ln"):
            if self.peek() != "(":
                raise NotUnderstood
            self.inexact += 1
            inner = self.atom()
            self.inexact -= 1
            return ("root", ("n", Fraction(2)), inner) if token == "sqrt" else ("f", "ln", (inner,))
        return ("v", token)


def _letters(word: str, after: str) -> list[str]:
    """A word as sympy splits it: known names stay whole unless a digit follows ("pi4")."""
    if word in _KEYWORDS:
        raise NotUnderstood
    if not after.isdigit() and (word in ("sqrt", "pi", "ln") or word in _GREEK):
        return [word]
    return list(word)
