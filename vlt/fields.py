"""Settings are frozen dataclasses; each field is documented once, by the text under it.

    @dataclass(frozen=True)
    class Draw:
        k: Annotated[int, Ge(1), Option("-k")] = 1
        '''Samples of each row.'''

The text is the option's help on the command line (vlt/cli/derived.py), the recipe key's line in the
reference, and the documentation in the class. Bounds are those of `annotated_types`, enforced by pydantic
in recipes and by `check` everywhere else.
"""

from __future__ import annotations

import ast
import functools
import sys
import types
from dataclasses import MISSING, Field, dataclass, fields
from inspect import cleandoc
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le

from vlt.errors import UsageError

FORBID: Any = {"extra": "forbid"}
"""For `__pydantic_config__`: unknown keys in a recipe are rejected."""


@dataclass(frozen=True)
class Option:
    """A field's option on the command line, if it does not follow from the field's name."""

    name: str = ""
    """-k, --as; else --the-field's-name."""
    metavar: str | None = None
    hidden: bool = False
    """Not an option: set only from Python and recipes."""


@dataclass(frozen=True)
class Written:
    """Other forms that a recipe may use for a value: for the schema, not for validation."""

    kinds: tuple[str, ...] = ()
    """JSON types: string, boolean, null."""
    one: bool = False
    """A list with one element may be written without brackets."""
    optional: bool = False
    """It may be left out, although the field has no default."""


@dataclass(frozen=True)
class Documented:
    """A field with its documentation."""

    name: str
    type: Any
    """The type without Annotated."""
    doc: str
    default: Any
    """MISSING if it must be given."""
    bounds: tuple[Any, ...] = ()
    """Instances of Ge, Gt and Le."""
    option: Option = Option()
    written: Written = Written()

    @property
    def required(self) -> bool:
        """Whether a recipe must set it."""
        return self.default is MISSING and not self.written.optional

    @property
    def plain(self) -> Any:
        """The type without `| None`; other unions are unchanged."""
        if get_origin(self.type) in (Union, types.UnionType):
            kinds = [k for k in get_args(self.type) if k is not type(None)]
            return kinds[0] if len(kinds) == 1 else self.type
        return self.type

    def bound(self, kind: type) -> Any:
        """The value of a bound, or None."""
        names = {Ge: "ge", Gt: "gt", Le: "le"}
        return next((getattr(b, names[kind]) for b in self.bounds if type(b) is kind), None)


@functools.cache
def documented(cls: Any) -> tuple[Documented, ...]:
    """The fields of a dataclass that its constructor takes, in their order."""
    hints, docs = get_type_hints(cls, include_extras=True), texts(cls)
    return tuple(_documented(f, hints[f.name], docs.get(f.name, "")) for f in fields(cls) if f.init)


def texts(cls: Any) -> dict[str, str]:
    """Field -> the text under it, for any class, including inherited fields."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        found.update(_docs_of(base.__module__).get(base.__qualname__, {}))
    return found


def check(settings: Any) -> None:
    """Raises UsageError for a value outside its field's bounds; for __post_init__."""
    cls: Any = type(settings)
    for f in documented(cls):
        value = getattr(settings, f.name)
        if not f.bounds or isinstance(value, bool) or not isinstance(value, int | float):
            continue
        low, above, high = f.bound(Ge), f.bound(Gt), f.bound(Le)
        if (
            (low is not None and value < low)
            or (above is not None and value <= above)
            or (high is not None and value > high)
        ):
            parts = [
                f"at least {low:g}" if low is not None else "",
                f"above {above:g}" if above is not None else "",
                f"at most {high:g}" if high is not None else "",
            ]
            raise UsageError(f"{f.name} = {value}: give {' and '.join(p for p in parts if p)}")


def _documented(f: Field[Any], hint: Any, doc: str) -> Documented:
    kind: Any = hint
    extras: tuple[Any, ...] = ()
    if get_origin(hint) is Annotated:
        kind, *rest = get_args(hint)
        extras = tuple(rest)
    default = f.default_factory() if f.default_factory is not MISSING else f.default
    option = next((e for e in extras if isinstance(e, Option)), Option())
    bounds = tuple(e for e in extras if isinstance(e, Ge | Gt | Le))
    written = next((e for e in extras if isinstance(e, Written)), Written())
    return Documented(f.name, kind, doc, default, bounds, option, written)


@functools.cache
def _docs_of(module: str) -> dict[str, dict[str, str]]:
    """class -> field -> the text under it, read from the module's source."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if not file or not file.endswith(".py"):
        return {}
    found: dict[str, dict[str, str]] = {}
    for node in ast.walk(ast.parse(Path(file).read_text("utf-8"))):
        if isinstance(node, ast.ClassDef):
            found[node.name] = {
                line.target.id: cleandoc(text.value.value)
                for line, text in zip(node.body, node.body[1:], strict=False)
                if isinstance(line, ast.AnnAssign)
                and isinstance(line.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
                and isinstance(text.value.value, str)
            }
    return found
