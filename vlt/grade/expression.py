"""Parse an expression, LaTeX or plain, into a small tree. Nothing is evaluated or executed; length
and depth are bounded, and unknown syntax gives None.

See `tokens` for the form of a tree.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

from vlt.grade.calls import Calls
from vlt.grade.tokens import (
    ACCENTS,
    ALIASES,
    ENGLISH,
    FUNCTIONS,
    GREEK,
    LETTER_NAMES,
    MAX_DIGITS,
    NotUnderstood,
    Tree,
    inverse,
    mixed_part,
    times,
)

MAX_LENGTH = 1000
MAX_DEPTH = 40

_PI: Tree = ("c", "pi")
_MINUS: Tree = ("n", Fraction(-1))


@lru_cache(maxsize=4096)
def parse(text: str) -> Tree | None:
    """The tree of a cleaned text, or None."""
    if len(text) > MAX_LENGTH:
        return None
    try:
        return _Parser(text).whole()
    except (NotUnderstood, RecursionError):
        return None


def _product(factors: list[Tree]) -> Tree:
    return factors[0] if len(factors) == 1 else ("*", tuple(factors))


class _Parser(Calls):
    """Recursive descent over tokens, with limited depth."""

    def __init__(self, text: str):
        super().__init__(text)
        self.depth = 0
        self.bars = 0  # how many |...| are open

    # -- grammar

    def whole(self) -> Tree:
        tree = self.sum()
        if self.at != len(self.tokens):
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
            terms.append(times(_MINUS, term) if minus else term)
        self.depth -= 1
        return terms[0] if len(terms) == 1 else ("+", tuple(terms))

    def product(self) -> Tree:
        sign = False
        while self.peek() in ("+", "-"):
            sign ^= self.take() == "-"
        factors = [self.power()]
        while True:
            token = self.peek()
            if token == "mod":
                self.take()
                factors = [("f", "mod", (_product(factors), self.power()))]
            elif token in ("*", "/"):
                self.take()
                flip = False
                while self.peek() in ("+", "-"):
                    flip ^= self.take() == "-"
                factor = self.power()
                factors.append(inverse(factor) if token == "/" else factor)
                if flip:
                    factors.append(_MINUS)
            elif self.starts_factor():
                factors.append(self.power())
            else:
                break
        if sign:
            factors[:1] = [times(_MINUS, factors[0])]
        return _product(factors)

    def starts_factor(self) -> bool:
        """Whether another factor follows without a sign."""
        if self.peek() == "mod":
            return False
        if self.kind() == "num":
            # "2 3" is not a product; "x 3" and "\sqrt{2} 3" are
            before = self.peek(-1)
            if (
                self.kind(-1) == "name"
                and before.isascii()
                and before.isalpha()
                and before != "i"
                and not self.spaced()
            ):
                raise NotUnderstood  # H2O, D4: a code, not a product
            return self.kind(-1) != "num" and (len(before) == 1 or before[:1] == "\\")
        token = self.peek()
        return (
            self.kind() == "name"
            or token in ("(", "{", "[")
            or (token == "|" and not self.bars and not (self.spaced() and self.kind(-1) == "num"))
        )

    def power(self) -> Tree:
        base = self.atom()
        while True:
            token = self.peek()
            if token == "!":
                self.take()
                base = ("f", "factorial", (base,))
            elif token == "%":
                self.take()
                base = times(base, ("n", Fraction(1, 100)))
            elif token == "°":  # only sin 60° gets here: other degrees are units, removed before
                self.take()
                base = ("*", (base, _PI, ("n", Fraction(1, 180))))
            elif token in ("^", "**"):
                self.take()
                return ("^", base, self.exponent())
            else:
                return base

    def exponent(self) -> Tree:
        """What follows ^: a group, a signed number or letter, or another power."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise NotUnderstood
        minus = False
        while self.peek() in ("-", "+"):
            minus ^= self.take() == "-"
        tree = self.power()
        self.depth -= 1
        return times(_MINUS, tree) if minus else tree

    def atom(self) -> Tree:
        kind, token = self.kind(), self.peek()
        if kind == "num":
            return self.number()
        if kind == "name":
            return self.name()
        for opening, closing in (("(", ")"), ("{", "}"), ("[", "]")):
            if token == opening:
                self.take()
                tree = self.sum()
                self.take(closing)
                return tree
        if token == "|":
            self.take()
            self.bars += 1
            tree = self.sum()
            self.bars -= 1
            self.take("|")
            return ("f", "abs", (tree,))
        raise NotUnderstood

    def number(self) -> Tree:
        token = self.take()
        if len(token) > MAX_DIGITS:
            raise NotUnderstood
        value = Fraction(token)
        if "." not in token:
            part, length = mixed_part(self.tokens, self.at)
            value += part
            self.at += length
        return ("n", value)

    def name(self) -> Tree:
        token = self.take()
        bare = token.lstrip("\\")
        bare = ALIASES.get(bare, bare)
        if token == "\\frac":
            top = self.argument(digit=True)
            return times(top, inverse(self.argument(digit=True)))
        if token in ("\\binom", "\\dbinom", "\\tbinom"):
            return ("f", "binomial", (self.argument(digit=True), self.argument(digit=True)))
        if bare == "sqrt":
            degree: Tree = ("n", Fraction(2))
            if self.peek() == "[" and token[0] == "\\":
                self.take()
                degree = self.sum()
                self.take("]")
            return ("root", degree, self.argument())
        if bare == "cbrt":
            return ("root", ("n", Fraction(3)), self.argument())
        if bare in FUNCTIONS:
            return self.function(bare)
        if token in ("π", "\\pi", "pi", "Pi"):
            return _PI
        if token == "∞" or bare in ("inf", "infinity", "Infinity"):
            return ("c", "inf")
        if bare in ("e", "i"):
            return ("c", bare)
        if token in LETTER_NAMES:
            return self.variable(LETTER_NAMES[token])
        if bare in GREEK:
            return self.variable(bare)
        if token[0] == "\\":
            if bare in ACCENTS:
                inner = self.argument()
                if inner[0] == "v":
                    return ("v", f"{bare}:{inner[1]}")
            raise NotUnderstood
        if len(bare) == 1:
            return self.variable(bare)
        if bare.isupper() and len(bare) <= 4 and bare.lower() not in ENGLISH:
            # AB is a segment, not a product, and the same as BA
            return self.variable("".join(sorted(bare)) if len(bare) == 2 else bare)
        if bare.startswith("sqrt") or bare.startswith("pi"):
            raise NotUnderstood
        if (
            len(bare) <= 3
            and bare.islower()
            and bare not in ENGLISH
            and self.peek() not in ("(", "_")
        ):
            if self.peek() in ("^", "**"):  # in mc^2 only c is squared
                self.at -= 1
                self.tokens[self.at : self.at + 1] = [("name", c, False) for c in bare]
                return self.name()
            return ("*", tuple(("c", c) if c in "ei" else ("v", c) for c in bare))
        raise NotUnderstood

    def variable(self, name: str) -> Tree:
        if self.peek() == "_":
            self.take()
            if self.peek() == "{":
                self.take()
                parts = []
                while self.peek() not in ("}", ""):
                    parts.append(self.take())
                self.take("}")
                name += "_" + "".join(parts)
            else:
                name += "_" + self.take()
        while self.peek() == "'":
            self.take()
            name += "'"
        if name.rstrip("'") in ("f", "g", "h") and self.peek() == "(":
            self.take()
            inner = self.sum()
            self.take(")")
            return ("f", "call:" + name, (inner,))
        return ("v", name)

    def argument(self, *, digit: bool = False) -> Tree:
        """A braced argument, or a number or letter without braces; `digit` as in \\frac12."""
        if self.peek() in ("{", "("):
            return self.atom()
        if self.kind() == "num":
            kind, token, spaced = self.tokens[self.at]
            if digit and len(token) > 1 and "." not in token:
                self.tokens[self.at : self.at + 1] = [
                    (kind, token[0], spaced),
                    (kind, token[1:], False),
                ]
            return ("n", Fraction(self.take()))
        if self.kind() == "name":
            return self.name()
        raise NotUnderstood
