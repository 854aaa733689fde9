"""A rubric: the prompt for a judge, the scale of its scores, and the score that passes.

It is one small YAML file; `grounded`, `sound` and `caption` come with vlt (vlt/judging/rubrics), others are
named by their path:

    about: whether the response is polite        # optional
    image: false                                 # does the judge see the row's images?
    scale: [1, 5]                                # whole numbers; [0.0, 1.0] takes fractions
    pass: 4                                      # this score or a higher one
    prompt: |
      Is this answer polite?
      {response}

vlt adds the format of the reply; a prompt need not mention JSON.
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
"""Slots for columns of the row; {question} includes the choices, {choices} are the choices alone."""
OF_SAMPLES = ("predicted", "response", "reasoning")
WRITTEN = ("caption", *OF_SAMPLES)
"""Slots for a model's text: a prompt needs at least one, else there is nothing to judge."""
CODE = "code"
"""A slot of 8 hexadecimal digits that no text of the row can predict, for marks around such texts."""
KEYS = ("about", "image", "scale", "pass", "prompt", "system")
NEEDED = ("scale", "pass", "prompt")
_SLOT = re.compile(r"\{(\w+)\}")
_BRACES = re.compile(r"(?<![\w\\}^_])\$?\{+\s*([A-Za-z]\w*)\s*\}+")
"""What looks like a slot: braces around one word, except LaTeX's."""
CHOICES_OF = 20
"""A scale of at most this many integers is sent to servers as an enumeration."""


@dataclass(frozen=True)
class Rubric:
    """See the module; made by `load_rubric` and `rubric_of`."""

    name: str
    """Its name in the column `judgements`: the file's name without its ending."""
    prompt: str
    low: float
    high: float
    passes: float
    """The lowest score that passes."""
    whole: bool = True
    """Whether only integers are scores: the scale's ends are written as integers."""
    image: bool = False
    about: str = ""
    system: str = ""

    @property
    def slots(self) -> list[str]:
        """The slots in its prompt, each once."""
        return list(dict.fromkeys(name for name in _SLOT.findall(self.prompt) if name in _KNOWN))

    @property
    def written(self) -> list[str]:
        """The slots for a model's text."""
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
        """The user prompt, with the format of the reply."""
        return (
            f"{self.prompt.rstrip()}\n\nReply with one JSON object and nothing else: "
            '{"reason": "...", "score": ...}. The reason is one or two sentences; the score is '
            f"{self.scale}."
        )

    def as_json(self) -> dict[str, Any]:
        """Its part of the identity of judgements."""
        return {
            "name": self.name,
            "prompt": self.text,
            "system": self.system,
            "scale": [self.low, self.high],
            "whole": self.whole,
            "pass": self.passes,
        }

    def response_format(self) -> dict[str, Any]:
        """The reply's format as a response_format of OpenAI's API; the reason comes before the score."""
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
        """The first slot to be judged for which a row has no text; None if it has all."""
        slots = slots_of(row)
        return next((name for name in self.written if not slots[name]), None)

    def filled(self, row: Mapping[str, Any]) -> str:
        """The user prompt for a row."""
        slots = slots_of(row)
        slots[CODE] = code_of(row)
        return _SLOT.sub(lambda m: slots.get(m[1], m[0]), self.text)


_KNOWN = (*OF_ROWS, CODE)


def structured(name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """A `response_format` that requires a JSON object with exactly these properties."""
    schema = {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }
    held = {"name": name, "strict": True, "schema": schema}
    return {"type": "json_schema", "json_schema": held}


def slots_of(row: Mapping[str, Any]) -> dict[str, str]:
    """The values of the slots for a row; image placeholders are removed, since images are sent separately.

    Choices and letters are those shown to the model, to which its response refers.
    """
    row = shown(row)
    found = {name: str(row.get(name) or "") for name in OF_ROWS}
    pairs = zip(LETTERS, row.get("choices") or [], strict=False)
    found["choices"] = "\n".join(f"({letter}) {choice}" for letter, choice in pairs)
    found["question"] = question_text({**row, "question": row.get("question") or ""})
    return {name: text.replace(PLACEHOLDER, "").strip() for name, text in found.items()}


def code_of(row: Mapping[str, Any]) -> str:
    """8 hexadecimal digits, a hash of the row's texts: no text can contain its own."""
    text = "\0".join(str(row.get(name) or "") for name in OF_ROWS)
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=4).hexdigest()


def load_rubric(name: str | Path) -> Rubric:
    """The bundled rubric of that name, or the one in a file; raises UsageError if missing or invalid."""
    import yaml

    path = Path(name)
    bundled = BUNDLED / f"{name}.yaml"
    if "/" not in str(name) and bundled.is_file():
        path = bundled
    if not path.is_file():
        raise UsageError(
            f"no rubric {str(name)!r}; name {', '.join(bundled_rubrics())}, or a YAML file with prompt, "
            "scale and pass"
        )
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(
            f"rubric {str(name)!r} cannot be read ({' '.join(str(error).split())}); write a YAML file "
            "with prompt, scale and pass"
        ) from None
    return rubric_of(path.stem, tree)


def beside(rubric: str, folder: Path) -> str:
    """A recipe's rubric, with a file's path resolved from the recipe's folder; a name unchanged."""
    if rubric.endswith((".yaml", ".yml")):
        return str((folder / Path(rubric).expanduser()).resolve())
    return rubric


def bundled_rubrics() -> list[str]:
    """The names of the rubrics that come with vlt."""
    return sorted(file.stem for file in BUNDLED.glob("*.yaml"))


def rubric_of(name: str, tree: Any) -> Rubric:
    """The rubric from a file's content; raises UsageError with the first thing that is wrong."""

    def wrong(what: str) -> UsageError:
        return UsageError(f"rubric {name!r}: {what}")

    if not isinstance(tree, Mapping):
        raise wrong("it has no keys; write prompt, scale and pass, each on its own line")
    for key in tree:
        if key not in KEYS:
            raise wrong(f"unknown key {key!r}; there are {', '.join(KEYS)}")
    for key in NEEDED:
        if tree.get(key) is None:
            example = {"scale": "[1, 5]", "pass": "4", "prompt": "|"}[key]
            raise wrong(f"it has no {key}; write e.g. `{key}: {example}`")
    scale = tree["scale"]
    if not _is_scale(scale):
        raise wrong(
            f"scale: {scale!r} is not a scale; write two numbers, the lower first, as in [1, 5]"
        )
    passes = tree["pass"]
    if not _is_number(passes) or not scale[0] < passes <= scale[1]:
        raise wrong(
            f"pass: {passes!r} is outside the scale; write a score above {scale[0]}, so that some score "
            f"fails, and at most {scale[1]}"
        )
    if not isinstance(tree.get("image", False), bool):
        raise wrong(f"image: {tree['image']!r} is neither true nor false")
    for key in ("prompt", "about", "system"):
        if not isinstance(tree.get(key) or "", str):
            raise wrong(f"{key}: {tree[key]!r} is not text; put it in quotes")
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
            raise wrong(f"the prompt has {found[0]!r}, which is not a slot; there are {known}")
    if unfilled := _SLOT.search(rubric.system):
        raise wrong(
            f"the system prompt has {unfilled[0]!r}, but slots are not filled in there; move it to the prompt"
        )
    if not rubric.written:
        slots = ", ".join(f"{{{name}}}" for name in WRITTEN)
        raise wrong(f"the prompt shows nothing to judge; put in one of {slots}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _is_scale(scale: Any) -> bool:
    if not isinstance(scale, Sequence) or isinstance(scale, str) or len(scale) != 2:
        return False
    return all(map(_is_number, scale)) and scale[0] < scale[1]
