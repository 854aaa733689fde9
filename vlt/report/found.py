"""Which versions of a workspace belong to one run, round by round, read from their manifests.

Versions are taken newest first, each with its ancestors, so that the versions in a round were made
from one another even if a recipe was edited and parts were made twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from vlt.errors import UserError
from vlt.plural import plural
from vlt.runs.arms import MAIN, recorded, side_by_side
from vlt.runs.record import RunRecord, arms_of, runs
from vlt.workspace.lineage import ancestors, parent_of
from vlt.workspace.progress import progress_in
from vlt.workspace.store import Dataset, Store

EXPECTED = ("samples", "sft", "sft-model", "eval-sft", "grpo-model", "eval-grpo")
"""What a full round of a recipe makes besides items, in order."""
SFT, BETWEEN, GRPO = 1, 2, 3
"""A model's position in its round: trained by SFT, by another method after it, by GRPO."""
CHOOSING = "choose-"
"""Evaluations of checkpoints on validation items, to choose one: not results of the run."""


@dataclass(frozen=True)
class Evaluation:
    """One model's verdicts on one set of items."""

    dataset: Dataset
    answers: Dataset
    model: str
    """Its label in the loop ("base", "SFT 1", "GRPO 2"), or the model's name."""
    round: int
    """0: before the rounds."""
    items: str
    """Name of the set of items, with how they were asked if there are several ways."""
    place: tuple[int, int]
    """Its order in the loop: round, and SFT, BETWEEN or GRPO."""

    @property
    def accuracy(self) -> dict[str, Any]:
        """value, low, high and n."""
        found: dict[str, Any] = self.dataset.manifest.facts["accuracy"]
        return found


@dataclass(frozen=True)
class Round:
    """What one round made; number 0 has the versions that belong to no round."""

    number: int
    named: dict[str, Dataset]
    chain: list[Dataset]
    """From items to training rows: the version trained on, or the last samples, preceded by what it
    was made from."""
    trainings: list[Dataset]
    """Checkpoints of the round in the order of training."""

    @property
    def label(self) -> str:
        """For a column heading."""
        return f"round {self.number}" if self.number else "workspace"

    @property
    def missing(self) -> list[str]:
        """Steps of a full round that have not been made (yet)."""
        return [name for name in EXPECTED if name not in self.named] if self.number else []


@dataclass(frozen=True)
class Found:
    """The run."""

    store: Store
    rounds: list[Round]
    evaluations: list[Evaluation]
    """In the order of the loop."""
    versions: list[Dataset]
    """All versions of the run, oldest first."""
    writing: list[tuple[str, int]] = field(default_factory=list)
    """(name, process) of versions that are being written now."""
    unfinished: list[tuple[str, str | None]] = field(default_factory=list)
    """(name, message) of versions whose writer failed with that message, or was killed (None)."""
    arms: list[dict[str, Any]] = field(default_factory=list)
    """The recipe's arms side by side, if it ran in several: see vlt.runs.arms.side_by_side."""


def find(store: Store, run: str | None = None) -> Found:
    """The newest run, or the one that `run` names: a recipe, a run's id, or a version (up to its round).

    Raises UserError if there is no such run, or nothing in the workspace to report on.
    """
    everything = store.all()
    if not any(version.kind == "sample" for version in everything):
        held = (
            f"has {plural(len(everything), 'version')} but no samples" if everything else "is empty"
        )
        raise UserError(
            f"workspace {str(store.root)!r} {held}: nothing to report on yet; start with `vlt demo`, "
            "`vlt run RECIPE` or `vlt gen reasoning`"
        )
    known = runs(store.root)
    targets = _targets(store, known, run) if run else _newest(store, known, everything)
    recipe = _recipe(known, targets)
    others = _of_others(known, recipe, targets)
    everything = [v for v in everything if v.manifest.name.removesuffix("-answers") not in others]
    chosen = _chosen(store, everything, targets, attached=run is not None)
    numbers = sorted({v.manifest.round for v in chosen.values() if v.manifest.round})
    rounds = [_round(store, number, chosen) for number in numbers] or [_by_hand(store, chosen)]
    writing, unfinished = _in_the_making(store)
    versions = _in_order(chosen.values())
    arms = side_by_side(recorded(store, known, recipe))
    evaluations = _evaluations(store, versions)
    return Found(store, rounds, evaluations, versions, writing, unfinished, arms)


def _of_others(known: list[RunRecord], recipe: str, targets: list[Dataset]) -> set[str]:
    """The names of what only other arms of the recipe made: the arms have their own table."""
    ran = arms_of(known, recipe)
    names = [{step.version.partition("@")[0] for step in run.steps if step.version} for run in ran]
    mine = {target.manifest.name for target in targets}
    own = [found for found in names if mine <= found] or [mine]
    return set().union(*names).difference(own[0])


def _recipe(known: list[RunRecord], targets: list[Dataset]) -> str:
    """The name of the recipe whose newest run made one of these; "" if none did."""
    refs = {target.ref for target in targets}
    for run in reversed(known):
        if run.arm and any(step.version in refs for step in run.steps):
            return run.of
    return ""


def _targets(store: Store, known: list[RunRecord], run: str) -> list[Dataset]:
    """What the run of this name has made, newest first; else the version of this name."""
    latest = known[::-1]
    named = [r for r in latest if run in (r.id, r.recipe)] or [r for r in latest if run == r.of]
    of_recipe = [r for r in named if r.arm == MAIN] or named  # the arms have their own table
    if not of_recipe:
        return [store.open(run)]
    made = _made_by(store, of_recipe[0])
    if not made:
        raise UserError(
            f"run {of_recipe[0].id!r} has made nothing yet; `vlt status` shows its progress"
        )
    return made


def _made_by(store: Store, run: RunRecord) -> list[Dataset]:
    """What a run has made or found according to its record, newest first."""
    return [store.open(step.version) for step in reversed(run.steps) if step.version]


def _newest(store: Store, known: list[RunRecord], versions: list[Dataset]) -> list[Dataset]:
    """What the newest run has made; without a record, the newest version of a round, or of all."""
    in_rounds = [version for version in versions if version.manifest.round]
    last = (in_rounds or versions)[-1]
    latest = known[::-1]
    for found in latest:
        made = _made_by(store, found)
        if last in made:
            same = [r for r in latest if r.of == found.of and r.arm == MAIN]
            return _made_by(store, same[0]) if found.arm not in ("", MAIN) and same else made
    return [last]


def _chosen(
    store: Store, everything: list[Dataset], targets: list[Dataset], *, attached: bool
) -> dict[str, Dataset]:
    """ref -> version. One per name in a round, unless one was made from another.

    With `attached`, only the targets' ancestors and what was made from those: other runs of the
    workspace stay out.
    """
    chosen: dict[str, Dataset] = {}
    taken: set[tuple[int, str]] = set()
    last = max((target.manifest.round or 0 for target in targets), default=0) or None

    def fits(version: Dataset) -> bool:
        number = version.manifest.round
        if version.ref in chosen or (last is not None and (number or 0) > last):
            return False
        parents = version.manifest.parents
        there = [chosen[parent.ref] for parent in parents if parent.ref in chosen]
        return not attached or (
            bool(there)
            and (len(there) == len(parents) or any(p.kind == "checkpoint" for p in there))
        )

    def take(version: Dataset) -> bool:
        new = {v.ref: v for v in _with_ancestors(store, version) if v.ref not in chosen}
        places = {(v.manifest.round, v.manifest.name) for v in new.values() if v.manifest.round}
        if places & taken:
            return False  # made from a version that has been superseded
        chosen.update(new)
        taken.update(places)
        return True

    for target in targets:
        take(target)
    grown = True
    while grown:
        # Take all that fit each time, not just the first.
        grown = sum(take(version) for version in reversed(everything) if fits(version)) > 0
    return chosen


def _with_ancestors(store: Store, version: Dataset) -> list[Dataset]:
    """The version and its ancestors, as far as the workspace has them: the parents of a pulled version
    may be absent."""
    walk = ancestors(store, version, through=lambda v: v.here, gone=True)
    return [each.dataset for each in walk if not each.again]


def _parents(store: Store, version: Dataset) -> list[Dataset]:
    """The parents that are in the workspace; a pulled version may have none."""
    found = (parent_of(store, version, parent) for parent in version.manifest.parents)
    return [parent for parent in found if parent and parent.here]


def _round(store: Store, number: int, chosen: dict[str, Dataset]) -> Round:
    of_round = [v for v in chosen.values() if v.manifest.round == number]
    # Oldest first: if one of a name was made from another (two GRPO phases), the later one wins.
    named = {v.manifest.name: v for v in sorted(of_round, key=lambda v: v.manifest.version)}
    last = next((named[n] for n in ("sft", "samples", "captions", "items") if n in named), None)
    trainings = [v for v in of_round if v.kind == "checkpoint"]
    return Round(number, named, _chain(store, last), _in_order(trainings))


def _by_hand(store: Store, chosen: dict[str, Dataset]) -> Round:
    """Versions made by single commands: the newest samples that no evaluation made."""
    versions = _in_order(chosen.values())
    aside = {v.ref for v in versions if v.manifest.stage == "eval"}
    aside |= {p.ref for v in versions if v.ref in aside for p in v.manifest.parents}
    trained = {p.ref for v in versions if v.kind == "checkpoint" for p in v.manifest.parents}
    samples = [v for v in versions if v.kind == "sample" and v.ref not in aside]
    last = next(iter([v for v in samples if v.ref in trained][-1:] or samples[-1:]), None)
    named = {v.manifest.name: v for v in versions}
    trainings = [v for v in versions if v.kind == "checkpoint"]
    return Round(0, named, _chain(store, last), _in_order(trainings))


def _chain(store: Store, last: Dataset | None) -> list[Dataset]:
    """From the first items to `last`, along the first parent that has rows."""
    chain: list[Dataset] = []
    while last is not None:
        chain.insert(0, last)
        last = next((p for p in _parents(store, last) if p.kind != "checkpoint"), None)
    return chain


def _in_order(trainings: Iterable[Dataset]) -> list[Dataset]:
    return sorted(trainings, key=lambda v: (v.manifest.created, v.ref))


def _evaluations(store: Store, versions: list[Dataset]) -> list[Evaluation]:
    places = _places(versions)
    found: dict[tuple[str, str, str], Evaluation] = {}
    asked: dict[str, dict[str, str]] = {}
    names: dict[str, str] = {}
    for version in versions:
        manifest = version.manifest
        aside = manifest.name.startswith(CHOOSING) or "images" in manifest.parameters
        if manifest.stage != "eval" or aside:
            continue  # without the items' own images: see vlt.report.trust
        answers = next(iter(_parents(store, version)), None)
        if answers is None or not answers.manifest.parents:
            continue
        items = answers.manifest.parents[0]
        way = _key(manifest.parameters, *(answers.manifest.parameters.get(n) for n in WAYS))
        ways = asked.setdefault(items.digest, {})
        alike = names.setdefault(items.name, items.digest) == items.digest
        name = items.name if alike else items.ref
        ways.setdefault(way, _way(name, manifest.name, len(ways)))
        model = _key(answers.manifest.parameters.get("model"))
        place, label = places.get(model) or ((10**6, 0), _model_name(answers))
        found[model, items.digest, way] = Evaluation(
            version, answers, label, place[0] if model in places else 0, ways[way], place
        )
    return sorted(found.values(), key=lambda e: (e.place, e.model, e.items))


WAYS = ("prompt", "sampling", "k", "limit")
"""Parameters of answers that must agree for evaluations to be joined by a line in the figure."""


def _way(items: str, name: str, known: int) -> str:
    if name.endswith("-direct"):
        return f"{items}, asked directly"
    return items if known == 0 else f"{items}, asked differently ({name})"


def trained_by(checkpoint: Dataset) -> str:
    """The training method of a checkpoint, as people write it: SFT, DPO, GRPO."""
    return checkpoint.manifest.stage.removeprefix("train ").upper()


def _places(versions: list[Dataset]) -> dict[str, tuple[tuple[int, int], str]]:
    """A model, as answers name it -> its position in the loop and its label there."""
    places: dict[str, tuple[tuple[int, int], str]] = {}
    for version in versions:
        manifest = version.manifest
        if manifest.kind == "checkpoint":
            method = trained_by(version)
            number = manifest.round or 0
            label = f"{method} {number or f'v{manifest.version}'}"
            place = (number or manifest.version, {"SFT": SFT, "GRPO": GRPO}.get(method, BETWEEN))
            places[_key({"digest": manifest.digest})] = (place, label)
            if method == "SFT":
                places.setdefault(_key(manifest.parameters.get("model")), ((0, 0), "base"))
        elif manifest.name == "eval-base-answers":
            places.setdefault(_key(manifest.parameters.get("model")), ((0, 0), "base"))
    return places


def _model_name(answers: Dataset) -> str:
    model = answers.manifest.parameters.get("model")
    if isinstance(model, dict):
        model = model.get("name") or model.get("model") or str(model.get("digest", ""))[:12]
    return str(model)


def _key(*values: Any) -> str:
    return json.dumps(values, sort_keys=True, default=str)


def _in_the_making(store: Store) -> tuple[list[tuple[str, int]], list[tuple[str, str | None]]]:
    """Versions in progress: being written (with the process), and those whose writer ended early."""
    seen = progress_in(store.root)
    writing = [(each.progress.name, each.progress.process) for each in seen if each.live]
    return writing, [(each.progress.name, each.progress.failed) for each in seen if not each.live]
