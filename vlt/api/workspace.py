"""`vlt.Workspace`: every stage as a method, with the command's defaults.

A method makes a version or finds it: the same rows, parameters and models give the same version, from
Python as from the command line. A user's mistakes raise `vlt.UserError` with one sentence.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlt.datagen.asking import CAPTIONS, EVALUATION, REASONS, ROLLOUTS, Asking
from vlt.engine.model import Model
from vlt.errors import UsageError
from vlt.plugins import is_path
from vlt.prompts import Prompt, own_prompt
from vlt.workspace import workspace as core
from vlt.workspace.store import Dataset
from vlt.workspace.workspace import Tell

if TYPE_CHECKING:
    from vlt.evaluation.image_worth import ImageWorth

AnyModel = Model | Dataset | str | Path
"""A model, a checkpoint of the workspace, or a model's name or directory."""
AnyData = Dataset | str
"""A version, or its name: sft, sft@v2, sft@r1."""


class Workspace(core.Workspace):
    """A folder of dataset versions, checkpoints, images and the journal.

    The first version creates the folder. `progress` is called with the state of a stage, one line at a
    time; by default it is shown on a terminal and in a notebook, and a script is silent.
    """

    def __init__(self, root: Path | str = "workspace", progress: Tell | None = None):
        super().__init__(root, progress or _progress())

    def __repr__(self) -> str:
        return f"Workspace({str(self.root)!r})"

    def datasets(self) -> list[Dataset]:
        """Every complete version of datasets and checkpoints, oldest first."""
        return self.all()

    def __getitem__(self, ref: str) -> Dataset:
        """The version that `name`, `name@v3` or `name@r2` refers to."""
        return self.open(ref)

    def import_items(
        self, source: str | Path, *, name: str | None = None, **settings: Any
    ) -> Dataset:
        """Items (questions, images, gold answers) from a file, a folder or a dataset on the Hub.

        `settings` are the fields of vlt.Import: map={"question": "problem"}, kind, limit, where, ...
        Rows that do not make an item are in `.dropped`.
        """
        from vlt.datagen.sources import Import, make_items

        what = Import(source=str(source), **settings)
        return make_items(self, what, name=name, images=self.images)[0]

    def caption(
        self, items: AnyData, model: AnyModel, *, name: str = "captions", **asking: Any
    ) -> Dataset:
        """Describe each item's images. `asking`: fields of vlt.Asking."""
        from vlt.datagen.captions import make_captions

        return make_captions(
            self, self._data(items), self._model(model), _asking(CAPTIONS, asking), name=name
        )[0]

    def reason(
        self, captions: AnyData, model: AnyModel, *, name: str = "samples", **asking: Any
    ) -> Dataset:
        """Reason over each caption k times, with a model that reads only text."""
        from vlt.datagen.reasoning import make_reasoning

        return make_reasoning(
            self, self._data(captions), self._model(model), _asking(REASONS, asking), name=name
        )[0]

    def rollout(
        self, items: AnyData, model: AnyModel, *, name: str = "samples", **asking: Any
    ) -> Dataset:
        """Answer each item k times, with a model that sees its images."""
        from vlt.datagen.rollouts import make_rollouts

        return make_rollouts(
            self, self._data(items), self._model(model), _asking(ROLLOUTS, asking), name=name
        )[0]

    def judge(
        self,
        rows: AnyData,
        models: AnyModel | Sequence[AnyModel],
        rubric: str | Path,
        *,
        image: bool | None = None,
        name: str = "judged",
        **asking: Any,
    ) -> Dataset:
        """Judge captions or samples by a rubric: "grounded", "sound", "caption", or a file's path.

        The rows come back with the new judgements appended to their column `judgements`. `image`:
        whether the judges see it; by default the rubric decides. `asking`: k, temperature, ...
        """
        from vlt.evaluation.judging import make_judged
        from vlt.evaluation.judging_settings import JUDGING

        several = [models] if isinstance(models, Model | Dataset | str | Path) else models
        return make_judged(
            self,
            self._data(rows),
            [self._model(model) for model in several],
            rubric,
            _asking(JUDGING, asking),
            image=image,
            name=name,
        )[0]

    def filter(
        self,
        samples: AnyData | Sequence[AnyData],
        filters: Sequence[Any],
        *,
        name: str = "sft",
        keep_cut: bool = False,
    ) -> Dataset:
        """Keep the rows that every filter keeps; the others are in `.dropped` with the reason.

        A filter is given by its name ("verify"), a mapping of its settings ({"max_words": 500}), a
        function of a row, or "file.py:function". Responses cut off at the token limit are dropped as
        well, unless `keep_cut`.
        """
        from vlt.filters.apply import make_filtered

        several = [samples] if isinstance(samples, Dataset | str) else samples
        found = [self._data(d) for d in several]
        return make_filtered(self, found, chain=filters, name=name, keep_cut=keep_cut)[0]

    def dedup(self, data: AnyData, *, name: str | None = None, **settings: Any) -> Dataset:
        """Drop near-duplicates; `settings` are those of the filter near_dedup."""
        from vlt.filters.apply import make_filtered

        found = self._data(data)
        chain = [{"filter": "near_dedup", **settings}]
        return make_filtered(self, found, chain=chain, name=name or found.manifest.name)[0]

    def decontaminate(
        self, data: AnyData, against: Sequence[str], *, name: str | None = None, **settings: Any
    ) -> Dataset:
        """Drop items that overlap with the benchmarks `against` (datasets of the workspace)."""
        from vlt.filters.apply import make_filtered

        found = self._data(data)
        chain = [{"filter": "decontaminate", "against": list(against), **settings}]
        return make_filtered(self, found, chain=chain, name=name or found.manifest.name)[0]

    def mix(
        self,
        parts: Sequence[AnyData],
        *,
        sample: int | None = None,
        seed: int = 0,
        name: str = "items",
    ) -> Dataset:
        """The items of several versions together, or `sample` of them."""
        from vlt.datagen.mix import make_mix

        return make_mix(
            self, [self._data(part) for part in parts], sample=sample, seed=seed, name=name
        )[0]

    def train(
        self,
        method: str,
        data: AnyData,
        model: AnyModel,
        *,
        name: str | None = None,
        **settings: Any,
    ) -> Dataset:
        """Train a model on a version: "sft", "grpo", "dpo", or a method of your own.

        `settings`: fields of the method's settings (freeze, pixels, lora, reward, difficulty, ...);
        all others are fields of TRL's config: learning_rate=1e-6. Returns the checkpoint.
        """
        from vlt.train.method import find_method
        from vlt.train.training import train

        found = find_method(method)
        own = {f.name for f in fields(found.training)} - {"settings"}
        given = {key: value for key, value in settings.items() if key in own}
        trl = {key: value for key, value in settings.items() if key not in own}
        training = found.training(**{"prompt": ROLLOUTS.prompt, **given, "settings": trl})
        start = model if isinstance(model, Dataset) else Model.of(model)
        return train(self, found, self._data(data), start, training, name=name)[0]

    def label(
        self, samples: AnyData | Sequence[AnyData], *, name: str = "labelled", **labelling: Any
    ) -> Dataset:
        """Items labelled with the majority answer of their samples: majority=0.75, min_samples=8.

        Every row says so in `answer_source`; `.manifest.facts["calibration"]` holds the share of such
        answers that is correct at each threshold, where gold answers are known.
        """
        from vlt.evaluation.label import make_labels
        from vlt.evaluation.labelling import Labelling

        several = [samples] if isinstance(samples, Dataset | str) else samples
        found = [self._data(d) for d in several]
        return make_labels(self, found, Labelling(**labelling), name=name)[0]

    def evaluate(
        self,
        items: AnyData,
        model: AnyModel,
        *,
        grader: str = "vlt",
        name: str | None = None,
        **asking: Any,
    ) -> Dataset:
        """A model's answers to items, graded; `.manifest.facts["accuracy"]` holds value, low, high, n.

        images="none", "swapped" or "noise" shows something other than the items' own images; the version
        is then called eval-none, ... `image_worth` compares two such evaluations.
        """
        from vlt.evaluation.evaluate import evaluation_name, make_evaluation

        asked = _asking(EVALUATION, asking)
        return make_evaluation(
            self,
            self._data(items),
            self._model(model),
            asked,
            grader=grader,
            name=name or evaluation_name("eval", asked),
        )[0]

    def image_worth(self, own: AnyData, other: AnyData) -> ImageWorth:
        """What the images are worth to a model: its evaluation with them compared with one without."""
        from vlt.evaluation.image_worth import image_worth

        return image_worth(self, self._data(own), self._data(other))

    def export(
        self,
        data: AnyData,
        to: str | Path,
        format: str = "parquet",
        *,
        prompt: Prompt | None = None,
    ) -> list[Path]:
        """Write a version as files for other programs; returns those written.

        `format`: as `vlt export --format`. Rows that cannot be used are left out.
        """
        from vlt.api.export import export

        return export(self, self._data(data), Path(to), format, prompt).files

    def push(self, data: AnyData, repo: str, *, private: bool = False) -> str:
        """Push a version, or a checkpoint's model, to the Hub; returns the repository's address."""
        found = self._data(data)
        if found.kind == "checkpoint":
            from vlt.datagen.hub.model import push_model

            return push_model(self, found.path, repo, checkpoint=found, private=private)
        from vlt.datagen.hub.push import push_dataset

        return push_dataset(self, found, repo, private=private)

    def run(self, recipe: str | Path, **changes: Any) -> dict[str, Dataset]:
        """Run a recipe; what exists already is not made again.

        `changes` are keys of the recipe (seed=1; dotted ones in a dict: **{"rounds.0.sft": ...}).
        Returns the versions by step and round: "sft@r1", "grpo-model@r2", "heldout".
        """
        from vlt.runs.loop import carry_out, plan
        from vlt.runs.recipe import load_recipe

        loaded = load_recipe(str(recipe), changes)
        made = carry_out(self, loaded, plan(loaded)).made
        return {f"{name}@r{n}" if n else name: version for (n, name), version in made.items()}

    def _data(self, data: AnyData) -> Dataset:
        return data if isinstance(data, Dataset) else self.open(data)

    def _model(self, model: AnyModel) -> Model:
        return Model(str(model.path)) if isinstance(model, Dataset) else Model.of(model)


def load(ref: str) -> Dataset:
    """The version at "WORKSPACE/name", "WORKSPACE/name@v3" or "WORKSPACE/name@r2"."""
    folder, _, name = ref.rpartition("/")
    root = Path(folder or ".")
    if not root.is_dir():
        raise UsageError(
            f"{ref!r} is not a version: there is no workspace {str(root)!r}; write e.g. "
            "workspace/sft@r2"
        )
    return core.Workspace(root).open(name)


def _asking(defaults: Asking, given: dict[str, Any]) -> Asking:
    """`defaults` changed by what was given; `prompt` may be a text, with `system` beside it."""
    known = [f.name for f in fields(Asking)]
    for name in given:
        if name not in (*known, "system"):
            raise UsageError(f"{name!r} is not a setting of Asking; choose from {', '.join(known)}")
    given = dict(given)
    prompt = given.pop("prompt", defaults.prompt)
    if callable(prompt) or (isinstance(prompt, str) and is_path(prompt)):
        prompt = own_prompt(prompt)
    elif isinstance(prompt, str):
        prompt = Prompt(user=prompt, system=defaults.prompt.system)
    if "system" in given:
        prompt = replace(prompt, system=given.pop("system"))
    return replace(defaults, prompt=prompt, **given)


def _progress() -> Tell | None:
    """A bar in a notebook or on a terminal; None in a script."""
    if "ipykernel" not in sys.modules and not sys.stderr.isatty():
        return None
    from vlt.api.bar import shown

    return shown()
