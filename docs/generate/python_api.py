"""The Python names of `import vlt`, from their docstrings and signatures."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import is_dataclass
from typing import Any

import vlt
from docs.generate.markdown import NOTE, code, prose, table, type_name
from docs.generate.names import default_of
from vlt.fields import documented, texts

ORDER = (
    *("Workspace", "Dataset", "load", "Model", "Prompt", "Asking", "Import"),
    *("filter", "reward", "grade", "Grade", "UserError", "UsageError"),
)

LISTED = {
    "Workspace": ("datasets", "open", "versions"),
    "Dataset": None,
}
"""Classes whose methods are for users -> those of a base class that are, too; None: all of them."""


def names() -> list[str]:
    """The public names, in the order in which a reader needs them; new ones last."""
    public = [name for name in vlt.__all__ if not name.startswith("__")]
    return sorted(public, key=lambda n: (ORDER.index(n) if n in ORDER else len(ORDER), n))


def page() -> str:
    """The whole reference."""
    text = f"{NOTE}# Python API\n\nWhat `import vlt` gives. [From Python](../python.md) shows it in use.\n"
    for name in names():
        found = public(name)
        text += f"\n## vlt.{name}\n\n"
        fielded = (is_dataclass(found) and name != "Dataset") or name == "Grade"
        text += ("" if fielded else _signature(name, found)) + docstring(found) + "\n"
        if name == "Grade":
            said = texts(found)
            text += table(("field", ""), [(code(f), prose(said[f])) for f in found._fields])
        elif fielded:
            rows = [
                (code(f.name), prose(type_name(f.type)), default_of(f), prose(f.doc))
                for f in documented(found)
                if not f.name.startswith("_")
            ]
            text += "\n" + table(("field", "type", "default", ""), rows)
        if name in LISTED:
            for method, member in members(found, LISTED[name]):
                text += (
                    f"\n### {name}.{method}\n\n{_signature(method, member)}{docstring(member)}\n"
                )
    return text


def public(name: str) -> Any:
    """What the name stands for; of vlt.grade the function, which the package can be called as."""
    if name == "grade":
        from vlt.grade import grade

        return grade
    return getattr(vlt, name)


def members(kind: Any, more: Sequence[str] | None) -> Iterator[tuple[str, Any]]:
    """Public methods and properties of a class, its own first, then `more` of its bases (None: all)."""
    seen = set()
    for base in kind.__mro__:
        if not base.__module__.startswith("vlt."):
            continue
        wanted = None if base is kind else more
        for name, member in vars(base).items():
            if name.startswith("_") or name in seen or (wanted is not None and name not in wanted):
                continue
            seen.add(name)
            raw = member.__func__ if isinstance(member, classmethod | staticmethod) else member
            if inspect.isfunction(raw) or isinstance(raw, property):
                yield name, raw


def docstring(found: Any) -> str:
    """A docstring as Markdown: paragraphs, indented code, and `Args:` as a list."""
    text = inspect.cleandoc(found.__doc__ or "")
    out, argued = [], False
    for block in re.split(r"\n\s*\n", text):
        if block.startswith("Args:\n"):
            argued = True
            block = block.split("\n", 1)[1]
            items = re.split(r"\n(?=    \w+:)", block)
            pairs = [item.strip().partition(":") for item in items]
            out.append("\n".join(f"* {code(n)}: {prose(' '.join(t.split()))}" for n, _, t in pairs))
        elif block.startswith("    "):
            out.append("```python\n" + inspect.cleandoc(block) + "\n```")
        else:
            out.append(prose(block))
    assert argued or text, f"{found} has no docstring"
    return "\n\n".join(out) + "\n"


def _signature(name: str, found: Any) -> str:
    if isinstance(found, property) or (inspect.isclass(found) and issubclass(found, Exception)):
        return ""
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return ""
    shown: list[str] = []
    for parameter in signature.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not any(s.startswith("*") for s in shown):
            shown.append("*")
        shown.append(_parameter(parameter))
    arguments = ", ".join(shown)
    if len(arguments) > 70:
        arguments = "\n    " + ",\n    ".join(shown) + ",\n"
    result = signature.return_annotation
    back = "" if result in (inspect.Signature.empty, None, "None") else f" -> {_annotation(result)}"
    return f"```python\n{name}({arguments}){back}\n```\n\n"


def _parameter(parameter: inspect.Parameter) -> str:
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    said = stars + parameter.name
    if parameter.annotation is not parameter.empty:
        said += f": {_annotation(parameter.annotation)}"
    if parameter.default is not parameter.empty:
        default = parameter.default
        plain = default is None or isinstance(default, str | int | float | bool | tuple | list)
        said += f" = {default!r}" if plain else " = ..."
    return said


def _annotation(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\b(?:typing|collections\.abc|pathlib|vlt(?:\.\w+)+)\.(?=[A-Z])", "", text)
