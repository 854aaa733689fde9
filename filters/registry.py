"""The filters by name, and how a recipe writes a chain of them.

filters:
  - verify                          # a name: the defaults
  - max_words: 500                  # a value: the filter's first setting
  - repetition: {share: 0.2}        # settings by name
  - filter: select                  # the same, flat
    policy: shortest
  - ./mine.py:no_apologies          # your own function (see own.py), settings as above
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard

from vlt.errors import UsageError
from vlt.filters.contamination.decontaminate import Decontaminate
from vlt.filters.duplicates.exact import Dedup
from vlt.filters.duplicates.near_dedup import NearDedup
from vlt.filters.own import own_filter
from vlt.filters.protocol import Filter, with_found
from vlt.filters.rules.agreement import Agreement
from vlt.filters.rules.difficulty import Difficulty
from vlt.filters.rules.finish_reason import FinishReason
from vlt.filters.rules.flagged import Flagged
from vlt.filters.rules.judged import JudgedBy
from vlt.filters.rules.language import Language
from vlt.filters.rules.leakage import Leakage
from vlt.filters.rules.max_tokens import MaxTokens
from vlt.filters.rules.max_words import MaxWords
from vlt.filters.rules.mixture import Mixture
from vlt.filters.rules.needs_image import NeedsImage
from vlt.filters.rules.not_cut import NotCut
from vlt.filters.rules.reflection import TruncateReflections
from vlt.filters.rules.repetition import Repetition
from vlt.filters.rules.response_format import Disagreement, Format
from vlt.filters.rules.select import Select
from vlt.filters.rules.sufficient import Sufficient
from vlt.filters.rules.verify import Correct, Grade, Verify
from vlt.filters.rules.where import Where
from vlt.filters.settings import built
from vlt.grade.graders import Grader
from vlt.plugins import Plugin, beside, of_function, resolve

FILTERS: dict[str, type[Filter]] = {
    kind.name: kind
    for kind in (
        Grade,
        Correct,
        Verify,
        FinishReason,
        NotCut,
        JudgedBy,
        Flagged,
        Where,
        MaxWords,
        MaxTokens,
        TruncateReflections,
        Repetition,
        Leakage,
        Format,
        Disagreement,
        Language,
        Select,
        Difficulty,
        Agreement,
        NeedsImage,
        Sufficient,
        Mixture,
        Dedup,
        NearDedup,
        Decontaminate,
    )
}


def of_items() -> list[str]:
    """The names of the filters that judge whole items and not single responses."""
    return [name for name, kind in FILTERS.items() if getattr(kind, "of_items", False)]


def located(chain: Sequence[Any], folder: Path) -> list[Any]:
    """The chain of a recipe in this folder, with paths to files of filters resolved from there."""
    return [_located(entry, folder) for entry in chain]


def _located(entry: Any, folder: Path) -> Any:
    if isinstance(entry, str):
        return beside(entry, folder)
    if isinstance(entry, Mapping) and isinstance(entry.get("filter"), str):
        return {name: _beside(value, folder) for name, value in entry.items()}
    if isinstance(entry, Mapping):
        return {beside(str(n), folder): _beside(value, folder) for n, value in entry.items()}
    return entry


def _beside(value: Any, folder: Path) -> Any:
    """A setting, which may itself be a file.py:name, or a mapping of settings."""
    if isinstance(value, Mapping):
        return {name: _beside(each, folder) for name, each in value.items()}
    return beside(value, folder) if isinstance(value, str) else value


def parse_chain(chain: Sequence[Any]) -> list[Filter]:
    """Filters as a recipe or the command line writes them; filter objects pass through.

    Raises UsageError for an unknown filter or setting, and for an order that makes no sense.
    """
    if isinstance(chain, str | Mapping) or not isinstance(chain, Sequence):
        raise UsageError(f"filters must be a list, such as [verify, max_words: 500], not {chain!r}")
    parsed = [parse_filter(entry) for entry in chain]
    grader: Grader = "vlt"
    for place, filter in enumerate(parsed):
        if isinstance(filter, Verify | Grade):
            grader = filter.grader
        elif isinstance(filter, TruncateReflections) and filter.grader is None:
            parsed[place] = replace(filter, grader=grader)
    names = [filter.name for filter in parsed]
    if "difficulty" in names and {"verify", "correct"} & set(names[: names.index("difficulty")]):
        raise UsageError(
            "difficulty counts wrong samples too and comes after verify, which takes them out; "
            "write grade, difficulty, correct"
        )
    if "agreement" in names and {"verify", "correct"} & set(names[: names.index("agreement")]):
        raise UsageError(
            "agreement counts wrong samples too and comes after verify, which takes them out; write "
            "agreement, verify"
        )
    return parsed


def parse_filter(entry: Any) -> Filter:
    """One filter from its name, {name: value}, {name: {setting: value}} or {filter: name, ...}.

    A name may be that of a user's function (see vlt.plugins); from Python, the entry may be the function
    itself or a filter object.
    """
    values: Any
    if is_filter(entry):
        return entry
    if callable(entry):
        return _own(of_function(entry, "filter"), {})
    if not isinstance(entry, str | Mapping) or not entry:
        raise UsageError(f"{entry!r} is not a filter; there are {', '.join(FILTERS)}")
    if isinstance(entry, str):
        name, values = entry, {}
    elif "filter" in entry:
        name, values = entry["filter"], {k: v for k, v in entry.items() if k != "filter"}
    elif len(entry) == 1:
        name, values = next(iter(entry.items()))
    else:
        raise UsageError(f"{dict(entry)!r} is not one filter; write one `name: value` an entry")
    if callable(name):
        plugin = of_function(name, "filter")
    else:
        name = str(name)
        known = name.replace("-", "_")
        plugin = resolve(known if known in FILTERS else name, "filter", FILTERS)
    kind = plugin.object
    names = _settings(kind)
    if values is None or values is True:
        values = {}
    elif not isinstance(values, Mapping) or (
        values and kind is Mixture and not set(values) & set(names)
    ):
        if not names:
            raise UsageError(f"{plugin.source} has no settings; write `- {plugin.source}`")
        values = {names[0]: values}
    if plugin.identity:
        return _own(plugin, values)
    filter: Filter = built(kind, plugin.name, values)
    return filter


def is_filter(entry: Any) -> TypeGuard[Filter]:
    """Whether it is a filter object already."""
    return not isinstance(entry, type) and hasattr(entry, "name") and _judges(entry)


def _judges(kind: Any) -> bool:
    return is_dataclass(kind) and (hasattr(kind, "judge") or hasattr(kind, "decide"))


def _settings(kind: Any) -> list[str]:
    """The names of the settings of a filter's class, or of a user's function."""
    if _judges(kind):
        return [field.name for field in fields(kind) if field.init]
    try:
        return list(inspect.signature(kind).parameters)[1:]
    except (ValueError, TypeError):
        return []


def _own(plugin: Plugin, values: Mapping[str, Any]) -> Filter:
    """The filter from a user's function, or from a user's class that is a filter."""
    kind = plugin.object
    filter: Filter
    if _judges(kind):
        filter = with_found(built(kind, plugin.source, values), own=dict(plugin.identity))
    else:
        filter = own_filter(plugin, values)
    if filter.name in FILTERS:
        raise UsageError(
            f"{plugin.source} has the same name as a built-in filter, and a ledger could not tell them "
            f"apart; rename it, or mark it with @vlt.filter(name=...)"
        )
    return filter
