"""The filters by name, and how a recipe writes a chain of them.

filters:
  - verify                          # a name: the defaults
  - max_words: 500                  # a value: the filter's first setting
  - repetition: {share: 0.2}        # settings by name
  - filter: select                  # the same, flat
    policy: shortest
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from filters.decontaminate import Decontaminate
from filters.dedup import Dedup
from filters.difficulty import Difficulty
from filters.finish import FinishReason
from filters.flagged import Flagged
from filters.form import Disagreement, Format
from filters.language import Language
from filters.leakage import Leakage
from filters.length import MaxWords
from filters.mixture import Mixture
from filters.near_dedup import NearDedup
from filters.reflection import TruncateReflections
from filters.repetition import Repetition
from filters.select import Select
from filters.shape import Filter
from filters.tokens import MaxTokens
from filters.verify import Correct, Grade, Verify
from vlt.errors import UsageError

FILTERS: dict[str, type[Filter]] = {
    kind.name: kind
    for kind in (
        Grade,
        Correct,
        Verify,
        FinishReason,
        Flagged,
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
        Mixture,
        Dedup,
        NearDedup,
        Decontaminate,
    )
}


def parse_chain(chain: Sequence[Any]) -> list[Filter]:
    """Filters from what a recipe or the command line writes; filters themselves pass through.

    Raises UsageError for an unknown filter or setting, and for an order that cannot be meant.
    """
    if isinstance(chain, str | Mapping) or not isinstance(chain, Sequence):
        raise UsageError(f"filters must be a list, such as [verify, max_words: 500], not {chain!r}")
    parsed = [parse_filter(entry) for entry in chain]
    grader = "vlt"
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
    return parsed


def parse_filter(entry: Any) -> Filter:
    """One filter from its name, {name: value}, {name: {setting: value}} or {filter: name, ...}."""
    values: Any
    if type(entry) in FILTERS.values():
        return entry  # type: ignore[no-any-return]
    if not isinstance(entry, str | Mapping):
        raise UsageError(f"{entry!r} is not a filter; there are {', '.join(FILTERS)}")
    if isinstance(entry, str):
        name, values = entry, {}
    elif "filter" in entry:
        name, values = entry["filter"], {k: v for k, v in entry.items() if k != "filter"}
    elif len(entry) == 1:
        name, values = next(iter(entry.items()))
    else:
        raise UsageError(f"{dict(entry)!r} is not one filter; write one `name: value` an entry")
    name = str(name).replace("-", "_")
    if name not in FILTERS:
        raise UsageError(f"no filter is called {name!r}; there are {', '.join(FILTERS)}")
    known = [field.name for field in fields(FILTERS[name]) if field.init]
    if values is None or values is True:
        values = {}
    elif not isinstance(values, Mapping) or (
        values and name == "mixture" and not set(values) & set(known)
    ):
        if not known:
            raise UsageError(f"{name} has no settings; write `- {name}`")
        values = {known[0]: values}
    for key in values:
        if key not in known:
            settings = f"it has {', '.join(known)}" if known else "it has none"
            raise UsageError(f"{name} has no setting {key!r}; {settings}")
    return _built(name, dict(values))


def _built(name: str, values: dict[str, Any]) -> Filter:
    from pydantic import TypeAdapter, ValidationError

    try:
        built: Filter = TypeAdapter(FILTERS[name]).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        setting = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"{name}: {setting} cannot be {first['input']!r} ({first['msg'].lower()})"
        ) from None
    return built
