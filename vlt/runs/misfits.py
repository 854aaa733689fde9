"""What does not fit together in a recipe whose parts are each valid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vlt.errors import UsageError
from vlt.filters.pass_rate import Band
from vlt.runs.fields import ARM, IN_WORKSPACE, Phase, Recipe, Round
from vlt.runs.phases import hints_of

Misfit = tuple[tuple[Any, ...], str]
"""Where in the recipe, and what is wrong there."""


def misfits(recipe: Recipe) -> Iterator[Misfit]:
    """Everything that does not fit together."""
    for name in recipe.arms:
        if not ARM.fullmatch(name):
            yield (
                ("arms", name),
                f"arms: {name!r} is not a valid name for an arm; use letters, digits, _ and -",
            )
    if recipe.canary and not recipe.heldout:
        yield ("canary",), "canary needs held-out items; add heldout: {items: ...}"
    if recipe.stop and not recipe.heldout:
        yield ("stop",), "stop needs held-out items; add heldout: {items: ...}"
    for number, settings in enumerate(recipe.rounds, 1):
        if settings.captions.shuffle_choices:
            path = ("rounds", number - 1, "captions", "shuffle_choices")
            yield (
                path,
                "captions take no shuffle_choices: there is one caption per item; leave it out",
            )
        yield from _of_teachers(recipe, number, settings)
        yield from _of_judges(recipe, number, settings)
        yield from _of_trainings(recipe, number, settings)


def _of_teachers(recipe: Recipe, number: int, settings: Round) -> Iterator[Misfit]:
    known = [*recipe.models.names, "student"]
    path = ("rounds", number - 1, "teacher")
    where = ".".join(map(str, path))
    for teacher in settings.teacher:
        if teacher.model not in known:
            yield path, f"{where} = {teacher.model!r} is not a model; choose {', '.join(known)}"
            continue
        if teacher.model == "student" and number == 1:
            yield path, f"{where}: round 1 has no student yet; name another teacher"
        if teacher.model == "student" and teacher.sees == "caption":
            yield path, f"{where}: a student sees images; leave out sees: caption"
        captioned = recipe.models.captioner or all(s.kind == "captions" for s in settings.items)
        if teacher.sees == "caption" and not captioned:
            yield (
                path,
                f"{where} = {teacher.model!r} reads captions, but nothing writes them; name "
                "models.captioner, or bring your own (items with kind: captions)",
            )
    names = [teacher.model for teacher in settings.teacher]
    if len(set(names)) < len(names):
        yield path, f"{where} names a model twice; name each teacher once"
    if settings.sft and not settings.teacher:
        yield (
            (*path[:2], "sft"),
            f"round {number} has sft but no teacher, so there are no samples to train on; name a "
            "teacher, or write sft: off",
        )


def _of_judges(recipe: Recipe, number: int, settings: Round) -> Iterator[Misfit]:
    met = set[str]()
    for place, use in enumerate(settings.judge):
        path = ("rounds", number - 1, "judge", place)
        where = ".".join(map(str, path))
        known = recipe.models.names
        for model in use.model:
            if model not in known:
                yield path, f"{where}: {model!r} is not a model; choose {', '.join(known)}"
        if not use.model or len(set(use.model)) < len(use.model):
            yield path, f"{where} names no model, or the same one twice; name each judge once"
        if use.rubric in met:
            yield (
                path,
                f"{where}: rubric {use.rubric!r} is given twice; name all its models in one entry",
            )
        met.add(use.rubric)


def _of_trainings(recipe: Recipe, number: int, settings: Round) -> Iterator[Misfit]:
    path = ("rounds", number - 1)
    trained: list[tuple[tuple[Any, ...], Any]] = []
    if settings.sft:
        trained.append(((*path, "sft"), settings.sft))
    for name, phases in settings.phases.items():
        trained += [((*path, name, i, "train"), phase.train) for i, phase in enumerate(phases)]
        takes = [phase.method.takes for phase in phases]
        if not settings.teacher and any("item" not in kinds for kinds in takes):
            yield (
                (*path, name),
                f"round {number} has {name} but no teacher, so there are no samples to train on; name "
                f"a teacher, or write {name}: off",
            )
    for place, phase in enumerate(settings.grpo):
        trained.append(((*path, "grpo", place, "train"), phase.train))
        yield from _of_phase((*path, "grpo", place), phase)
        if phase.rates == "previous" and number == 1:
            yield (
                (*path, "grpo", place, "rates"),
                "round 1 has no previous round to take pass rates from; write rates: rollouts",
            )
        if phase.rated_by == "samples" and not settings.teacher:
            yield (
                (*path, "grpo", place, "difficulty"),
                f"round {number} takes pass rates from its samples but has no teacher to draw them; "
                "write rates: rollouts",
            )
        yield from _of_hints((*path, "grpo", place), recipe, number, phase)
    for where, train in trained:
        if train.choose and not recipe.validation:
            yield (
                (*where, "choose"),
                f"{'.'.join(map(str, where))}: choose needs validation items; add validation: "
                "{items: ...}",
            )


def _of_phase(path: tuple[Any, ...], phase: Phase) -> Iterator[Misfit]:
    where = ".".join(map(str, path))
    if phase.rates and not phase.rated_by:
        yield (
            (*path, "rates"),
            f"{where}: rates are for a difficulty band or hints; add difficulty: [low, high]",
        )
    if phase.difficulty:
        try:
            Band(*phase.difficulty)
        except UsageError as error:
            yield (*path, "difficulty"), f"{where}: {error}"
    if phase.items and phase.rates in ("samples", "previous"):
        yield (
            (*path, "rates"),
            f"{where}: rates: {phase.rates} exist only for the round's items; leave out the phase's "
            "items, or write rates: rollouts",
        )


def _of_hints(path: tuple[Any, ...], recipe: Recipe, number: int, phase: Phase) -> Iterator[Misfit]:
    hints, where = phase.train.hints, ".".join(map(str, path))
    if not hints:
        return
    at = (*path, "train", "hints")
    if phase.difficulty and phase.difficulty[0] > 0:
        yield (
            at,
            f"{where}: hints are for pass rate 0, which the difficulty band excludes; let it begin at 0",
        )
    step = hints_of(hints, number)
    if step and not (1 <= step[0] <= number and recipe.rounds[step[0] - 1].teacher):
        yield (
            at,
            f"{where}.train.hints = {hints!r}: there is no such step before this one; name the verified "
            "samples of a round with a teacher (sft or sft@r1), or a dataset (workspace:NAME)",
        )
    elif not step and not hints.startswith(IN_WORKSPACE):
        yield (
            at,
            f"{where}.train.hints = {hints!r}: write sft (the round's verified samples), sft@r1, or "
            "workspace:NAME",
        )
