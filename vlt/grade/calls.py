"""Functions in expressions: sin 2x, \\log_2 8, max(a, b). Part of the parser in `expression`."""

from __future__ import annotations

from fractions import Fraction

from vlt.grade.tokens import FUNCTIONS, INVERSES, NotUnderstood, Tokens, Tree

MAX_DEPTH = 40


class Calls(Tokens):
    """How a function and its arguments are read."""

    depth: int

    def sum(self) -> Tree:
        """See `expression`."""
        raise NotImplementedError

    def power(self) -> Tree:
        """See `expression`."""
        raise NotImplementedError

    def exponent(self) -> Tree:
        """See `expression`."""
        raise NotImplementedError

    def argument(self, *, digit: bool = False) -> Tree:
        """See `expression`."""
        raise NotImplementedError

    def starts_factor(self) -> bool:
        """See `expression`."""
        raise NotImplementedError

    def function(self, name: str) -> Tree:
        power: Tree | None = None
        base: Tree | None = None
        while self.peek() in ("^", "_"):
            if self.take() == "_":
                base = self.argument()
            else:
                power = self.exponent_of_function()
        if power == ("n", Fraction(-1)) and name in INVERSES:
            name, power = INVERSES[name], None
        arguments = self.arguments()
        if name == "log" and base is not None:
            arguments = (*arguments, base)
        if name == "exp":
            tree: Tree = ("^", ("c", "e"), arguments[0])
        elif name == "log" and len(arguments) == 2 and arguments[1] == ("c", "e"):
            tree = ("f", "ln", arguments[:1])
        else:
            tree = ("f", name, arguments)
        return tree if power is None else ("^", tree, power)

    def exponent_of_function(self) -> Tree:
        return self.exponent() if self.peek() == "-" else self.argument()

    def arguments(self) -> tuple[Tree, ...]:
        """`(x, y)`, or without brackets the factors up to the next sign: sin 2x is sin(2x)."""
        if self.peek() in ("(", "{", "["):
            closing = {"(": ")", "{": "}", "[": "]"}[self.take()]
            trees = [self.sum()]
            while self.peek() == ",":
                self.take()
                trees.append(self.sum())
            self.take(closing)
            return tuple(trees)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise NotUnderstood
        factors = [self.power()]
        while self.starts_factor() and self.peek().lstrip("\\") not in FUNCTIONS:
            factors.append(self.power())
        self.depth -= 1
        return (factors[0] if len(factors) == 1 else ("*", tuple(factors)),)
