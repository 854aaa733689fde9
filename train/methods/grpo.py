"""Reinforcement learning on verifiable answers, with TRL's GRPOTrainer and the grader.

vlt train grpo --data items --model sft-model --set num_generations=8
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from annotated_types import Ge, Gt, Le

from vlt.errors import UsageError, UserError
from vlt.fields import Option
from vlt.train.method import Method, Row
from vlt.train.settings import Training
from vlt.train.vllm import cost, settings_of

if TYPE_CHECKING:
    import pyarrow as pa

    from vlt.train.child import Given, Job
    from vlt.workspace.store import Dataset, Store

MAX_SHARE = 0.9
"""Maximum share of a thought in a hint: the policy writes the rest of it, and the answer."""
VERDICTS, MISSED = "verdicts", "reward-errors"
"""In the build folder: what the rewards returned, and where they raised."""
Ways = Literal["auto", "colocate", "server"]
"""Modes of using vLLM: see vlt.train.vllm."""


@dataclass(frozen=True, kw_only=True)
class GrpoTraining(Training):
    """Training, and what is rewarded, on which items."""

    reward: Annotated[dict[Any, float | str | dict[str, Any]], Option(metavar="KEY=VALUE")] = field(
        default_factory=dict
    )
    """Weights: accuracy, format, length, ... (see vlt.train.rewards), your own functions:
    ./mine.py:polite, and judges: judge:sound={model: M, base_url: URL}. [accuracy: 1]"""
    difficulty: Annotated[tuple[float | None, float | None] | None, Option(metavar="LOW:HIGH")] = (
        None
    )
    """Only items whose pass rate lies in this band, ends included."""
    vllm: Ways | None = None
    """Let vLLM write the completions: colocate on the GPUs that train, server on a GPU beside them (with
    --ray, vlt starts it there), auto: whichever fits, if vLLM is installed in this environment.
    [transformers writes them]"""
    hints: str | None = None
    """Samples whose verified traces give hints: for items that no sample solves (pass rate 0), the
    response starts with the first part of a trace."""
    hint_share: Annotated[float, Gt(0), Le(MAX_SHARE)] = 0.5
    """Initial share of the trace's thought in a hint."""
    hint_fade: Annotated[int | None, Ge(0)] = None
    """Steps over which that share falls to 0; 0 keeps it constant. [all steps]"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.vllm not in (None, *get_args(Ways)):
            raise UsageError(f"vllm: {self.vllm!r} is not one of {', '.join(get_args(Ways))}")
        if self.difficulty:
            from vlt.filters.pass_rate import Band

            Band(*self.difficulty)
        if all(isinstance(reward, str) for reward in self.reward):
            return
        from vlt.train.own_rewards import name_of

        named = {name_of(reward): weight for reward, weight in self.reward.items()}
        object.__setattr__(self, "reward", named)


def parameters(settings: GrpoTraining) -> dict[str, Any]:
    """The reward and the band, as part of the checkpoint's identity."""
    from vlt.train.rewards import check_reward

    found = {
        "reward": check_reward(settings.reward),
        "difficulty": list(settings.difficulty) if settings.difficulty else None,
    }
    if settings.hints:  # the samples themselves are a parent of the checkpoint
        found["hints"] = {"share": settings.hint_share, "fade": settings.hint_fade}
    return found


def reads(store: Store, settings: GrpoTraining) -> list[Dataset]:
    """The samples whose traces are hints."""
    return [store.open(settings.hints)] if settings.hints else []


def columns() -> pa.Schema:
    """One row is an item: the prompt, and what a reward needs to judge a completion."""
    import pyarrow as pa

    from vlt.train.trl_rows import MESSAGES

    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            ("source", pa.string()),
            ("question", pa.string()),
            ("prompt", MESSAGES),
            ("images", pa.list_(pa.string())),
            ("answer", pa.string()),
            ("choices", pa.list_(pa.string())),
            ("answer_type", pa.string()),
            ("pass_rate", pa.float32()),  # null if the item was never sampled
        ]
    )


def rows(store: Store, data: Dataset, settings: GrpoTraining) -> pa.Table | None:
    """The distinct items of samples, within the band; with their traces for hints."""
    if data.kind != "sample":
        if settings.hints:
            raise UserError(
                f"hints are for items that no sample solves, but {data.ref} holds {data.kind}s; train "
                "on graded samples of them (`vlt gen rollouts`, then `vlt filter --grade`)"
            )
        return None
    from vlt.train.hints import with_traces
    from vlt.workspace.lineage import fair_samples

    items = items_of_samples(data, fair_samples(store, data))
    if settings.difficulty:
        low, high = settings.difficulty
        items = band(items, low, high)
        if not items.num_rows:
            raise UserError(
                f"{data.ref} has no item with a pass rate from {low} to {high}; widen the "
                "difficulty band"
            )
    for traces in reads(store, settings):
        items = with_traces(items, traces)
    return items


def items_of_samples(data: Dataset, fair: int | None = None) -> pa.Table:
    """The distinct items of a dataset of graded samples, with the column pass_rate.

    Items none of whose samples was kept are included too, unless a filter dropped the item itself
    (see vlt.filters.pass_rate). `fair`: only samples below this number count.
    """
    from vlt.filters.pass_rate import rated_items
    from vlt.filters.registry import of_items

    return rated_items(data, of_items(), fair)


def band(items: pa.Table, low: float | None, high: float | None) -> pa.Table:
    """The items whose pass rate is known and lies in [low, high]."""
    import pyarrow as pa

    from vlt.filters.pass_rate import Band

    return items.filter(pa.array(Band(low, high).holds(items["pass_rate"])))


def example(row: Row) -> Row | str:
    """Without a gold answer, nothing can be graded."""
    return {} if row.get("answer") else "no gold answer"


def trainer(given: Given) -> Any:
    """TRL's trainer with our rewards, whose verdicts are recorded."""
    from vlt.train.grpo_trainer import RowsGRPOTrainer
    from vlt.train.hints import Fade
    from vlt.train.own_rewards import Missed
    from vlt.train.rewards import rewards
    from vlt.train.verdicts import Verdicts

    folder, training = given.job.path, given.training
    verdicts = Verdicts(folder / VERDICTS, hints=bool(training.hints))
    made = rewards(training.reward, verdicts.record, Missed(folder / MISSED), given.job)
    if given.config.reward_weights is None:
        given.config.reward_weights = made.weights
    return RowsGRPOTrainer(
        **given.arguments(),
        reward_funcs=list(made.functions),
        turns=given.turns,
        fade=Fade(training.hint_share, training.hint_fade) if training.hints else None,
    )


def finish(job: Job, steps: int) -> dict[str, Any]:
    """Write the sampled completions and their verdicts beside the model."""
    import pyarrow.parquet as pq

    from vlt.train.hints import TRACE
    from vlt.train.own_rewards import Missed
    from vlt.train.verdicts import Verdicts

    facts: dict[str, Any] = {}
    hints = bool(job.own.get("hints"))
    if hints:
        traces = pq.read_table(job.data, columns=[TRACE]).column(TRACE)
        facts["hinted_items"] = len(traces) - traces.null_count
    verdicts = Verdicts(job.path / VERDICTS, hints=hints)
    verdicts.merge(job.path / "model" / "rollouts.parquet", steps)
    missed = Missed(job.path / MISSED).total(steps)
    return facts | ({"reward_errors": missed} if missed else {})


METHOD = Method(
    name="grpo",
    about="Improve a model by reinforcement on the answers that the grader finds correct.",
    takes=("item", "sample", "caption"),
    made_by="vlt import SOURCE",
    config=("trl", "trainer/grpo_config.py", "GRPOConfig"),
    training=GrpoTraining,
    parameters=parameters,
    columns=columns,
    rows=rows,
    reads=reads,
    example=example,
    trainer=trainer,
    execution=settings_of,
    cost=cost,
    finish=finish,
    processor={"truncation_side": "left", "padding_side": "left"},
    paper={
        "learning_rate": (1e-6, "table 8"),
        "lr_scheduler_type": ("constant", "EasyR1's default"),
        "weight_decay": (1e-2, "table 8"),
        "beta": (1e-2, "upstream, kl_coef with low_var_kl"),
        "epsilon": (0.2, "EasyR1's clip_ratio_low"),
        "epsilon_high": (0.3, "EasyR1's clip_ratio_high"),
        "delta": (3.0, "EasyR1's clip_ratio_dual"),
        "loss_type": ("bnpo", "EasyR1 averages over the batch's tokens"),
        "num_generations": (5, "upstream, rollout.n"),
        "generation_batch_size": (2560, "512 prompts x 5"),
        "effective batch": (640, "128 prompts x 5"),
        "temperature": (1.0, "upstream, easyr1 config.yaml"),
        "top_p": (0.99, "upstream, easyr1 config.yaml"),
        "max_completion_length": (2048, "upstream, max_response_length"),
        "scale_rewards": ("group", "GRPO"),
        "bf16": (True, "upstream, easyr1 config.yaml"),
    },
    shown=("per_device_train_batch_size", "gradient_accumulation_steps", "max_steps", "seed"),
    goal="reward",
    curves=("loss", "reward", "completions/mean_length"),
)
