"""A JSON schema of recipes, for editors, made from the fields: it matches the vlt that is installed.

    vlt schema > recipe.schema.json
    # yaml-language-server: $schema=recipe.schema.json     (a recipe's first line)

TRL's fields are those of the installed TRL. An editor cannot check what only a run can know: files,
servers, the user's functions.
"""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from dataclasses import MISSING
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le

from vlt.fields import Documented
from vlt.filters.registry import FILTERS
from vlt.plugins import entry_points
from vlt.runs.fields import ARM, Models, ModelUse, Phase, Recipe, Round
from vlt.runs.keys import is_part, keys_of, opened
from vlt.train.judge_reward import PREFIX, JudgeReward
from vlt.train.method import BUILT_IN, find_method
from vlt.train.rewards import NUMBERS
from vlt.train.settings import Training
from vlt.train.trl_fields import fields as trl_fields

Schema = dict[str, Any]

FROM_ENVIRONMENT = {"type": "string", "pattern": r"^\$\{"}
OWN = r"^[^\s:]+:[A-Za-z_]\w*$"
"""file.py:name, or package.module:name."""
_BOUNDS = {Ge: ("minimum", "ge"), Gt: ("exclusiveMinimum", "gt"), Le: ("maximum", "le")}
_PLAIN = {int: "integer", float: "number", bool: "boolean"}


def recipe_schema() -> Schema:
    """The whole schema (draft 2020-12)."""
    whole = _Maker()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A recipe of vlt",
        **whole.recipe(required=True),
        "$defs": whole.parts,
    }


def shared_keys() -> list[str]:
    """The keys of a round that the top level may set for all of them."""
    from vlt.runs.recipe import SHARED

    return [*SHARED, *(name for name in BUILT_IN if name not in SHARED)]


class _Maker:
    """Makes schemas of types; parts that occur several times are in `parts` once."""

    def __init__(self) -> None:
        self.parts: dict[str, Schema] = {}

    def recipe(self, *, required: bool) -> Schema:
        """The recipe's keys, or those that an arm may change."""
        of_rounds = self.round(required=False)["properties"]
        found = self.mapping(Recipe, required=required)
        found["properties"] |= {name: of_rounds[name] for name in shared_keys()}
        found["patternProperties"] = {OWN: {}}
        if not required:
            del found["properties"]["arms"]
            found["properties"]["each_round"] = {
                **self.round(required=False),
                "description": "Keys of every round.",
            }
        return found

    def round(self, *, required: bool) -> Schema:
        """A round's keys; those of training methods are under the methods' names."""
        found = self.mapping(Round, required=required)
        for name in BUILT_IN:
            if name not in found["properties"]:
                phase = {
                    "type": "object",
                    "properties": {"train": self.type(find_method(name).training, name)},
                    "additionalProperties": False,
                }
                found["properties"][name] = {
                    "description": find_method(name).about,
                    "anyOf": [{"type": "array", "items": phase}, {"type": ["boolean", "null"]}],
                }
        found["patternProperties"] = {OWN: {}}
        return found

    def mapping(self, cls: Any, method: str = "", required: bool = True) -> Schema:
        """A class as an object; for a training, `method` is the method it belongs to."""
        keys = [key for key in keys_of(cls) if key.name != "phases"]
        found: Schema = {
            "type": "object",
            "properties": {key.name: self.key(cls, key, method) for key in keys},
            "additionalProperties": False,
        }
        if cls is Models:
            found["additionalProperties"] = self.type(ModelUse)
        needed = [key.name for key in keys if key.required]
        if required and needed:
            found["required"] = needed
        return found

    def key(self, cls: Any, key: Documented, method: str) -> Schema:
        """One key, with its documentation and default."""
        about: Schema = {"description": " ".join(key.doc.split())} if key.doc else {}
        if key.default is not MISSING and _plain(key.default):
            about["default"] = key.default
        made: Schema
        if cls is Round and key.name == "filters":
            made = {"type": "array", "items": self.filter()}
        elif cls is Recipe and key.name == "arms":
            arm = self.part("arm", lambda: self.recipe(required=False))
            made = {"type": "object", "additionalProperties": {"anyOf": [arm, {"type": "null"}]}}
            made["propertyNames"] = {"pattern": f"^{ARM.pattern}$"}
        elif cls is Recipe and key.name == "rounds":
            made = {"type": "array", "minItems": 1, "items": self.round(required=True)}
        elif isinstance(cls, type) and issubclass(cls, Training) and key.name == "settings":
            made = self.trl(method)
        elif key.name == "reward":
            made = self.reward()
        else:
            method = "grpo" if cls is Phase else key.name if cls is Round else method
            made = self.type(key.type, method)
            made = _also(_bounded(made, key.bounds), key.written)
        return {**made, **about}

    def type(self, hint: Any, method: str = "") -> Schema:
        """Any type of a field."""
        kind, written, bounds = opened(hint)
        return _also(_bounded(self._type(kind, method), bounds), written)

    def _type(self, kind: Any, method: str) -> Schema:
        origin, args = get_origin(kind), get_args(kind)
        if origin in (Union, types.UnionType):
            return {"anyOf": [self.type(arg, method) for arg in args]}
        if origin is Literal:
            return {"enum": list(args)}
        if origin is tuple and args[-1] is not Ellipsis:
            ends = [self.type(arg, method) for arg in args]
            return {"type": "array", "prefixItems": ends, "minItems": len(ends), "items": False}
        if origin in (list, tuple):
            return {"type": "array", "items": self.type(args[0], method)}
        if kind in (dict, Mapping) or origin in (dict, Mapping):
            rest: Any = self.type(args[1], method) if args else {}
            found: Schema = {"type": "object", "additionalProperties": rest}
            if args and get_origin(args[0]) is Literal:
                found["propertyNames"] = {"enum": list(get_args(args[0]))}
            return found
        if is_part(kind):
            of = f" of {method}" if isinstance(kind, type) and issubclass(kind, Training) else ""
            made = self.part(f"{kind.__name__}{of}", lambda: self.mapping(kind, method))
            return _also(made, getattr(kind, "written", None))
        if kind in _PLAIN:
            return {"type": _PLAIN[kind]}
        if kind is type(None):
            return {"type": "null"}
        return {"type": "string"} if kind in (str, Path) else {}

    def part(self, name: str, make: Any) -> Schema:
        """A reference to a part, which is built once."""
        name = name.replace(" ", "-")
        if name not in self.parts:
            self.parts[name] = {}  # it may hold itself
            self.parts[name] = make()
        return {"$ref": f"#/$defs/{name}"}

    def trl(self, method: str) -> Schema:
        """The fields of TRL's config of this method."""
        known = trl_fields(find_method(method).config)
        return {
            "type": "object",
            "properties": {name: {"title": field.type} for name, field in known.items()},
            "additionalProperties": False,
        }

    def filter(self) -> Schema:
        """One entry of a chain of filters."""
        names = [*FILTERS, *entry_points("filter")]

        def made() -> Schema:
            values = {name: self._settings(kind) for name, kind in FILTERS.items()}
            return {
                "anyOf": [
                    {"enum": [*names, *(n.replace("_", "-") for n in names if "_" in n)]},
                    {"type": "string", "pattern": OWN},
                    {"type": "object", "required": ["filter"]},
                    {
                        "type": "object",
                        "properties": values | {n: {} for n in names if n not in values},
                        "patternProperties": {OWN: {}},
                        "minProperties": 1,
                        "maxProperties": 1,
                        "additionalProperties": False,
                    },
                ]
            }

        return self.part("filter", made)

    def _settings(self, kind: Any) -> Schema:
        """A filter's settings by name; a value that is not a mapping is its first setting."""
        keys = list(keys_of(kind))
        about = " ".join((kind.__doc__ or "").split())
        if kind.name == "mixture":  # its first setting is a mapping itself
            return {"description": about}
        settings = {
            "type": "object",
            "properties": {key.name: {"description": " ".join(key.doc.split())} for key in keys},
            "additionalProperties": False,
        }
        others = {"type": ["string", "number", "boolean", "array", "null"]}
        return {"description": about, "anyOf": [settings, others]}

    def reward(self) -> Schema:
        """The rewards by name, and the user's functions."""
        weights = {
            name: {"type": "number", "description": about} for name, about in NUMBERS.items()
        }
        others = {name: {"type": "number"} for name in entry_points("reward")}
        return {
            "type": "object",
            "properties": {"grader": {"type": "string"}, **others, **weights},
            "patternProperties": {
                f"^{PREFIX}": self.part("judge reward", lambda: self.mapping(JudgeReward)),
                f"^(?!{PREFIX}){OWN.removeprefix('^')}": {"type": "number"},
            },
            "additionalProperties": False,
        }


def _bounded(schema: Schema, bounds: Any) -> Schema:
    """With the bounds; a number or boolean may also come from the environment."""
    found = dict(schema)
    if found.get("type") in ("integer", "number", "boolean"):
        found |= {_BOUNDS[type(b)][0]: getattr(b, _BOUNDS[type(b)][1]) for b in bounds}
        return {"anyOf": [found, FROM_ENVIRONMENT]}
    if bounds and "anyOf" in found:
        found["anyOf"] = [
            {**s, **{_BOUNDS[type(b)][0]: getattr(b, _BOUNDS[type(b)][1]) for b in bounds}}
            if s.get("type") in ("integer", "number")
            else s
            for option in found["anyOf"]
            for s in option.get("anyOf", [option])
        ]
    return found


def _also(schema: Schema, written: Any) -> Schema:
    """With the other ways of writing the value."""
    if not written:
        return schema
    options = [schema]
    if written.one:
        options.append(schema["items"])
    if written.kinds:
        options.append({"type": list(written.kinds)})
    return {"anyOf": options} if len(options) > 1 else schema


def _plain(value: Any) -> bool:
    try:
        return json.loads(json.dumps(value)) == value
    except (TypeError, ValueError):
        return False
