"""A user's reward functions: TRL's signature, checked; an error in one fails samples, not the run.

# mine.py
def polite(completions, **columns):
    return [float("please" in completion[-1]["content"]) for completion in completions]

vlt train grpo --reward accuracy=1 --reward ./mine.py:polite=0.2
"""

from __future__ import annotations

import asyncio
import inspect
import json
import math
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any

from vlt.errors import UsageError, UserError
from vlt.plugins import Plugin, blame, entry_points, is_path, mark_of, of_function, resolve

REPORTED = 20
"""Maximum distinct errors of a reward that are reported individually."""
GIVEN = ("prompts", "completions", "completion_ids", "trainer_state", "log_extra", "log_metric")
"""What TRL passes to a reward besides the columns of the rows."""


def is_own(name: str) -> bool:
    """Whether a reward's name names a function of the user or of an installed package."""
    return is_path(name) or name in entry_points("reward")


def name_of(reward: Any) -> str:
    """A reward as settings name it; for a function, its file and its name.

    Raises UsageError for a function that the training's process could not load.
    """
    if isinstance(reward, str):
        return reward
    plugin = of_function(reward, "reward")
    file = inspect.getsourcefile(inspect.unwrap(reward))
    named = getattr(reward, "__qualname__", "")
    if reward.__module__ == "__main__" or not file or not named.isidentifier():
        raise UsageError(
            f"the reward {plugin.name} is not a top-level function of a module, and the training runs "
            f"in another process; put it into a file and name it as file.py:{plugin.name}"
        )
    return f"{Path(file).resolve()}:{named}"


def load(name: str, columns: Iterable[str]) -> Plugin:
    """The function with this name; raises UsageError if there is none, or if no row has a column it takes."""
    plugin = resolve(name, "reward")
    known = [*GIVEN, *columns]
    for parameter in _parameters(plugin.object):
        needed = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if needed and parameter.default is parameter.empty and parameter.name not in known:
            raise UsageError(
                f"reward {name!r} takes {parameter.name!r}, which does not exist; there are "
                f"{', '.join(known)}"
            )
    return plugin


def checked(plugin: Plugin, missed: Missed) -> Callable[..., list[float | None]]:
    """The function with TRL's signature: a number or None for each completion.

    If it raises, it is called again for each sample separately; samples for which it raises again get
    None and are counted in `missed`. Raises UserError if it returns anything but numbers.
    """
    takes = _takes(plugin)

    def reward(**given: Any) -> list[float | None]:
        step = getattr(given.get("trainer_state"), "global_step", 0)
        n = len(given["completions"])
        chosen = {k: v for k, v in given.items() if takes is None or k in takes}
        try:
            return _numbers(plugin, _called(plugin, chosen), n)
        except UserError:
            raise
        except (Exception, SystemExit):
            values: list[float | None] = []
            for place in range(n):
                one = {k: _at(place, v, n) for k, v in chosen.items()}
                try:
                    values += _numbers(plugin, _called(plugin, one), 1)
                except UserError:
                    raise
                except (Exception, SystemExit) as error:
                    missed.count(step, plugin.name, blame(error, _file(plugin)))
                    values.append(None)
            return values

    reward.__name__ = plugin.name
    return reward


class Missed:
    """Samples for which a reward raised or a judge gave no verdict: one file per step, as for verdicts."""

    def __init__(self, folder: Path | None = None):
        self.folder = folder
        self.rank = os.environ.get("RANK", "0")
        self.steps: dict[int, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))

    def count(self, step: int, reward: str, error: str) -> None:
        """Count one more sample."""
        reported = {each for counts in self.steps.values() for each in counts[reward]}
        if error not in reported and len(reported) < REPORTED:
            print(f"reward {reward}: {error}; the sample gets no reward from it")
        self.steps[step][reward][error] += 1
        if self.folder:
            self.folder.mkdir(exist_ok=True)
            (self.folder / f"{step:08d}-{self.rank}.json").write_text(json.dumps(self.steps[step]))

    def total(self, steps: int) -> dict[str, dict[str, int]]:
        """reward -> error -> number of samples, over every step below `steps` and every process."""
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for file in sorted(self.folder.glob("*.json")) if self.folder else []:
            if int(file.name.partition("-")[0]) < steps:
                for reward, errors in json.loads(file.read_text()).items():
                    found[reward].update(errors)
        return {reward: _most(errors) for reward, errors in found.items()}


def _most(errors: Counter[str]) -> dict[str, int]:
    """The most frequent ones, and the number of samples with others."""
    most = dict(errors.most_common(REPORTED))
    others = errors.total() - sum(most.values())
    return {**most, "other errors": others} if others else most


def _called(plugin: Plugin, given: Mapping[str, Any]) -> Any:
    values = plugin.object(**given)
    return asyncio.run(values) if inspect.iscoroutine(values) else values


def _numbers(plugin: Plugin, values: Any, n: int) -> list[float | None]:
    """`values` as n numbers; raises UserError for anything else."""
    wanted = (
        f"reward {plugin.source!r} should return a list of {n}, a number or None for each sample"
    )
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise UserError(f"{wanted}; it returned {_short(values)}")
    found = values.tolist() if hasattr(values, "tolist") else list(values)
    if not isinstance(found, list) or len(found) != n:
        size = len(found) if isinstance(found, list) else 1
        raise UserError(f"{wanted}; it returned {size} values")
    return [_number(wanted, value) for value in found]


def _number(wanted: str, value: Any) -> float | None:
    if value is None:
        return None
    value = value.item() if hasattr(value, "item") else value
    if not isinstance(value, Real) or not math.isfinite(value):
        raise UserError(f"{wanted}; one of them is {_short(value)}")
    return float(value)


def _short(value: Any) -> str:
    looks = repr(value)
    return looks if len(looks) < 60 else f"{looks[:57]}..."


def _at(place: int, value: Any, n: int) -> Any:
    """The sample's own part of what was passed for all."""
    return [value[place]] if isinstance(value, list) and len(value) == n else value


def _parameters(function: Any) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # written in C, without a signature
        return [inspect.Parameter("columns", inspect.Parameter.VAR_KEYWORD)]


def _takes(plugin: Plugin) -> set[str] | None:
    """The names of the columns that the function takes; None if it takes all."""
    mark, parameters = mark_of(plugin.object), _parameters(plugin.object)
    if mark and mark.columns is not None:
        return {"prompts", "completions", *mark.columns}
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return {p.name for p in parameters}


def _file(plugin: Plugin) -> str | None:
    try:
        return inspect.getsourcefile(inspect.unwrap(plugin.object))
    except TypeError:
        return None
