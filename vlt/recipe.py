"""A recipe: one YAML file with the models, sources, stages and training settings of every round.

What stands at the top level holds for all rounds; a round repeats only what it changes. See
recipes/miniature.yaml for a whole one. Unknown keys are refused, so a typing error never becomes a
default.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from vlt.errors import UsageError
from vlt.prompts import Prompt
from vlt.request import Sampling

BUNDLED = Path(__file__).parent.parent / "recipes"

Scalar = str | int | float | bool | None


class Part(BaseModel):
    """A part of a recipe: frozen, and without room for unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PromptText(Part):
    """See vlt.prompts: the slots are {question} and {caption}."""

    user: str
    system: str = ""

    def prompt(self) -> Prompt:
        """As the stages take it."""
        return Prompt(user=self.user, system=self.system)


class Draw(Part):
    """Sampling parameters and the number of samples of a generation stage."""

    k: int = Field(1, ge=1)
    temperature: float = Field(1.0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int | None = None
    max_tokens: int = Field(2048, ge=1)
    extra: dict[str, Scalar] = {}

    def sampling(self, seed: int) -> Sampling:
        """As the engines take it; `seed` is the recipe's."""
        fields = self.model_dump(exclude={"k"})
        return Sampling(seed=seed, **fields)


class Draws(Draw):
    """Several samples of each row: the paper's k = 4 unless said otherwise."""

    k: int = Field(4, ge=1)


class ModelUse(Part):
    """A model and how to reach it; only `model` and `revision` are part of a row's identity."""

    model: str
    """A model's name, or a directory; ./ is the recipe's own folder."""
    revision: str | None = None
    engine: str | None = None
    """openai, local, ...; by default openai with a base_url, else local for a directory."""
    base_url: list[str] = []
    concurrency: int | None = None


class Models(Part):
    """The three models of the loop; the students are made from `base`."""

    base: Annotated[ModelUse, BeforeValidator(lambda v: {"model": v} if isinstance(v, str) else v)]
    captioner: Annotated[
        ModelUse, BeforeValidator(lambda v: {"model": v} if isinstance(v, str) else v)
    ]
    reasoner: Annotated[
        ModelUse, BeforeValidator(lambda v: {"model": v} if isinstance(v, str) else v)
    ]


class Prompts(Part):
    """The prompts of the three generation stages; rollout also trains and evaluates."""

    caption: PromptText
    reasoning: PromptText
    rollout: PromptText
    direct: PromptText | None = None
    """If given, the base model's answers without reasoning are measured with it, for comparison."""


class Source(Part):
    """Where items come from; `settings` are the source's own."""

    source: str
    config: str | None = None
    split: str | None = None
    revision: str | None = None
    limit: int | None = None
    sample: int | None = None
    seed: int = 0
    where: str | None = None
    map: dict[str, str] = {}
    settings: dict[str, Any] = {}


class Train(Part):
    """Settings of one training; `settings` are fields of TRL's SFTConfig or GRPOConfig."""

    settings: dict[str, Any] = {}
    freeze: list[Literal["vision_tower", "projector"]] = []
    pixels: dict[Literal["min", "max"], int] = {}
    max_prompt_tokens: int | None = None
    """Rows whose prompt is longer, image tokens included, are left out."""
    lora: dict[str, Any] = {}
    """Train adapters and not the weights: see train.lora."""
    processes: int = Field(1, ge=1)
    """Of this machine, started by accelerate where there is more than one."""
    accelerate: list[str] = []
    """Further arguments of accelerate's launcher; zero2, zero3, fsdp1 or fsdp2 by name."""
    reward: dict[str, float | str] = {}
    """GRPO: see train.rewards; by default the 0/1 accuracy reward."""


class Phase(Part):
    """One GRPO training of a round; a round may have several, each from the one before (v1.2)."""

    items: list[Source] = []
    """By default the round's own items."""
    difficulty: tuple[float, float] | None = None
    """Without items of its own: the round's items whose samples' pass rate lies in this band."""
    train: Train = Train()

    @model_validator(mode="after")
    def _one_of_both(self) -> Phase:
        if self.items and self.difficulty:
            raise ValueError("a phase has items of its own or a difficulty band, not both")
        return self


class Round(Part):
    """What one round adds to, or changes in, the recipe's top level."""

    teacher: Literal["reasoner", "student"]
    """reasoner: captions, then text-only reasoning. student: rollouts of the round before's model."""
    items: list[Source]
    """The questions that SFT data is made of."""
    captions: Draw = Draw()
    reasoning: Draws = Draws()
    rollouts: Draws = Draws()
    filters: list[Any] = []
    sft: Train = Train()
    grpo: list[Phase] = [Phase()]


class Evaluation(Part):
    """How a model is judged on the held-out items, the same for every model of the loop."""

    items: list[Source]
    draw: Draw = Draw()
    base: bool = True
    """Judge the base model as well, before round 1."""


class Recipe(Part):
    """A whole recipe, with the top level's settings filled into every round."""

    name: str
    about: str = ""
    seed: int = 0
    models: Models
    prompts: Prompts
    heldout: Evaluation
    rounds: list[Round] = Field(min_length=1)


SHARED = ("captions", "reasoning", "rollouts", "filters", "sft", "grpo")
"""Keys of a round that the top level may set for all of them."""


def find_recipe(recipe: str) -> Path:
    """The file, or the bundled recipe of that name."""
    for candidate in (Path(recipe), BUNDLED / recipe, BUNDLED / f"{recipe}.yaml"):
        if candidate.is_file():
            return candidate
    bundled = ", ".join(sorted(file.stem for file in BUNDLED.glob("*.yaml")))
    raise UsageError(
        f"no recipe {recipe!r}; name a YAML file, or one that comes with vlt: {bundled}"
    )


def load_recipe(recipe: str, changes: dict[str, Any] | None = None) -> Recipe:
    """Read and check a recipe; `changes` are dotted keys (`seed`, `rounds.0.sft.settings.max_steps`).

    Raises UsageError with the key and its value where something is not as it must be.
    """
    file = find_recipe(recipe)
    try:
        tree = yaml.safe_load(file.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = " ".join(str(error).split())
        raise UsageError(f"recipe {str(file)!r} is not YAML ({where}); mend that line") from None
    if not isinstance(tree, dict):
        raise UsageError(f"recipe {str(file)!r} is not a mapping; see recipes/miniature.yaml")
    for key, value in (changes or {}).items():
        _set(tree, key, value, file)
    tree = _numbers(tree)
    try:
        parsed = Recipe.model_validate(_share(tree))
    except ValidationError as error:
        raise UsageError(_sentence(file, error)) from None
    return _with_paths(parsed, file.parent.resolve())


def _share(tree: dict[str, Any]) -> dict[str, Any]:
    """Merge the top level's shared keys into each round; a round's own keys win, mappings merge."""
    shared = {key: tree[key] for key in SHARED if key in tree}
    rest = {key: value for key, value in tree.items() if key not in SHARED}
    rounds = rest.get("rounds")
    if isinstance(rounds, list):
        rest["rounds"] = [_merge(shared, r) if isinstance(r, dict) else r for r in rounds]
    return rest


def _merge(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        merged = {**below}
        for key, value in above.items():
            merged[key] = _merge(below[key], value) if key in below else value
        return merged
    return above


def _set(tree: Any, key: str, value: Any, file: Path) -> None:
    *path, last = key.split(".")
    try:
        for step in path:
            tree = tree[int(step)] if isinstance(tree, list) else tree.setdefault(step, {})
        tree[int(last) if isinstance(tree, list) else last] = value
    except (IndexError, ValueError, TypeError, AttributeError):
        raise UsageError(f"--set {key!r} does not fit recipe {str(file)!r}; see its keys") from None


def _numbers(value: Any) -> Any:
    """YAML 1.1 reads 1e-6 as text; in a recipe it is a number."""
    if isinstance(value, dict):
        return {key: _numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_numbers(inner) for inner in value]
    if isinstance(value, str) and value[:1] in "0123456789.-" and "e" in value.lower():
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _sentence(file: Path, error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(step) for step in first["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        return f"recipe {str(file)!r} has an unknown key {key!r}; remove or correct it{more}"
    if first["type"] == "missing":
        return f"recipe {str(file)!r} lacks the key {key!r}; add it{more}"
    value = repr(first["input"])
    value = value if len(value) < 80 else value[:77] + "..."
    return f"recipe {str(file)!r}: {key} = {value} is not right: {first['msg'].lower()}{more}"


def _with_paths(recipe: Recipe, folder: Path) -> Recipe:
    """./x means a file or directory beside the recipe, so that a recipe runs from anywhere."""

    def beside(name: str) -> str:
        return str((folder / name).resolve()) if name.startswith(("./", "../")) else name

    def use(model: ModelUse) -> ModelUse:
        return model.model_copy(update={"model": beside(model.model)})

    def sources(items: list[Source]) -> list[Source]:
        return [s.model_copy(update={"source": beside(s.source)}) for s in items]

    rounds = [
        r.model_copy(
            update={
                "items": sources(r.items),
                "grpo": [p.model_copy(update={"items": sources(p.items)}) for p in r.grpo],
            }
        )
        for r in recipe.rounds
    ]
    m = recipe.models
    models = Models(base=use(m.base), captioner=use(m.captioner), reasoner=use(m.reasoner))
    heldout = recipe.heldout.model_copy(update={"items": sources(recipe.heldout.items)})
    return recipe.model_copy(update={"rounds": rounds, "models": models, "heldout": heldout})
