"""A first recipe for a user's data, with comments: what `vlt init` writes.

Its stages and trainings are those of the bundled recipe for one GPU, with the comments; models, items
and sizes are the user's.
"""

from __future__ import annotations

import os
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlt.datagen.import_settings import Import
from vlt.datagen.sources.look import Looked
from vlt.errors import UsageError, UserError
from vlt.images.pixels import Pixels
from vlt.runs.parts import (
    parts_of,
    remarked,
    scalar_at,
    with_scalar,
    with_value,
    without_lines,
)
from vlt.runs.recipe import BUNDLED, find_recipe, load_recipe
from vlt.runs.start import LIKE, STUDENT, Start, no_vllm_note
from vlt.runs.written import as_written, flow, relative, scalar
from vlt.workspace.files import replaced

MAX_PIXELS = 262_144
"""Of an image in training: the paper's, 512 x 512."""
TOKEN = 28 * 28
"""Pixels per image token of Qwen2-VL and 2.5-VL."""
HELD_OUT, VALIDATION = 500, 200
"""Maximum number of held-out and of validation items."""
FEW = 1_000
"""With fewer items, none are set aside for validation."""


@dataclass(frozen=True)
class Draft:
    """A recipe's text, and the file to write it to."""

    text: str
    file: Path

    def write(self, *, force: bool = False) -> None:
        """Check it as `vlt run` does, and only then write it.

        Raises UsageError if the file exists, unless `force`, and for every fault.
        """
        if self.file.exists() and not force:
            raise UsageError(
                f"{str(self.file)!r} exists already; name another with --output, or overwrite it "
                "with --force"
            )
        if not self.file.parent.is_dir():
            raise UsageError(f"there is no folder {str(self.file.parent)!r}; create it first")
        with replaced(self.file) as part:
            part.write_text(self.text, encoding="utf-8")
            try:
                load_recipe(str(part), to_run=True)
            except UserError as error:
                message = str(error).replace(repr(str(part)), repr(str(self.file)))
                raise UsageError(f"nothing was written: {message}") from None


def of_bundled(name: str, start: Start, file: Path) -> Draft:
    """A copy of a bundled recipe with the user's models; the defaults of `start` change none."""
    found = find_recipe(name)
    text = found.read_text("utf-8")
    if re.search(r"model: \./", text):
        raise UsageError(
            f"recipe {name!r} uses models that come with vlt; run it with `vlt run {name}`, or copy "
            f"another: {', '.join(copied())}"
        )
    if start.base_url:
        raise UsageError("--base-url needs DATA; in a copy of a recipe, change its base_url")
    if start.engine:
        raise UsageError("--engine needs DATA; in a copy of a recipe, change its engine")
    text = with_scalar(text, ("name",), scalar(file.stem))
    was = scalar_at(text, ("models", "base", "model"))
    if start.student != STUDENT:
        for role in ("base", "captioner"):
            if scalar_at(text, ("models", role, "model")) == was:
                text = with_scalar(text, ("models", role, "model"), scalar(start.student))
    if start.teacher:
        if scalar_at(text, ("models", "reasoner", "model")) is None:
            raise UsageError(f"recipe {name!r} has no reasoner; leave out --teacher")
        text = with_scalar(text, ("models", "reasoner", "model"), scalar(start.teacher))
    return Draft(text, file)


def copied() -> list[str]:
    """The bundled recipes that can be copied: those whose models are not files next to them."""
    files = sorted(BUNDLED.glob("*.yaml"))
    return [f.stem for f in files if not re.search(r"model: \./", f.read_text("utf-8"))]


def of_data(looked: Looked, what: Import, start: Start, file: Path) -> Draft:
    """A recipe for a source that has been inspected."""
    like = parts_of((BUNDLED / f"{LIKE}.yaml").read_text("utf-8"))
    source = as_written(what, file.parent)
    parts = [
        _head(looked, file),
        f"name: {scalar(file.stem)}\n",
        f"about: {scalar(_about(looked, start))}\n",
        like["seed"].rstrip("\n") + "\n\n",
        _models(start, file.parent),
        like["prompts"],
    ]
    if not start.data_only:
        parts.append(_held_out(looked, source, like))
        if looked.rows >= FEW and not looked.no_image:
            parts.append(like.get("canary", ""))
    parts.append(_kept_out(start))
    parts += [like["captions"]] if start.teacher_sees == "caption" else []
    parts.append(
        like["reasoning" if start.teacher_sees == "caption" else "rollouts"].rstrip() + "\n"
    )
    if start.teacher_sees == "caption" and not start.data_only:
        parts.append(like["rollouts"].rstrip() + "\n")
    parts.append("\n" + like["filters"])
    if not start.data_only:
        parts += _trainings(looked, start, like)
    parts.append(_rounds(source, start))
    return Draft("".join(parts), file)


def _head(looked: Looked, file: Path) -> str:
    """What the recipe is for, what to do next, and what was found in the data."""
    name = file.name
    lines = [f"A first recipe for {looked.name}, by `vlt init`: change whatever you like.", ""]
    lines += [f"  vlt doctor {name}            what this machine lacks for it"]
    lines += [f"  vlt run {name} --dry-run     its steps; nothing is done"]
    lines += [f"  vlt run {name}               run it; after a stop, the same command resumes", ""]
    lines.append("What is in the data:")
    for what, says in looked.lines():
        folded = textwrap.wrap(says, 84, break_long_words=False, break_on_hyphens=False) or [""]
        lines.append(f"  {what:<8}  {folded[0]}")
        lines += [f"  {'':<8}  {more}" for more in folded[1:]]
    if 2 * looked.two_options > looked.items:
        lines += ["", "Most questions have two options, so half of all guesses are right and pass"]
        lines += ["verification. Look at some responses with `vlt view sft`."]
    lines += [
        "",
        "The comment after a setting is its source: paper (arXiv 2503.17352v2), upstream (its",
    ]
    lines += ["repository), guide (huggingface.co/docs/trl/lora_without_regret); or a reason."]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines)


def _about(looked: Looked, start: Start) -> str:
    who = start.teacher_name.rpartition("/")[2]
    reads = "sees the images" if start.teacher_sees == "image" else "reasons over captions"
    trained = "" if start.data_only else f", {start.student.rpartition('/')[2]} is trained (LoRA)"
    return f"{looked.name}: {who} {reads}{trained}."


def _models(start: Start, folder: Path) -> str:
    student, teacher = (_model(name, folder) for name in (start.student, start.teacher_name))
    captions = start.teacher_sees == "caption"
    why = "students are trained from it"
    if start.data_only:
        why = "not trained: the recipe only makes data"
    engine = start.serves
    note = [f"# {line}" for line in textwrap.wrap(no_vllm_note(start), 100)]
    lines = [*note, "models:", remarked(f"  base: {{model: {student}, engine: {engine}}}", why)]
    if captions:
        line = f"  captioner: {{model: {student}, engine: {engine}}}"
        lines.append(remarked(line, "describes the images"))
    lines += [f"  {'reasoner' if captions else 'teacher'}:", f"    model: {teacher}"]
    if start.base_url:
        urls = ", ".join(map(scalar, start.base_url))
        lines.append(
            remarked(f"    base_url: [{urls}]", "its key, if it needs one: OPENAI_API_KEY")
        )
    else:
        when = (
            "started for a step and stopped after it"
            if engine == "vllm"
            else "in the run's process"
        )
        lines.append(remarked(f"    engine: {engine}", when))
    return "\n".join(lines) + "\n\n"


def _model(name: str, folder: Path) -> str:
    """A folder relative to the recipe; a name as it is."""
    path = os.path.expanduser(name)
    return scalar(relative(path, folder) if os.path.isdir(path) else name)


def _held_out(looked: Looked, source: dict[str, Any], like: dict[str, str]) -> str:
    """Held-out items, and validation items to choose checkpoints by."""
    draw = re.search(r"^  draw: .*$", like["heldout"], re.M)
    assert draw, "the recipe says how held-out items are asked"
    amount = max(1, min(HELD_OUT, looked.rows // 10))
    if looked.held_out:
        held = {**source, "split": looked.held_out}
        why = f"never trained on: the split {looked.held_out}"
    else:
        held = {**source, "sample": amount, "seed": 9}
        why = "never trained on: decontamination below drops them"
    text = remarked("heldout:", why) + f"\n  items: [{flow(held)}]\n{draw[0]}\n"
    if looked.rows >= FEW:
        chosen = {**source, "sample": min(VALIDATION, looked.rows // 20), "seed": 10}
        text += remarked("validation:", "to choose checkpoints by")
        text += f"\n  items: [{flow(chosen)}]\n{draw[0]}\n"
    return text + "\n"


def _kept_out(start: Start) -> str:
    """Decontamination is worth having, but fetches benchmarks from the Hub: the user decides."""
    text = "# To keep benchmarks usable:\n"
    if not start.data_only:
        text = "# Held-out items are always kept out of the training data. To keep benchmarks usable:\n"
    return text + "# decontaminate: {against: [mathvista, mathverse, mathvision]}\n\n"


def _trainings(looked: Looked, start: Start, like: dict[str, str]) -> list[str]:
    """SFT and GRPO as in the recipe for one GPU, sized to the data."""
    sft, grpo = like["sft"], like["grpo"]
    grpo = re.sub(
        r"^  - items:.*?(?=^    difficulty:)",
        remarked("  - rates: rollouts", "of the round's items, by its SFT model") + "\n",
        grpo,
        flags=re.M | re.S,
    )
    steps = max(10, min(150, looked.rows // 8))
    grpo = with_value(grpo, "max_steps", str(steps), "4 prompts per step")
    if looked.rows < FEW:
        sft, grpo = without_lines(sft, "choose"), without_lines(grpo, "choose")
    if not looked.pixels or not _can_be_sized(start.student):
        return [without_lines(part, "pixels") for part in (sft, grpo)]
    tokens = f"median: {min(looked.pixels, MAX_PIXELS) // TOKEN:,} image tokens"
    return [with_value(part, "pixels", f"{{max: {MAX_PIXELS}}}", tokens) for part in (sft, grpo)]


def _can_be_sized(student: str) -> bool:
    """Whether the model's images can be resized to a range of pixels."""
    from vlt.engine.size_rule import resolved

    try:
        resolved(Pixels(0, MAX_PIXELS), student)
    except UserError:
        return False
    return True


def _rounds(source: dict[str, Any], start: Start) -> str:
    teacher = "reasoner" if start.teacher_sees == "caption" else "{model: teacher, sees: image}"
    text = f"rounds:\n  - teacher: {teacher}\n    items:\n      - {flow(source)}\n"
    if start.data_only:
        return text
    return text + (
        "  # A second round, with data from the improved model; harder questions work best:\n"
        f"  # - teacher: student\n  #   items:\n  #     - {flow(source)}\n"
    )
