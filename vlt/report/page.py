"""The report as one HTML file: numbers and figures put into the template, all text escaped."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from vlt import __version__
from vlt.grade.reasons import readable
from vlt.report import figures, numbers, shown, trust
from vlt.report.charts import STYLE, Figure
from vlt.report.examples import examples
from vlt.report.found import Found, Round, trained_by
from vlt.report.responses import Responses, responses
from vlt.workspace.store import Dataset


def report_html(found: Found) -> str:
    """The page: no script, nothing loaded from anywhere."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    def drawn(figure: Figure) -> Markup:
        return Markup(figure.inline())  # the charts escape what they are given

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters.update(
        visible=shown.visible,
        percent=shown.percent,
        interval=shown.interval,
        count=shown.count,
        duration=shown.duration,
        money=shown.money,
        chance=shown.chance,
        settings=shown.settings,
        drawn=drawn,
        readable=readable,
    )
    folder = files("vlt.report")
    template = environment.from_string((folder / "report.html.jinja").read_text())
    style = Markup((folder / "report.css").read_text() + STYLE)
    return template.render(style=style, version=__version__, **_contents(found))


def _contents(found: Found) -> dict[str, Any]:
    funnels = [(each, numbers.funnel(each)) for each in found.rounds]
    passes = [(each, numbers.pass_at(each)) for each in found.rounds]
    looks = _looks(found)
    trainings = [
        (_training_label(each, version), version, numbers.metrics(version))
        for each in found.rounds
        for version in each.trainings
    ]
    grpo = [(label, seen) for label, v, seen in trainings if v.manifest.stage == "train grpo"]
    curves = [
        figures.curves(grpo, "completions/mean_length", "Response length", "mean length (tokens)"),
        figures.curves(grpo, "reward", "Reward", "mean reward"),
        figures.curves(
            grpo, "completions/clipped_ratio", "Cut off", "share cut off at the token limit"
        ),
    ]
    costs = numbers.costs(found)
    depends = trust.dependence(found)
    return {
        "name": found.store.root.resolve().name,
        "made": numbers.now(),
        "found": found,
        "summary": _summary(found),
        "evaluations": found.evaluations,
        "accuracy": figures.accuracy(found.evaluations),
        "changes": numbers.changes(found),
        "depends": depends,
        "dependence": trust.dependence_figure(depends),
        "signs": trust.signs_of(found),
        "funnels": [
            (each, steps, figures.funnel(each, steps), _trained_on(each)) for each, steps in funnels
        ],
        "passes": [(each, by_source) for each, by_source in passes if any(by_source.values())],
        "pass_figures": figures.pass_at(passes),
        "looks": looks,
        "lengths": figures.lengths(
            "Words of reasoning, training rows",
            [(look["label"], look["of"].words) for look in looks if look["training"]],
        ),
        "answer_lengths": figures.lengths(
            "Words of reasoning, answers",
            [(look["label"], look["of"].words) for look in looks if look["answers"]][-6:],
        ),
        "reflections": figures.reflections(
            [(look["label"], look["row"]["reflecting"]) for look in looks]
        ),
        "trainings": trainings,
        "curves": [figure for figure in curves if figure],
        "stages": numbers.by_stage(costs),
        "costs": [
            (number, [c for c in costs if c["round"] == number]) for number in _numbers(costs)
        ],
        "per_verified": [(each, numbers.per_verified(each)) for each in found.rounds],
        "examples": examples(found),
        "versions": found.versions,
    }


def _trained_on(each: Round) -> bool:
    """Whether a model was trained on the last version of the round's funnel."""
    parents = [parent.ref for v in each.trainings for parent in v.manifest.parents]
    return bool(each.chain) and each.chain[-1].ref in parents


def _numbers(costs: list[dict[str, Any]]) -> list[int]:
    return sorted({cost["round"] for cost in costs})


def _looks(found: Found) -> list[dict[str, Any]]:
    """The versions whose responses are analysed: samples, training rows, and the models' answers."""
    wanted: list[tuple[str, Dataset, str]] = []
    for each in found.rounds:
        of = f", round {each.number}" if each.number else ""
        samples = [version for version in each.chain if version.kind == "sample"]
        drawn = [version for version in samples if version.manifest.stage in numbers.GENERATES]
        wanted += [(f"samples{of}", version, "samples") for version in drawn[:1]]
        if samples and samples[-1] not in drawn:
            wanted.append((f"training rows{of}", samples[-1], "training"))
    for evaluation in found.evaluations:
        if evaluation.items == _main_items(found):
            wanted.append((evaluation.model, evaluation.dataset, "answers"))
    looks = []
    for label, version, what in wanted:
        of_version: Responses = responses(version)
        looks.append(
            {
                "label": label,
                "ref": version.ref,
                "of": of_version,
                "row": of_version.row,
                "training": what == "training",
                "answers": what == "answers",
            }
        )
    return looks


def _main_items(found: Found) -> str | None:
    """The set of items that most models were evaluated on."""
    names = [evaluation.items for evaluation in found.evaluations]
    return max(dict.fromkeys(names), key=names.count) if names else None


def _training_label(each: Round, version: Dataset) -> str:
    alike = [v for v in each.trainings if v.manifest.stage == version.manifest.stage]
    label = f"{trained_by(version)}{f' {each.number}' if each.number else ''}"
    return label if len(alike) == 1 else f"{label}, training {alike.index(version) + 1}"


def _summary(found: Found) -> dict[str, Any]:
    """The first and the last model on the main set of items."""
    line = [e for e in found.evaluations if e.items == _main_items(found)]
    return {
        "rounds": len([each for each in found.rounds if each.number]),
        "on": line[0].items if line else None,
        "first": line[0] if line else None,
        "last": line[-1] if len(line) > 1 else None,
    }
