"""Items: imported, put together, and without what the benchmarks ask."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

from vlt.datagen.mix import make_mix
from vlt.datagen.sources import make_items
from vlt.errors import UserError
from vlt.filters.apply import make_filtered
from vlt.runs.describe import of_kept_out, of_source
from vlt.runs.fields import Recipe, Source
from vlt.runs.step import Made, Run, Step

IN_WORKSPACE = "workspace:"
"""A source that begins so is a dataset of items that the workspace already holds."""
HELD_OUT = ("heldout", "validation")
IMPORTED = "{}-all"
"""Name of items from which the benchmarks' are yet to be taken out."""


def item_steps(name: str, number: int, sources: Sequence[Source]) -> Iterator[Step]:
    """One version per source, and one that holds them all where there are several."""
    names = [name] if len(sources) == 1 else [f"{name}-{i + 1}" for i in range(len(sources))]
    for part, source in zip(names, sources, strict=True):
        step = _import_step(part, number, source)
        yield Step(number, part, of_source(source), step, says=_says([source]))
    if len(sources) > 1:
        yield Step(
            number,
            name,
            f"the {len(sources)} sources together",
            lambda run: make_mix(
                run.workspace,
                [run[number, part] for part in names],
                name=name,
                round=number or None,
            ),
            says=_says(sources),
        )


def training_items(
    recipe: Recipe, name: str, number: int, sources: Sequence[Source]
) -> Iterator[Step]:
    """Items to train on: decontaminated, unless the recipe says `decontaminate: off`."""
    if not recipe.decontaminate:
        yield from item_steps(name, number, sources)
        return
    imported = IMPORTED.format(name)
    yield from item_steps(imported, number, sources)
    against = benchmarks(recipe)
    yield Step(
        number,
        name,
        of_kept_out(recipe.decontaminate, against),
        _keep_out(name, number, imported, against),
        says=_says(sources),
    )


def benchmark_steps(recipe: Recipe) -> Iterator[Step]:
    """The benchmarks that training data is kept apart from, imported where they are missing."""
    for source in recipe.decontaminate.against if recipe.decontaminate else []:
        if source.source not in HELD_OUT:
            yield Step(
                0,
                _benchmark(source),
                f"{of_source(source)}, to be kept out of the training data",
                _benchmark_step(source),
                says=_says([source]),
            )


def validation_steps(recipe: Recipe) -> Iterator[Step]:
    """The validation items, of which none is a held-out one."""
    if not recipe.validation:
        return
    imported = IMPORTED.format("validation")
    yield from item_steps(imported, 0, recipe.validation.items)
    yield Step(
        0,
        "validation",
        "items to choose checkpoints by, none of them held out",
        _keep_out("validation", 0, imported, ["heldout"]),
        says=_says(recipe.validation.items),
    )


def benchmarks(recipe: Recipe) -> list[str]:
    """Names of the round 0 steps whose questions and images training data must not hold."""
    own = ["heldout", *(["validation"] if recipe.validation else [])]
    settings = recipe.decontaminate
    named = [_benchmark(source) for source in settings.against] if settings else []
    return list(dict.fromkeys([*own, *named]))


def _keep_out(name: str, number: int, imported: str, against: list[str]) -> Callable[[Run], Made]:
    def carry_out(run: Run) -> Made:
        settings = run.recipe.decontaminate.settings() if run.recipe.decontaminate else {}
        refs = [run[0, benchmark].ref for benchmark in against]
        made, existed = make_filtered(
            run.workspace,
            run[number, imported],
            chain=[{"decontaminate": {"against": refs, **settings}}],
            name=name,
            round=number or None,
        )
        if not made.manifest.rows:
            raise UserError(
                f"every item of {run[number, imported].ref} is in {' or '.join(refs)} as well "
                f"(`vlt show {made.ref} --dropped` says where); choose other items"
            )
        return made, existed

    return carry_out


def _benchmark(source: Source) -> str:
    """The name that a benchmark has in the workspace."""
    return source.source.removeprefix(IN_WORKSPACE)


def _benchmark_step(source: Source) -> Callable[[Run], Made]:
    name = _benchmark(source)
    make = _import_step(name, 0, source)

    def carry_out(run: Run) -> Made:
        if found := run.workspace.versions(name):
            return found[-1], True
        return make(run)

    return carry_out


def _import_step(name: str, number: int, source: Source) -> Callable[[Run], Made]:
    if source.source.startswith(IN_WORKSPACE):
        return lambda run: make_mix(
            run.workspace,
            [run.workspace.open(source.source.removeprefix(IN_WORKSPACE))],
            sample=source.sample,
            seed=source.seed,
            name=name,
            round=number or None,
        )
    return lambda run: make_items(
        run.workspace,
        source.source,
        mapping=source.map or None,
        limit=source.limit,
        sample=source.sample,
        seed=source.seed,
        where=source.where,
        split=source.split,
        config=source.config,
        revision=source.revision,
        source_settings=source.settings,
        images=run.workspace.images,
        name=name,
        round=number or None,
    )


def _says(sources: Sequence[Source]) -> str:
    return json.dumps([source.model_dump() for source in sources], sort_keys=True)
