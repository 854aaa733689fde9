"""What can be named: filters, rewards, graders and their conventions, sources, benchmarks, methods,
export formats, prompts, bundled recipes."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, fields
from typing import Any

import yaml

from docs.generate.markdown import NOTE, code, prose, table, type_name
from vlt.cli.export import export_
from vlt.datagen.benchmarks.catalog import BENCHMARKS
from vlt.datagen.paper_prompts import PROMPTS
from vlt.datagen.sources.known import KNOWN
from vlt.fields import documented, texts
from vlt.filters.registry import FILTERS
from vlt.grade.graders import GRADERS
from vlt.grade.verdict import Options
from vlt.judging.rubric import bundled_rubrics, load_rubric
from vlt.runs.recipe import BUNDLED
from vlt.train.method import BUILT_IN, find_method
from vlt.train.rewards import NUMBERS

GRADER_TEXTS = {
    "vlt": "vlt's own, by the conventions of [Verification](../grading.md).",
    "paper": "upstream's rule: the same text, or equal by MathRuler's comparison.",
    "math-verify": "the package math-verify, to compare with (`pip install math-verify`).",
}


def page() -> str:
    """The whole reference."""
    parts = (
        _filters,
        _rubrics,
        _rewards,
        _graders,
        _methods,
        _sources,
        _benchmarks,
        _formats,
        _prompts,
    )
    intro = (
        "Each of these names works on the command line, in recipes and in Python alike; a function of "
        "your own takes the same places ([Extending](../extending.md)).\n\n"
    )
    return NOTE + "# Names\n\n" + intro + "\n".join(part() for part in (*parts, _recipes))


def doc_of(kind: Any) -> str:
    """A docstring as Markdown, indented code included."""
    return prose(inspect.cleandoc(kind.__doc__ or ""))


def default_of(field: Any) -> str:
    """A field's default as a recipe writes it; empty where there is none."""
    value = field.default
    if value is MISSING:
        return "*required*"
    if value in (None, (), [], {}, ""):
        return ""
    if isinstance(value, bool | int | float | str):
        return code(yaml.safe_dump(value).removesuffix("\n...\n").strip())
    if isinstance(value, tuple):
        return ", ".join(code(each) for each in value)
    return code(value)


def _filters() -> str:
    text = "## Filters\n\nUnder `filters` in a recipe, in `ws.filter(...)`, and as options of `vlt filter`.\n"
    for name, kind in FILTERS.items():
        text += f"\n### {name}\n\n{doc_of(kind)}\n"
        settings = documented(kind)
        if settings:
            rows = [
                (code(f.name), type_name(f.type), default_of(f), prose(f.doc)) for f in settings
            ]
            text += "\n" + table(("setting", "type", "default", ""), rows)
    return text


def _rewards() -> str:
    rows = [(code(name), prose(said)) for name, said in NUMBERS.items()]
    rows.append((code("grader"), "the grader that decides for `accuracy`, by its name"))
    judge = "a model that judges each completion: see [Judges](../judging.md#use)"
    rows.append((code("judge:RUBRIC"), judge))
    return (
        "## Rewards\n\n`vlt train grpo --reward NAME=WEIGHT`, or `reward:` in a recipe.\n\n"
        + table(("reward", ""), rows)
    )


def _rubrics() -> str:
    found = [load_rubric(name) for name in bundled_rubrics()]
    return (
        "## Rubrics\n\n`vlt judge --rubric NAME`, `judge:` in a recipe, and GRPO's reward `judge:NAME`; a "
        "file of your own by its path ([Judges](../judging.md)).\n\n"
        + table(
            ("rubric", "the judge says", "scale", "pass", "sees the image"),
            [
                (
                    code(r.name),
                    prose(r.about),
                    f"{r.low:g} to {r.high:g}",
                    f"{r.passes:g}",
                    "yes" if r.image else "no",
                )
                for r in found
            ],
        )
    )


def _graders() -> str:
    text = "## Graders\n\n" + table(("grader", ""), [(code(g), GRADER_TEXTS[g]) for g in GRADERS])
    text += "\nConventions of `vlt`, written `vlt:NAME=VALUE,...`:\n\n"
    said = texts(Options)
    rows = [
        (code(f.name), code(str(f.default).lower()), prose(said[f.name])) for f in fields(Options)
    ]
    return text + table(("convention", "default", ""), rows)


def _methods() -> str:
    text = "## Training methods\n\n"
    rows = []
    for name in BUILT_IN:
        method = find_method(name)
        rows.append((code(name), prose(method.about), code(method.config[2])))
    return text + table(("method", "", "TRL's settings"), rows)


def _sources() -> str:
    rows = [
        (
            code(k.name),
            code(k.repo),
            code(k.config) if k.config else "",
            k.rows or "",
            prose(k.used),
        )
        for k in KNOWN
    ]
    rows.append((code("miniature"), "drawn by vlt", "", "", "the demo, and the other miniature"))
    head = ("source", "on the Hub", "configuration", "rows", "used in")
    return "## Sources\n\n`vlt import NAME`, or `items: [{source: NAME}]`.\n\n" + table(head, rows)


def _benchmarks() -> str:
    rows = [
        (
            code(b.name),
            code(b.repo),
            code(b.config) if b.config else "",
            code(b.split),
            "; ".join(f"{p.model} {p.accuracy:g}" for p in b.published),
        )
        for b in BENCHMARKS
    ]
    head = ("benchmark", "on the Hub", "configuration", "split", "published accuracy")
    return (
        "## Benchmarks\n\n`vlt eval NAME`; where each fact is from: `vlt eval --list --json`.\n\n"
        + table(head, rows)
    )


def _formats() -> str:
    help = next(
        metadata.help
        for metadata in inspect.signature(export_, eval_str=True)
        .parameters["format"]
        .annotation.__metadata__
    )
    rows = []
    for part in help.rstrip(".").split("; "):
        name, _, said = part.partition(": ")
        rows.append((", ".join(code(n) for n in name.split(", ")), prose(said)))
    return "## Export formats\n\n`vlt export DATASET --format NAME`.\n\n" + table(
        ("format", ""), rows
    )


def _prompts() -> str:
    rows = [(code(name), prose(prompt.user.replace("\n", " "))) for name, prompt in PROMPTS.items()]
    return "## Prompts\n\nNames that `--prompt` takes beside a file.\n\n" + table(
        ("prompt", "text"), rows
    )


def _recipes() -> str:
    rows = []
    for file in sorted(BUNDLED.glob("*.yaml")):
        rows.append((code(file.stem), prose(yaml.safe_load(file.read_text("utf-8"))["about"])))
    return "## Recipes\n\n`vlt run NAME --dry-run` prints the plan.\n\n" + table(
        ("recipe", ""), rows
    )
