"""YAML with the line of each key, so that a fault can say where it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from vlt.errors import UsageError
from vlt.user_files import read_text


class Lined(dict[Any, Any]):
    """A mapping that knows the line of each of its keys."""

    def __init__(
        self,
        values: Mapping[Any, Any] | Iterable[tuple[Any, Any]] = (),
        lines: Mapping[Any, int] | None = None,
    ):
        super().__init__(values)  # copies, e.g. by dataclasses.asdict, are made from pairs
        self.lines = dict(lines or {})


class LinedList(list[Any]):
    """A list that knows the line of each of its entries."""

    lines: Sequence[int] = ()


class Twice(yaml.YAMLError):
    """A mapping has a key twice."""


class _Loader(yaml.SafeLoader):
    """Reads mappings as Lined, and `1e-6`, which is text in YAML 1.1, as a number."""

    def construct_lined(self, node: yaml.MappingNode) -> Any:
        self.refuse_twice(node)
        self.flatten_mapping(node)
        made = Lined({}, {})
        yield made  # an alias may refer to the mapping it is in
        for key_node, _ in node.value:
            made.lines[self.construct_object(key_node)] = key_node.start_mark.line + 1
        made.update(self.construct_mapping(node))

    def refuse_twice(self, node: yaml.MappingNode) -> None:
        """Raise on a repeated key, of which YAML would silently take the last."""
        first: dict[Any, int] = {}
        for key_node, _ in node.value:
            key, line = key_node.value, key_node.start_mark.line + 1
            if not isinstance(key, str):
                continue
            if key in first and key != "<<":
                raise Twice(f"line {line}: the key {key!r} is in line {first[key]} already")
            first[key] = line

    def construct_list(self, node: yaml.SequenceNode) -> Any:
        made = LinedList()
        yield made
        made.extend(self.construct_sequence(node))
        made.lines = [entry.start_mark.line + 1 for entry in node.value]

    def construct_text(self, node: yaml.ScalarNode) -> Any:
        text = str(self.construct_scalar(node))
        if node.style is None and text[:1] in "0123456789.-" and "e" in text.lower():
            try:
                return float(text)
            except ValueError:
                return text
        return text


_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.construct_lined)
_Loader.add_constructor("tag:yaml.org,2002:seq", _Loader.construct_list)
_Loader.add_constructor("tag:yaml.org,2002:str", _Loader.construct_text)


def read_lined(file: Path) -> Any:
    """The file's tree, with Lined instead of dict; raises UsageError if it is not YAML."""
    try:
        return yaml.load(read_text(file, "recipe"), _Loader)  # a SafeLoader
    except Twice as error:
        raise UsageError(f"recipe {str(file)!r}: {error}; remove one of the two") from None
    except yaml.YAMLError as error:
        where = " ".join(str(error).split())
        raise UsageError(f"recipe {str(file)!r} is not YAML ({where}); correct that line") from None


def lines_of(tree: Any) -> dict[Any, int]:
    """key -> line, as far as known."""
    return tree.lines if isinstance(tree, Lined) else {}


def line_at(tree: Any, path: Sequence[Any]) -> int | None:
    """The line of the last key on the path that has one."""
    line = None
    for step in path:
        if isinstance(tree, dict):
            line = lines_of(tree).get(step, line)
            tree = tree.get(step)
        elif isinstance(tree, list) and isinstance(step, int) and step < len(tree):
            lines = tree.lines if isinstance(tree, LinedList) else ()
            line = lines[step] if step < len(lines) else line
            tree = tree[step]
        else:
            break
    return line


def path_to(tree: Any, value: Any) -> tuple[Any, ...]:
    """Keys and indices from the top to the first occurrence of this value; () if there is none."""
    steps = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for step, below in steps:
        if below == value:
            return (step,)
        if isinstance(below, dict | list) and (rest := path_to(below, value)):
            return (step, *rest)
    return ()
