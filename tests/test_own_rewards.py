"""A user's own rewards: their identity, what their errors cost, and a newcomer's task."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.newcomer import Newcomer
from tests.tiny import items, tiny_vlm, trained
from vlt.errors import UsageError, UserError
from vlt.runs.recipe import BUNDLED, load_recipe
from vlt.train.methods.grpo import GrpoTraining
from vlt.train.own_rewards import Missed
from vlt.train.rewards import COLUMNS, check_reward, rewards
from vlt.workspace.store import Store

TEXTS = ["please", "no", "oops", "please, thanks"]
POLITE = """
    def polite(completions, **columns):
        return [float("please" in c[-1]["content"]) for c in completions]
"""


def write(file: Path, text: str) -> Path:
    """Write a file of the user's."""
    file.write_text(textwrap.dedent(text))
    return file


def asked(name: str, missed: Missed | None = None, step: int = 0, **columns: Any) -> Any:
    """What the reward says of TEXTS, called as TRL calls it."""
    [reward] = rewards({name: 1.0}, missed=missed).functions
    given: dict[str, Any] = {column: [None] * len(TEXTS) for column in COLUMNS}
    return reward(
        prompts=[[]] * len(TEXTS),
        completions=[[{"role": "assistant", "content": text}] for text in TEXTS],
        completion_ids=[[1]] * len(TEXTS),
        trainer_state=SimpleNamespace(global_step=step),
        log_extra=None,
        log_metric=None,
        **{**given, **columns},
    )


def test_a_function_is_known_by_its_source_and_ours_as_before(tmp_path: Path) -> None:
    file = write(tmp_path / "mine.py", POLITE)
    first = check_reward({"accuracy": 1, f"{file}:polite": 0.2})
    assert set(first) == {"accuracy", "polite"}
    assert first["polite"]["weight"] == 0.2 and len(first["polite"]["sha256"]) == 64
    assert str(tmp_path) not in str(first)
    moved = write(tmp_path / "yours.py", POLITE)
    assert check_reward({"accuracy": 1, f"{moved}:polite": 0.2}) == first
    write(file, POLITE.replace("please", "sorry"))
    assert check_reward({"accuracy": 1, f"{file}:polite": 0.2}) != first
    assert check_reward({"accuracy": 1.0, "format": 0.1}) == {"accuracy": 1.0, "format": 0.1}


def test_it_is_called_as_trl_does_with_what_it_takes(tmp_path: Path) -> None:
    file = write(
        tmp_path / "mine.py",
        POLITE
        + """
    def narrow(completions, answer):
        return [len(a) for a in answer]

    async def slow(completions, **columns):
        return [None, 1, True, 0.5]

    def arrays(completions, trainer_state, **columns):
        import numpy
        return numpy.full(len(completions), trainer_state.global_step)
    """,
    )
    assert asked(f"{file}:polite") == [1.0, 0.0, 0.0, 1.0]
    assert asked(f"{file}:narrow", answer=["a", "bb", "ccc", ""]) == [1.0, 2.0, 3.0, 0.0]
    assert asked(f"{file}:slow") == [None, 1.0, 1.0, 0.5]
    assert asked(f"{file}:arrays", step=3) == [3.0] * 4


def test_one_that_raises_costs_the_sample(tmp_path: Path) -> None:
    file = write(
        tmp_path / "mine.py",
        """
        def touchy(completions, **columns):
            for completion in completions:
                if completion[-1]["content"] == "oops":
                    raise ValueError("I cannot read this")
            return [1.0] * len(completions)
        """,
    )
    missed = Missed(tmp_path / "missed")
    for step in (0, 1, 7):
        assert asked(f"{file}:touchy", missed, step) == [1.0, 1.0, None, 1.0]
    assert missed.total(2) == {"touchy": {"ValueError: I cannot read this (mine.py, line 5)": 2}}
    again = Missed(tmp_path / "missed")  # resumed before step 1: that step is counted once
    asked(f"{file}:touchy", again, 1)
    assert sum(again.total(9)["touchy"].values()) == 3


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return None", "a number or None for each sample; it returned None"),
        ("return [1.0]", "a list of 4, .* it returned 1 values"),
        ("return ['good'] * len(completions)", "one of them is 'good'"),
        ("return [float('nan')] * len(completions)", "one of them is nan"),
        ("return 'good'", "it returned 'good'"),
    ],
)
def test_nonsense_is_one_sentence(tmp_path: Path, body: str, words: str) -> None:
    file = write(tmp_path / "mine.py", f"def f(completions, **columns):\n    {body}\n")
    with pytest.raises(UserError, match=words):
        asked(f"{file}:f")


def test_names_and_settings_that_cannot_be_are_refused(tmp_path: Path) -> None:
    file = write(
        tmp_path / "mine.py",
        "def format(completions, **_): return []\ndef f(texts): return []\ndef g(**_): return []\n",
    )
    for reward, words in (
        ({"polit": 1}, "name a function of your own"),
        ({f"{file}:none": 1}, "the module has no 'none'; it has format, f, g"),
        ({f"{tmp_path}/gone.py:f": 1}, "does not exist"),
        ({f"{file}:format": 1}, "two are called 'format'"),
        ({f"{file}:f": 1}, "takes 'texts', which does not exist"),
        ({f"{file}:g": "high"}, "should be a number"),
        ({f"{file}:g": 0}, "every weight is 0"),
    ):
        with pytest.raises(UserError, match=words):
            check_reward(reward)


def test_a_function_itself_in_python(tmp_path: Path) -> None:
    from vlt.plugins import resolve

    file = write(tmp_path / "mine.py", POLITE)
    function = resolve(f"{file}:polite", "reward").object
    assert GrpoTraining(reward={function: 0.2, "accuracy": 1}).reward == {
        f"{file}:polite": 0.2,
        "accuracy": 1,
    }
    with pytest.raises(UsageError, match="put it into a file"):
        GrpoTraining(reward={lambda **_: []: 1})


def test_in_a_recipe_the_file_lies_beside_it(tmp_path: Path) -> None:
    import yaml

    write(tmp_path / "mine.py", POLITE)
    tree = yaml.safe_load((BUNDLED / "miniature.yaml").read_text())
    for settings in tree["rounds"]:
        for phase in settings["grpo"]:
            phase["train"]["reward"] = yaml.safe_load("{accuracy: 1, ./mine.py:polite: 0.2}")
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(tree))
    recipe = load_recipe(str(tmp_path / "own.yaml"))
    reward = recipe.rounds[0].grpo[0].train.reward
    assert reward == {"accuracy": 1, f"{tmp_path.resolve()}/mine.py:polite": 0.2}


def test_a_file_edited_while_it_starts_ends_the_run(tmp_path: Path) -> None:
    """Otherwise the child would use another reward function than the checkpoint's identity says."""
    from vlt.train.child import Job, train
    from vlt.train.method import find_method

    file = write(tmp_path / "mine.py", POLITE)
    settings = GrpoTraining(reward={f"{file}:polite": 1.0})
    method = find_method("grpo")
    own, identity = method.own(settings), method.parameters(settings)
    write(file, POLITE.replace("please", "sorry"))
    job = Job("grpo", "no model", None, "", {}, [], None, own=own, identity=identity)
    with pytest.raises(UserError, match="was edited"):
        train(method, job)


@pytest.mark.slow
def test_in_a_training_errors_are_counted_and_reported(tmp_path: Path) -> None:
    store = Store(tmp_path / "workspace")
    file = write(
        tmp_path / "mine.py",
        """
        def odd(completions, question, **columns):
            if len(completions) == 1 and int(question[0].split()[-1].strip("?")) % 2:
                raise RuntimeError("an odd picture")
            if len(completions) > 1:
                raise RuntimeError("too many")
            return [1.0]
        """,
    )
    settings = {
        "per_device_train_batch_size": 8,
        "num_generations": 4,
        "max_completion_length": 12,
        "max_steps": 2,
    }
    made, _ = trained(
        "grpo",
        store,
        items(store, 8),
        str(tiny_vlm(tmp_path / "vlm")),
        settings=settings,
        reward={"accuracy": 1, f"{file}:odd": 0.5},
    )
    facts = made.manifest.facts
    assert facts["steps"] == 2
    [(error, count)] = facts["reward_errors"]["odd"].items()
    assert error == "RuntimeError: an odd picture (mine.py, line 4)"
    assert 0 < count < 16
    assert not count % 4, "the four samples of an item share its fate"


@pytest.mark.slow
def test_the_page_as_it_is_written(tmp_path: Path) -> None:
    """docs/extending.md: a file of a dozen lines, beside files called as our packages are."""
    newcomer = Newcomer(tmp_path)
    [command] = newcomer.write("A reward")["bash"]
    (tmp_path / "sft-model").symlink_to(BUNDLED / "miniature" / "vlm")
    (tmp_path / "prompt.txt").write_text("{question} Think first.\n")
    newcomer.run("vlt import miniature --set n=16")
    fields = ("max_steps=2", "num_generations=4", "per_device_train_batch_size=8")
    told = " ".join(f"--set {field}" for field in (*fields, "max_completion_length=32"))
    line = f"{command.strip()} --prompt prompt.txt {told} --json"
    assert json.loads(newcomer.run(line))["facts"]["steps"] == 2
    made = Store(tmp_path / "workspace").open("grpo-model")
    reward = made.manifest.parameters["reward"]
    assert reward["accuracy"] == 1 and reward["brief"]["weight"] == 0.2
    metrics = pq.read_table(made.path / "metrics.parquet").to_pylist()
    means = [m["value"] for m in metrics if m["name"] == "rewards/brief/mean"]
    assert len(means) == 2 and all(0 < mean <= 1 for mean in means)
    assert json.loads(newcomer.run(line))["existed"]
    mine = tmp_path / "mine.py"
    mine.write_text(mine.read_text().replace("WORDS = 12", "WORDS = 6"))
    assert not json.loads(newcomer.run(line))["existed"], "an edited function, another model"


def test_of_many_different_errors_the_most_frequent_are_told(tmp_path: Path) -> None:
    missed = Missed(tmp_path / "missed")
    for number in range(50):
        for _ in range(2 if number == 7 else 1):
            missed.count(0, "touchy", f"KeyError: {number}")
    found = missed.total(1)["touchy"]
    assert len(found) == 21
    assert found["KeyError: 7"] == 2
    assert sum(found.values()) == 51
