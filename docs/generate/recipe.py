"""The keys of a recipe, from the fields of the objects that they become."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, is_dataclass
from typing import Annotated, Any, get_args, get_origin

from docs.generate.markdown import NOTE, code, prose, table, type_name
from docs.generate.names import default_of
from vlt.fields import Documented
from vlt.runs.fields import Recipe
from vlt.runs.keys import is_part, keys_of
from vlt.train.method import BUILT_IN, find_method
from vlt.train.settings import Training


def page() -> str:
    """The whole reference."""
    text = f"{NOTE}# Recipe keys\n\n"
    text += (
        "A recipe is a mapping of these keys. All of a round's keys may also stand at the top level, "
        "where they hold for every round. See [Recipes, rounds and arms](../recipes.md) for what "
        "happens where a key is left out.\n"
    )
    for kind in parts():
        text += f"\n## {kind.__name__}\n\n{_intro(kind)}\n\n"
        base = inherited(kind)
        known = list(keys(base)) if base else []
        rows = [(code(key[0]), *key[1:]) for key in keys(kind) if key not in known]
        text += table(("key", "type", "default", ""), rows)
    return text


def parts(root: Any = Recipe) -> list[Any]:
    """The recipe's class and every class that a key of it holds, each once, outermost first."""
    found: list[Any] = []
    waiting = [root]
    while waiting:
        kind = waiting.pop(0)
        if kind not in found:
            found.append(kind)
            waiting += [c for key in keys_of(kind) for c in _classes(key.type)]
    trainings = [find_method(name).training for name in BUILT_IN]
    return [*found, *(kind for kind in dict.fromkeys(trainings) if kind not in found)]


def inherited(kind: Any) -> Any | None:
    """The part that this one adds to, whose keys it has as well."""
    if not is_dataclass(kind):
        return None
    return next((base for base in kind.__mro__[1:] if base in parts() and is_dataclass(base)), None)


def keys(kind: Any) -> Iterator[tuple[str, str, str, str]]:
    """(key, type, default, text) of each key of a part."""
    for key in keys_of(kind):
        if key.name == "phases":
            for method in sorted(set(BUILT_IN) - {"sft", "grpo"}):
                about = (
                    find_method(method).about + " A list of `{train: ...}`, between SFT and GRPO."
                )
                yield method, "list of trainings", "", about
            continue
        yield key.name, _type(key.type), _default(key), prose(key.doc)


def _default(key: Documented) -> str:
    """What holds where a recipe does not say the key."""
    if key.default is MISSING and not key.required:
        return ""
    return "its defaults" if is_part(type(key.default)) else default_of(key)


def _intro(kind: Any) -> str:
    lines = (kind.__doc__ or "").strip().split("\n\n")
    first = prose(" ".join(lines[0].split()))
    if issubclass(kind, Training):
        first += " `settings` holds fields of TRL's config, by their names there."
    if base := inherited(kind):
        first += f" It has the keys of [{base.__name__}](#{base.__name__.lower()}), and:"
    return first


def _type(hint: Any) -> str:
    """Its type, with a link where a section of this page describes it."""
    name = type_name(hint)
    for kind in _classes(hint):
        name = name.replace(kind.__name__, f"[{kind.__name__}](#{kind.__name__.lower()})")
    return name.replace("|", "\\|") if "](" in name else prose(name)


def _classes(hint: Any) -> list[Any]:
    """The parts of a recipe that a type names."""
    origin = get_origin(hint)
    if origin is Annotated:
        return _classes(get_args(hint)[0])
    if origin:
        return [c for a in get_args(hint) for c in _classes(a)]
    if is_part(hint):
        known = hint.__module__.startswith("vlt.") and hint.__name__ not in ("Prompt", "Plugin")
        return [hint] if known and hint.__name__ != "MethodPhase" else []
    return []
