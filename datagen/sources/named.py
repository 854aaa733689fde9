"""Sources known by name: the miniature, the datasets of the paper (known.py), the benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vlt.datagen.benchmarks.catalog import BENCHMARKS, Benchmark
from vlt.datagen.benchmarks.source import BenchmarkSource
from vlt.datagen.sources.known import KNOWN, Known, KnownSource
from vlt.datagen.sources.paths import Folders
from vlt.datagen.sources.row import Row, Unreadable
from vlt.errors import UsageError, UserError


class Miniature:
    """The drawn world of the demo: n pictures with questions of some families."""

    name = where = "miniature"
    folder: Folders | None = None
    as_it_is = True
    DEFAULTS: Mapping[str, Any] = {"n": 256, "families": None, "split": "train", "seed": 0}

    def __init__(self, settings: Mapping[str, Any]):
        unknown = settings.keys() - self.DEFAULTS.keys()
        if unknown:
            raise UsageError(
                f"source 'miniature' has no setting {sorted(unknown)[0]!r}; it has "
                f"{', '.join(self.DEFAULTS)}"
            )
        self.settings = {**self.DEFAULTS, **settings}
        for number in ("n", "seed"):
            value = self.settings[number]
            if not isinstance(value, int) or (number == "n" and value < 1):
                raise UsageError(
                    f"source 'miniature': {number} = {value!r} is not valid; give a whole number"
                    + (" above 0" if number == "n" else "")
                )
        if self.settings["families"] is None:
            from vlt.datagen.miniature.questions import FAMILIES

            self.settings["families"] = list(FAMILIES)
        elif isinstance(self.settings["families"], str):
            self.settings["families"] = self.settings["families"].split(",")
        self.description: dict[str, Any] = {}
        self.notes: list[str] = []

    def columns(self) -> list[str]:
        """The names of a record's fields."""
        return ["source", "question", "choices", "answer", "answer_type", "images", "meta"]

    def rows(self, leave_out: Sequence[str] = ()) -> Iterator[Row | Unreadable]:
        """The world's records; drawn again on each call, always the same."""
        from vlt.datagen.miniature.world import records

        settings = dict(self.settings)
        n, seed = int(settings.pop("n")), int(settings.pop("seed"))
        try:
            for record in records(n, seed=seed, **settings):
                yield {k: v for k, v in record.items() if k not in leave_out}
        except (ValueError, TypeError) as error:
            raise UserError(f"source 'miniature': {error}") from error

    def identity(self, columns: Mapping[str, str]) -> dict[str, Any]:  # noqa: ARG002
        """The settings, and the digest of the drawing program."""
        import hashlib
        from importlib.resources import files

        program = hashlib.sha256()
        for file in ("world.py", "questions.py"):
            written = (files("vlt.datagen.miniature") / file).read_bytes()
            # The package's location does not change what is drawn: 0.1 had it at the top level.
            program.update(written.replace(b"vlt.datagen", b"datagen"))
        return {"settings": self.settings, "program": program.hexdigest()}


def _known(known: Known) -> Callable[..., KnownSource]:
    return lambda settings, **where: KnownSource(known, settings, **where)


def _benchmark(benchmark: Benchmark) -> Callable[..., BenchmarkSource]:
    return lambda settings, **where: BenchmarkSource(benchmark, settings, **where)


def _miniature(
    settings: Mapping[str, Any], *, folder: Path | None = None, **where: str | None
) -> Miniature:
    given = [name for name, value in where.items() if value]
    if given:
        raise UsageError(
            f"source 'miniature' does not take --{given[0]}; its split is a setting: --set split=heldout"
        )
    if folder:
        raise UsageError("source 'miniature' draws its images; leave out --image-root")
    return Miniature(settings)


NAMED: dict[str, Callable[..., Miniature | KnownSource | BenchmarkSource]] = {
    "miniature": _miniature,
    **{known.name: _known(known) for known in KNOWN},
    **{benchmark.name: _benchmark(benchmark) for benchmark in BENCHMARKS},
}
"""Name -> constructor of the source, from its settings and split, config and revision."""
