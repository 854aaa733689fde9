"""A rubric: what a judge is asked of a row, on which scale it answers, and what counts as pass.

It is one small YAML file; `grounded`, `sound` and `caption` come with vlt (vlt/judging/rubrics), any
other is named by its path:

    about: whether the response is polite        # optional
    image: false                                 # does the judge see the row's images?
    scale: [1, 5]                                # whole numbers; [0.0, 1.0] takes fractions
    pass: 4                                      # this score or a higher one
    prompt: |
      Is this answer polite?
      {response}

The form of the reply is added by vlt; a prompt need not speak of JSON.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from vlt.choice_order import shown
from vlt.errors import UsageError
from vlt.prompts import LETTERS, PLACEHOLDER, question_text

BUNDLED = Path(__file__).with_name("rubrics")
OF_ROWS = ("question", "choices", "answer", "predicted", "caption", "response", "reasoning")
"""Slots that hold a column of the row; {question} has its choices below it, {choices} are them alone."""
OF_SAMPLES = ("predicted", "response", "reasoning")
WRITTEN = ("caption", *OF_SAMPLES)
"""Slots that hold what a model wrote: one at least stands in a prompt, else there is nothing to judge."""
CODE = "code"
"""A slot of 8 hexadecimal digits that no text of the row can foresee: for marks around such texts."""
KEYS = ("about", "image", "scale", "pass", "prompt", "system")
NEEDED = ("scale", "pass", "prompt")
_SLOT = re.compile(r"\{(\w+)\}")
_BRACES = re.compile(r"(?<![\w\\}^_])\$?\{+\s*([A-Za-z]\w*)\s*\}+")
"""What is meant as a slot: braces around one word, not LaTeX's."""
CHOICES_OF = 20
"""A scale of at most so many whole numbers is given to servers as a list of them."""


@dataclass(frozen=True)
class Rubric:
    """See the module; made by `load_rubric` and `rubric_of`."""

    name: str
    """As the column `judgements` has it: the file's name without its ending."""
    prompt: str
    low: float
    high: float
    passes: float
    """The lowest score that passes."""
    whole: bool = True
    """Only whole numbers are scores: the scale's ends are written as such."""
    image: bool = False
    about: str = ""
    system: str = ""

    @property
    def slots(self) -> list[str]:
        """Those of its prompt, each once."""
        return list(dict.fromkeys(name for name in _SLOT.findall(self.prompt) if name in _KNOWN))

    @property
    def written(self) -> list[str]:
        """The slots that hold what a model wrote."""
        return [slot for slot in self.slots if slot in WRITTEN]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of rows that it can judge, the usual one first."""
        return ("sample",) if set(self.slots) & set(OF_SAMPLES) else ("caption", "sample")

    @property
    def scale(self) -> str:
        """a whole number from 1 to 5"""
        return f"a {'whole ' if self.whole else ''}number from {self.low:g} to {self.high:g}"

    @property
    def text(self) -> str:
        """The user text, with the form of the reply."""
        return (
            f"{self.prompt.rstrip()}\n\nReply with one JSON object and nothing else: "
            '{"reason": "...", "score": ...}. The reason is one or two sentences; the score is '
            f"{self.scale}."
        )

    def as_json(self) -> dict[str, Any]:
        """What of it belongs to the identity of judgements."""
        return {
            "name": self.name,
            "prompt": self.text,
            "system": self.system,
            "scale": [self.low, self.high],
            "whole": self.whole,
            "pass": self.passes,
        }

    def response_format(self) -> dict[str, Any]:
        """The reply's form as OpenAI's API takes it; the reason comes before the score."""
        score: dict[str, Any] = {"type": "number", "minimum": self.low, "maximum": self.high}
        if self.whole:
            score = {"type": "integer", "minimum": int(self.low), "maximum": int(self.high)}
            if self.high - self.low < CHOICES_OF:
                score = {"type": "integer", "enum": list(range(int(self.low), int(self.high) + 1))}
        return structured("judgement", {"reason": {"type": "string"}, "score": score})

    def verdict(self, score: float) -> str:
        """pass or fail"""
        return "pass" if score >= self.passes else "fail"

    def lacks(self, row: Mapping[str, Any]) -> str | None:
        """The slot that is to be judged and that a row leaves empty; None where it fills them all."""
        slots = slots_of(row)
        return next((name for name in self.written if not slots[name]), None)

    def filled(self, row: Mapping[str, Any]) -> str:
        """The user text for a row."""
        slots = slots_of(row)
        slots[CODE] = code_of(row)
        return _SLOT.sub(lambda m: slots.get(m[1], m[0]), self.text)


_KNOWN = (*OF_ROWS, CODE)


def structured(name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object of exactly these properties, as the `response_format` of a request."""
    schema = {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }
    held = {"name": name, "strict": True, "schema": schema}
    return {"type": "json_schema", "json_schema": held}


def slots_of(row: Mapping[str, Any]) -> dict[str, str]:
    """What a row puts into the slots; images stand beside the text, so their placeholders go.

    Choices and letters are those that the model was shown, which its response speaks of.
    """
    row = shown(row)
    found = {name: str(row.get(name) or "") for name in OF_ROWS}
    pairs = zip(LETTERS, row.get("choices") or [], strict=False)
    found["choices"] = "\n".join(f"({letter}) {choice}" for letter, choice in pairs)
    found["question"] = question_text({**row, "question": row.get("question") or ""})
    return {name: text.replace(PLACEHOLDER, "").strip() for name, text in found.items()}


def code_of(row: Mapping[str, Any]) -> str:
    """8 hexadecimal digits of all that a model wrote in the row: no text can hold its own."""
    text = "\0".join(str(row.get(name) or "") for name in OF_ROWS)
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=4).hexdigest()


def load_rubric(name: str | Path) -> Rubric:
    """The rubric of that name that comes with vlt, or the one in a file; raises UsageError."""
    import yaml

    path = Path(name)
    bundled = BUNDLED / f"{name}.yaml"
    if "/" not in str(name) and bundled.is_file():
        path = bundled
    if not path.is_file():
        raise UsageError(
            f"there is no rubric {str(name)!r}; name {', '.join(bundled_rubrics())}, or a YAML file "
            "with prompt, scale and pass"
        )
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(
            f"rubric {str(name)!r} cannot be read ({' '.join(str(error).split())}); it is a YAML file "
            "with prompt, scale and pass"
        ) from None
    return rubric_of(path.stem, tree)


def beside(rubric: str, folder: Path) -> str:
    """A recipe's rubric, with its path from the recipe's folder where it is a file's; a name as it is."""
    if rubric.endswith((".yaml", ".yml")):
        return str((folder / Path(rubric).expanduser()).resolve())
    return rubric


def bundled_rubrics() -> list[str]:
    """The names of those that come with vlt."""
    return sorted(file.stem for file in BUNDLED.glob("*.yaml"))


def rubric_of(name: str, tree: Any) -> Rubric:
    """The rubric that a file's content says; raises UsageError with the first thing that is wrong."""

    def wrong(what: str) -> UsageError:
        return UsageError(f"rubric {name!r}: {what}")

    if not isinstance(tree, Mapping):
        raise wrong("it holds no keys; write prompt, scale and pass, each on a line of its own")
    for key in tree:
        if key not in KEYS:
            raise wrong(f"unknown key {key!r}; there are {', '.join(KEYS)}")
    for key in NEEDED:
        if tree.get(key) is None:
            example = {"scale": "[1, 5]", "pass": "4", "prompt": "|"}[key]
            raise wrong(f"it has no {key}; write e.g. `{key}: {example}`")
    scale = tree["scale"]
    if not _is_scale(scale):
        raise wrong(f"scale: {scale!r} is none; write two numbers, the lower first, as in [1, 5]")
    passes = tree["pass"]
    if not _is_number(passes) or not scale[0] < passes <= scale[1]:
        raise wrong(
            f"pass: {passes!r} is outside the scale; write a score above {scale[0]} (which then fails) "
            f"and at most {scale[1]}"
        )
    if not isinstance(tree.get("image", False), bool):
        raise wrong(f"image: {tree['image']!r} is neither true nor false")
    for key in ("prompt", "about", "system"):
        if not isinstance(tree.get(key) or "", str):
            raise wrong(f"{key}: {tree[key]!r} is no text")
    rubric = Rubric(
        name=name,
        prompt=tree["prompt"],
        low=float(scale[0]),
        high=float(scale[1]),
        passes=float(passes),
        whole=all(isinstance(end, int) for end in scale),
        image=tree.get("image", False),
        about=tree.get("about") or "",
        system=tree.get("system") or "",
    )
    _check_slots(rubric, wrong)
    return rubric


def _check_slots(rubric: Rubric, wrong: Any) -> None:
    known = ", ".join(f"{{{name}}}" for name in _KNOWN)
    for found in _BRACES.finditer(rubric.prompt):
        if not _SLOT.fullmatch(found[0]) or found[1] not in _KNOWN:
            raise wrong(f"the prompt has {found[0]!r}, which is no slot; there are {known}")
    if _SLOT.search(rubric.system):
        raise wrong(f"the system text has {found[0]!r}, and no slot is filled there")
    if not rubric.written:
        slots = ", ".join(f"{{{name}}}" for name in WRITTEN)
        raise wrong(f"the prompt shows nothing to judge; put in one of {slots}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _is_scale(scale: Any) -> bool:
    if not isinstance(scale, Sequence) or isinstance(scale, str) or len(scale) != 2:
        return False
    return all(map(_is_number, scale)) and scale[0] < scale[1]
