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

from vlt.errors import UsageError
from vlt.filters.contamination.decontaminate import Decontaminate
from vlt.filters.duplicates.exact import Dedup
from vlt.filters.duplicates.near_dedup import NearDedup
from vlt.filters.protocol import Filter
from vlt.filters.rules.difficulty import Difficulty
from vlt.filters.rules.finish_reason import FinishReason
from vlt.filters.rules.flagged import Flagged
from vlt.filters.rules.language import Language
from vlt.filters.rules.leakage import Leakage
from vlt.filters.rules.max_tokens import MaxTokens
from vlt.filters.rules.max_words import MaxWords
from vlt.filters.rules.mixture import Mixture
from vlt.filters.rules.not_cut import NotCut
from vlt.filters.rules.reflection import TruncateReflections
from vlt.filters.rules.repetition import Repetition
from vlt.filters.rules.response_format import Disagreement, Format
from vlt.filters.rules.select import Select
from vlt.filters.rules.verify import Correct, Grade, Verify

FILTERS: dict[str, type[Filter]] = {
    kind.name: kind
    for kind in (
        Grade,
        Correct,
        Verify,
        FinishReason,
        NotCut,
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
        return entry
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
