"""The keys of a recipe as data, for the schema and the reference, read from the fields themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import MISSING, is_dataclass
from typing import Annotated, Any, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from vlt.fields import Documented, Written, documented, texts
from vlt.train.settings import Training

AS_IT_IS = Written()
NOT_HERE = {"prompt", "difficulty"}
"""Fields of a training that a recipe sets elsewhere (see vlt.runs.phases.of_a_recipe)."""


def keys_of(cls: Any) -> Iterator[Documented]:
    """The keys of a part of a recipe: the fields of its class."""
    if isinstance(cls, type) and is_dataclass(cls):
        for f in documented(cls):
            if not (issubclass(cls, Training) and f.name in NOT_HERE):
                yield f
        return
    docs = texts(cls)
    for name, field in cls.model_fields.items():
        default = field.get_default(call_default_factory=True)
        yield Documented(
            name,
            field.annotation,
            docs.get(name, ""),
            MISSING if default is PydanticUndefined else default,
            tuple(m for m in field.metadata if isinstance(m, Ge | Gt | Le)),
            written=next((m for m in field.metadata if isinstance(m, Written)), AS_IT_IS),
        )


def opened(hint: Any) -> tuple[Any, Written, Sequence[Any]]:
    """A type without its Annotated, the other ways to write its values, and its bounds."""
    if get_origin(hint) is not Annotated:
        return hint, AS_IT_IS, ()
    kind, *extras = get_args(hint)
    written = next((e for e in extras if isinstance(e, Written)), AS_IT_IS)
    inner, inner_written, bounds = opened(kind)
    return (
        inner,
        written if written != AS_IT_IS else inner_written,
        [*bounds, *(e for e in extras if isinstance(e, Ge | Gt | Le))],
    )


def is_part(kind: Any) -> bool:
    """Whether it is a class whose fields are keys of a recipe."""
    return isinstance(kind, type) and (is_dataclass(kind) or issubclass(kind, BaseModel))
