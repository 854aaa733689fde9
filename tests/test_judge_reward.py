"""The reward judge:RUBRIC: what it is worth, what is left out, and that a training pays for nothing twice."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.judges import Judges, judgement
from tests.processes import alive, child_of, wait_for
from tests.rows import dataset, item
from tests.tiny import trained
from vlt.errors import UserError
from vlt.train.judge_reward import JudgeReward, judge_reward
from vlt.train.own_rewards import Missed
from vlt.train.rewards import check_reward
from vlt.workspace.journal import Journal
from vlt.workspace.store import Store

MODEL = Path(__file__).parent.parent / "recipes" / "miniature" / "vlm"
COLUMNS = ("id", "question", "choices", "answer")


def ask(store: Store, server: Judges, texts: list[str], **settings: Any) -> tuple[Any, Missed]:
    """What the reward says of completions of one item, and what it missed."""
    items = dataset(store, "items", "item", [it := item()])
    given = {"model": "j", "base_url": server.url, **settings}
    missed = Missed()
    made = judge_reward(JudgeReward.of("judge:sound", given), store.root, items.ref, missed)
    columns = {name: [it[name]] * len(texts) for name in COLUMNS}
    return made([[{"role": "assistant", "content": text}] for text in texts], **columns), missed


def test_what_a_judgement_is_worth(workspace: Path) -> None:
    store = Store(workspace)
    texts = [f"<think>[[{i}:{score}]]</think> 2" for i, score in enumerate((5, 4, 3, 1))]
    with Judges("right") as server:
        assert ask(store, server, texts)[0] == [1, 1, 0, 0]
        assert ask(store, server, texts, score=True)[0] == [1, 0.75, 0.5, 0]
        assert server.answered.total() == 4  # the second time from the journal
        assert all("response_format" in body for body in server.bodies)


def test_what_cannot_be_judged_is_left_out_and_counted(workspace: Path) -> None:
    def says(text: str) -> Any:
        return 413 if "[[1:" in text else judgement(5) if "[[0:" in text else "I like it."

    with Judges(says) as server:
        texts = ["[[0:5]]", "[[1:5]]", "[[2:5]]", ""]
        values, missed = ask(Store(workspace), server, texts)
        assert values == [1, None, None, None]
        reasons = sorted(missed.steps[0]["judge:sound"])
        assert [reason[:20] for reason in reasons] == [
            "HTTP 413: as the tes",
            "the judge's reply is",
            "the row has no respo",
        ]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (1, "needs a model that judges"),
        ({"base_url": "http://x/v1"}, "needs a model that judges"),
        ({"model": "m"}, "no server is given"),
        ({"model": "m", "modle": "n"}, "no setting 'modle'"),
        ({"model": "m", "base_url": "http://x/v1", "weight": "much"}, "weight cannot be 'much'"),
        (
            {"model": "m", "base_url": "http://x/v1", "concurrency": 0},
            "concurrency = 0: give at least 1",
        ),
        ({"model": "m", "base_url": "http://x/v1", "weight": 0}, "every weight is 0"),
    ],
)
def test_settings_that_cannot_be_meant(settings: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        check_reward({"judge:sound": settings})


def test_where_it_is_asked_is_no_part_of_what_is_trained(tmp_path: Path) -> None:
    one = {"model": "m", "base_url": "http://x/v1", "concurrency": 1}
    other = {"model": "m", "base_url": ["http://y/v1", "http://z/v1"], "timeout": 5}
    assert check_reward({"judge:sound": one}) == check_reward({"judge:sound": other})
    json.dumps(check_reward({"judge:sound": one}))
    file = tmp_path / "mine.yaml"
    file.write_text("scale: [1, 5]\npass: 4\nprompt: '{response}'\n")
    assert list(check_reward({f"judge:{file}": one})) == ["judge:mine"]
    (tmp_path / "other").mkdir()
    twin = tmp_path / "other" / "mine.yaml"
    twin.write_text(file.read_text().replace("4", "5"))
    with pytest.raises(UserError, match="two are called 'judge:mine'"):
        check_reward({f"judge:{file}": one, f"judge:{twin}": one})
    with pytest.raises(UserError, match="shows the caption, which a completion does not have"):
        check_reward({"judge:caption": one})


def test_an_unjudged_completion_has_no_advantage_whatever_else_is_said_of_it() -> None:
    import torch

    from vlt.train.grpo_trainer import left_out

    def judge() -> None: ...

    judge.leaves_out = True  # type: ignore[attr-defined]
    nan = float("nan")
    found = left_out(torch.tensor([[1.0, 1.0], [1.0, nan], [nan, 0.0]]), [len, judge])
    assert found[0].tolist() == [1, 1]
    assert found[1].isnan().all()
    assert found[2].isnan().tolist() == [True, False]  # the grader's None stays what it was


class World(Judges):
    """Knows the miniature's items by their pictures: 5 for a response with the right answer, else 1."""

    def __init__(self, golds: dict[tuple[str, str], str]):
        super().__init__(self.look)
        self.golds, self.seen = golds, threading.local()

    def reply(self, body: dict[str, Any]) -> tuple[int, dict[str, Any] | bytes]:
        (image,) = [b for b in body["messages"][-1]["content"] if b["type"] == "image_url"]
        data = base64.b64decode(image["image_url"]["url"].split(",", 1)[1])
        self.seen.sha = hashlib.sha256(data).hexdigest()
        return super().reply(body)

    def look(self, text: str) -> str:
        question = text.partition("Question:\n")[2].partition("\n\nWhat stands")[0].strip()
        gold = self.golds[self.seen.sha, question]
        said = text.partition("begins]\n")[2].partition("\n[response")[0]
        answers = re.findall(r"<answer>\s*(.*?)\s*</answer>|So (\w+)\.", said)
        last = next((a or b for a, b in reversed(answers)), "")
        return judgement(5 if last == gold else 1, f"the picture says {gold}")


GRPO: dict[str, Any] = {
    "per_device_train_batch_size": 8,
    "num_generations": 4,
    "max_completion_length": 48,
    "learning_rate": 1e-4,
    "max_steps": 5,
    "save_steps": 2,
}
RUN = """
import json, sys
from pathlib import Path
from tests.tiny import trained
from vlt.workspace.store import Store

root, model, settings, reward = sys.argv[1:]
store = Store(Path(root))
more = {"settings": json.loads(settings), "reward": json.loads(reward)}
trained("grpo", store, store.open("items"), model, name="judged", **more)
"""


@pytest.mark.slow
def test_grpo_with_a_judge_killed_and_resumed_asks_for_nothing_twice(workspace: Path) -> None:
    from tests.cli import vlt

    store = Store(workspace)
    vlt("import", "miniature", "--set", "n=16", "--as", "items", "-w", workspace)
    rows = store.open("items").table().to_pylist()
    golds = {(row["images"][0], row["question"]): row["answer"] for row in rows}
    with World(golds) as server:
        judge = {"model": "world", "base_url": server.url, "concurrency": 4, "weight": 0.5}
        reward = {"accuracy": 1.0, "judge:grounded": judge}
        arguments = [str(workspace), str(MODEL), json.dumps(GRPO), json.dumps(reward)]
        parent = subprocess.Popen(
            [sys.executable, "-c", RUN, *arguments],
            cwd=Path(__file__).parent.parent,
            stderr=subprocess.DEVNULL,
        )
        folder = store.folder("checkpoint") / "judged"
        wait_for(lambda: list(folder.glob(".building*/run/checkpoint-2/trainer_state.json")), 240)
        child = child_of(parent.pid)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        wait_for(lambda: not alive(child))
        before = server.answered.total()
        journal = Journal(store.journal_file)
        arrived = journal.count()
        assert 0 < arrived <= before <= arrived + 4  # at most those in flight were lost
        data, told = store.open("items"), {"settings": GRPO, "reward": reward}
        resumed, _ = trained("grpo", store, data, str(MODEL), name="judged", **told)
        assert resumed.manifest.facts["resumed_at"] > 0
        assert server.answered.total() - len(server.answered) <= before - arrived
        assert journal.count() == len(server.answered)
        journal.close()
        # Trained once more from its beginning, it says the same, and nobody is asked.
        settled = server.answered.total()
        whole, _ = trained("grpo", store, data, str(MODEL), name="whole", **told)
        assert server.answered.total() == settled
        assert whole.manifest.digest == resumed.manifest.digest
    import pyarrow.parquet as pq

    logged = pq.read_table(whole.path / "metrics.parquet").to_pylist()
    means = [m["value"] for m in logged if m["name"] == "rewards/judge:grounded/mean"]
    assert len(means) == GRPO["max_steps"] and any(0 < mean < 1 for mean in means)
    assert "http" not in (whole.provenance / "manifest.json").read_text()
