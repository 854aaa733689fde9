"""Wrong recipes: each is refused before anything is asked, with all faults and their lines."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.pictures import png
from tests.stub import Stub
from vlt.errors import UserError
from vlt.runs.recipe import BUNDLED

GOOD = """\
name: mine
seed: 1
models:
  base: {model: stub, base_url: $URL}
  captioner: {model: stub, base_url: $URL}
  reasoner: {model: stub, base_url: [$URL]}
prompts:
  caption: {user: Describe.}
  rollout: {user: "{question}", by_source: {other: "Look. {question}"}}
heldout:
  items: [{source: ./questions.jsonl, limit: 2}]
  draw: {max_tokens: 8}
decontaminate: {against: [heldout]}
filters:
  - verify
  - select: shortest
captions: {temperature: 0.0}
reasoning: {k: 2, stop: ["</answer>"]}
sft:
  freeze: [vision_tower]
  settings: {learning_rate: 1e-6}
grpo:
  - train:
      settings: {learning_rate: 1e-6}
      reward: {accuracy: 1.0}
dpo:
  - train: {settings: {beta: 0.1}}
arms:
  grpo-only: {each_round: {teacher: off, sft: off, dpo: off}}
rounds:
  - teacher: reasoner
    items: [{source: ./questions.jsonl}]
"""
WRONG = [
    ("seed: 1", "seed: many", "seed = 'many'"),
    ("seed: 1", "seed: 1\nname: other", "line 3: the key 'name' is in line 1 already"),
    ("seed: 1", "seed: 1\ncolour: red", "unknown key 'colour'"),
    ("  base: {model: stub,", "  base: {modell: stub,", "unknown key 'models.base.modell'"),
    ("base: {model: stub,", "base: {model: <your-model>,", "'<your-model>' is a placeholder"),
    ("base: {model: stub,", "base: {model: ./gone,", "not a model folder"),
    ("base: {model: stub,", "base: {pixels: '900:100', model: stub,", "models.base"),
    (
        "captioner: {model: stub,",
        "captioner: {model: big,",
        "does not list the model 'big'; it lists",
    ),
    (
        "captioner: {model: stub, base_url: $URL}",
        "captioner: {model: stub, base_url: http://127.0.0.1:9/v1}",
        "no server answers at http://127.0.0.1:9/v1",
    ),
    (
        "captioner: {model: stub, base_url: $URL}",
        "captioner: {model: stub, engine: vllm, vllm_command: /no/vllm}",
        "there is no program '/no/vllm'; `pip install vllm`.*base_url.*engine: local",
    ),
    (
        "captioner: {model: stub, base_url: $URL}",
        "captioner: {model: stub, base_url: '${NO_SUCH_URL}'}",
        "the environment has no NO_SUCH_URL",
    ),
    ("reasoner: {model: stub,", "reasoner: {engine: magic, model: stub,", "'magic' is not one of"),
    ("caption: {user: Describe.}", "caption: {user: ''}", "the prompt is empty"),
    ('rollout: {user: "{question}",', 'rollout: {user: "{Question}",', "write {question}"),
    ('rollout: {user: "{question}",', "rollout: {user: Answer.,", "has no {question}"),
    ('{other: "Look. {question}"}', "{other: Look.}", "by_source other: the prompt has no"),
    ('rollout: {user: "{question}",', 'rollout: {user: "./gone.py:ask",', "gone.py"),
    ("draw: {max_tokens: 8}", "draw: {max_tokens: 0}", "heldout.draw.max_tokens = 0"),
    ("against: [heldout]", "against: [nothing]", "no source 'nothing'"),
    ("  - verify", "  - verfy", "no filter is called 'verfy'"),
    ("  - verify", "  - verify: {grader: strict}", "strict"),
    ("  - select: shortest", "  - select: {which: 3}", "select"),
    ("  - select: shortest", "  - ./mine.py:missing", "missing"),
    ("captions: {temperature: 0.0}", "captions: {temprature: 0.0}", "captions.temprature"),
    ("captions: {temperature: 0.0}", "captions: {temperature: -1}", "captions.temperature = -1"),
    ("reasoning: {k: 2,", "reasoning: {k: 0,", "k = 0"),
    ("freeze: [vision_tower]", "freeze: [brain]", "sft.freeze"),
    ("freeze: [vision_tower]", "lora: {rank: 8}", "rank"),
    ("freeze: [vision_tower]", "choose: {every: 5}", "add validation"),
    (
        "settings: {learning_rate: 1e-6}",
        "settings: {lerning_rate: 1e-6}",
        "did you mean learning_rate",
    ),
    ("settings: {learning_rate: 1e-6}", "settings: {max_length: 99}", "would cut image tokens"),
    ("reward: {accuracy: 1.0}", "reward: {acuracy: 1.0}", "reward: 'acuracy' is unknown"),
    (
        "reward: {accuracy: 1.0}",
        "reward: {./mine.py:polite: 1.0, accuracy: 0}",
        "the module has no 'polite'",
    ),
    ("  - train:\n", "  - difficulty: [0.9, 0.1]\n    train:\n", "is not a band of pass rates"),
    ("settings: {beta: 0.1}", "settings: {betta: 0.1}", "has no field 'betta'"),
    ("teacher: off,", "teachr: off,", "arm grpo-only: unknown key 'rounds.0.teachr'"),
    ("teacher: reasoner", "teacher: someone", "'someone' is not a model"),
    ("teacher: reasoner", "teacher: student", "round 1 has no student yet"),
    ("teacher: reasoner", "teacher: [reasoner, reasoner]", "names a model twice"),
    (
        "items: [{source: ./questions.jsonl}]",
        "items: [{source: ./nowhere.jsonl}]",
        "no source '.*nowhere.jsonl'",
    ),
    (
        "items: [{source: ./questions.jsonl}]",
        "items: [{source: nowhere.jsonl}]",
        "no source 'nowhere.jsonl'",
    ),
    (
        "items: [{source: ./questions.jsonl}]",
        "items: [{source: ./CHANGE_ME.jsonl}]",
        "'CHANGE_ME' is a placeholder",
    ),
    (
        "items: [{source: ./questions.jsonl}]",
        "items: [{source: 'workspace:mine'}]",
        "has no mine; import it with --as mine",
    ),
]
"""What stands in GOOD, what stands in its place, and what is said of it (a pattern)."""


@pytest.fixture(scope="module")
def stub() -> Iterator[Stub]:
    with Stub(only_model=True) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text("def kind(row):\n    return True\n")
    (tmp_path / "a.png").write_bytes(png(1))
    rows = [{"image": "a.png", "question": f"{n}?", "answer": str(n)} for n in range(4)]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def refused(folder: Path, text: str, stub: Stub) -> str:
    """What `vlt run` says of the recipe."""
    from vlt.cli.run import run

    file = folder / "recipe.yaml"
    file.write_text(text.replace("$URL", stub.url))
    with pytest.raises(UserError) as raised:
        run(str(file), workspace=folder / "workspace")
    assert not (folder / "workspace").exists(), "nothing was made"
    assert stub.stats()["requests"] == 0, "no model was asked"
    return str(raised.value)


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def test_the_good_one_is_ready(folder: Path, stub: Stub) -> None:
    from vlt.runs.loop import plan
    from vlt.runs.recipe import check_ready, load_recipe

    file = folder / "recipe.yaml"
    file.write_text(GOOD.replace("$URL", stub.url))
    recipe = load_recipe(str(file), to_run=True)
    assert recipe.rounds[0].reasoning.stop == ("</answer>",)
    check_ready(str(file), [(recipe, plan(recipe))], folder / "workspace")


@pytest.mark.parametrize(("old", "new", "says"), WRONG, ids=[new[:40] for _, new, _ in WRONG])
def test_it_is_refused_with_its_line(
    folder: Path, stub: Stub, old: str, new: str, says: str
) -> None:
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    sentence = refused(folder, text, stub)
    wrong = line_of(text, new) + new.count("\n") * ("colour" in new)
    found = [
        f for f in sentence.replace("recipe '", "\nrecipe '").splitlines() if re.search(says, f)
    ]
    assert found, sentence
    assert re.search(rf"line {wrong + ('name: o' in new)}: ", found[0]), sentence


def test_all_at_once(folder: Path, stub: Stub) -> None:
    """Faults of every kind together; the last line of each kind's own sentence is in the list."""
    places: dict[str, tuple[str, str]] = {}
    for old, new, says in WRONG:  # one at each place, none that hides another
        if not re.search("not a model folder|has no mine|already", says):
            places[old] = (new, says)
    for each in (
        "settings: {learning_rate: 1e-6}",
        "  base: {model: stub,",
        '{other: "Look. {question}"}',
    ):
        del places[each]
    text = GOOD
    for old, (new, _) in places.items():
        if old in text:
            text = text.replace(old, new, 1)
    sentence = refused(folder, text, stub)
    told = [says for new, says in places.values() if new in text]
    assert len(told) >= 15
    missing = [says for says in told if not re.search(says, sentence)]
    assert not missing, sentence
    lines = [int(line) for line in re.findall(r"^  line (\d+):", sentence, re.M)]
    assert lines == sorted(lines) and len(lines) >= len(told)


def test_a_dry_run_tells_what_is_not_ready_and_goes_on(folder: Path, stub: Stub) -> None:
    from tests.cli import run_vlt

    file = folder / "recipe.yaml"
    file.write_text(
        GOOD.replace("captioner: {model: stub,", "captioner: {model: big,").replace(
            "$URL", stub.url
        )
    )
    done = run_vlt("run", file, "--dry-run", "-w", folder / "workspace")
    assert done.returncode == 0, done.stderr
    assert "not ready yet: line 5: models.captioner" in done.stderr
    assert not (folder / "workspace").exists()


VLLM = """\
name: laptop
models:
  base: {model: org/vlm, engine: vllm, vllm_command: /no/vllm}
  vlm: {model: stub, base_url: $URL}
sft: on
rounds:
  - teacher: {model: vlm, sees: image}
    items: [{source: ./questions.jsonl}]
  - teacher: student
    items: [{source: ./questions.jsonl}]
"""


def test_no_vllm_for_the_students_is_told_by_the_dry_run_and_refused_by_the_run(
    folder: Path, stub: Stub
) -> None:
    """The base itself answers nothing here; its students do, served like it."""
    from tests.cli import run_vlt

    says = "line 3: models.base: engine vllm starts vLLM on this machine, but there is no program"
    assert says in refused(folder, VLLM, stub)
    dry = ("run", folder / "recipe.yaml", "--dry-run", "-w", folder / "workspace")
    done = run_vlt(*dry)
    assert (done.returncode, done.stderr.count("not ready yet: ")) == (0, 1), done.stderr
    assert f"not ready yet: {says}" in done.stderr and "samples" in done.stdout
    assert run_vlt(*dry, "--rounds", "1").stderr == "", "round 1 asks no student"


def test_a_vllm_that_is_here_or_on_a_cluster_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    from vlt.engine import reachable
    from vlt.engine.model import Model

    away = Model("org/m", engine="vllm", vllm_command="/no/vllm serve --more")
    here = Model("org/m", engine="vllm", vllm_command=sys.executable)
    says = reachable.trouble([away, here, Model("org/m", engine="local")])
    assert says[0] and "there is no program '/no/vllm'" in says[0]
    assert says[1:] == [None, None]
    monkeypatch.setenv("VLT_RAY", "auto")  # the program is on the nodes
    nodes = [{"Alive": True, "Resources": {"CPU": 4.0}}]
    monkeypatch.setattr(reachable, "connected", lambda: SimpleNamespace(nodes=lambda: nodes))
    assert reachable.trouble([away]) == [None]


@pytest.mark.parametrize("file", sorted(BUNDLED.glob("*.yaml")), ids=lambda file: file.stem)
def test_a_bundled_recipe_dry_runs_where_no_vllm_is(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.cli import run_vlt

    monkeypatch.setenv("VLT_VLLM_COMMAND", "/no/vllm")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = run_vlt("run", file.stem, "--dry-run", "-w", tmp_path / "none")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("there is no program '/no/vllm'") == file.read_text().count(
        "engine: vllm"
    ) - file.read_text().count("`engine: vllm`")


def test_a_server_that_does_not_answer_is_not_waited_for_long(folder: Path, stub: Stub) -> None:
    started = time.monotonic()
    gone = GOOD.replace("base_url: $URL}", "base_url: http://127.0.0.1:9/v1}", 2)
    sentence = refused(folder, gone, stub)
    assert sentence.count("no server answers at") == 2
    assert time.monotonic() - started < 10


def test_the_environment_fills_in(
    folder: Path, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vlt.runs.recipe import load_recipe

    monkeypatch.setenv("MY_STEPS", "40")
    file = folder / "recipe.yaml"
    text = GOOD.replace("learning_rate: 1e-6}\ngrpo", "max_steps: '${MY_STEPS}'}\ngrpo")
    file.write_text(text.replace("$URL", f'"${{MY_URL:-{stub.url}}}"'))
    recipe = load_recipe(str(file), to_run=True)
    assert recipe.rounds[0].sft and recipe.rounds[0].sft.settings == {"max_steps": 40}
    assert recipe.models.base.base_url == (stub.url,)
