"""DPO: which samples make a pair, what TRL reads, and that it trains like plain TRL."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.cli import vlt, vlt_error, vlt_json
from tests.processes import alive, child_of, wait_for
from tests.tiny import COLOURS, PROMPT, item_rows, items, tiny_vlm, trained
from vlt.errors import UserError
from vlt.runs.recipe import BUNDLED
from vlt.train.methods.dpo import METHOD, REJECTED, DpoTraining
from vlt.train.trl_rows import write_trl
from vlt.workspace.manifest import Stage
from vlt.workspace.schema import SAMPLE
from vlt.workspace.store import Dataset, Store
from vlt.workspace.workspace import Workspace
from vlt.workspace.writer import Writer

SETTINGS: dict[str, Any] = {
    "per_device_train_batch_size": 4,
    "learning_rate": 1e-3,
    "max_steps": 6,
    "beta": 0.1,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("workspace"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_vlm(tmp_path_factory.mktemp("models") / "vlm"))


@pytest.fixture(scope="module")
def data(store: Store) -> Dataset:
    """Two right and two wrong samples of each of 16 items, the wrong ones dropped by `verify`."""
    rows = []
    for row in item_rows(store, 16):
        wrong = [colour for colour in COLOURS if colour != row["answer"]]
        for number, answer in enumerate([wrong[0], row["answer"], wrong[1], row["answer"]]):
            thought = "red blue " * number
            response = f"<think>{thought}{answer}.</think> <answer>{answer}</answer>"
            verdict = "correct" if answer == row["answer"] else "wrong"
            rows.append({**row, "sample": number, "response": response, "verdict": verdict})
    return filtered(store, "sft", rows, ["correct"])


def filtered(
    store: Store,
    name: str,
    rows: Sequence[Mapping[str, Any]],
    keep: Sequence[str],
    parents: Sequence[Dataset] = (),
    filter: str = "verify",
) -> Dataset:
    """A version of samples that keeps those with one of these verdicts."""
    table = pa.Table.from_pylist(list(rows), SAMPLE)
    kept = pc.is_in(table["verdict"], pa.array(keep))
    gone = table.filter(pc.invert(kept))
    with Writer(store, Stage("test", {"of": name}), name, "sample", list(parents)) as writer:
        writer.expect(table)
        writer.keep(table.filter(kept))
        writer.drop(gone, filter, ["why"] * gone.num_rows)
    return writer.dataset


def sampled(row: Mapping[str, Any], *verdicts: str, lengths: Sequence[int] = ()) -> list[Any]:
    """Samples of an item with these verdicts and response lengths."""
    sizes = lengths or [number + 1 for number in range(len(verdicts))]
    return [
        {**row, "sample": number, "response": "abcdefghij"[:size], "verdict": verdict}
        for number, (verdict, size) in enumerate(zip(verdicts, sizes, strict=True))
    ]


def pairs(store: Store, data: Dataset, **settings: Any) -> list[tuple[int, int]]:
    """The numbers of the chosen and of the rejected sample, pair by pair."""
    rows = METHOD.rows(store, data, DpoTraining(**settings))
    assert rows is not None
    return list(zip(rows["sample"].to_pylist(), rows["rejected_sample"].to_pylist(), strict=True))


def test_policies_choose_among_an_items_samples(store: Store) -> None:
    [row] = item_rows(store, 1, images=False)
    made = sampled(row, "correct", "wrong", "correct", "wrong", "wrong", lengths=[5, 4, 2, 9, 6])
    data = filtered(store, "policies", made, ["correct", "wrong"])
    assert pairs(store, data) == [(0, 1)]
    assert pairs(store, data, chosen="shortest", rejected="longest") == [(2, 3)]
    assert pairs(store, data, chosen="longest", rejected="shortest") == [(0, 1)]
    # Rows come in the data's order; no sample is taken again before all of its kind have been.
    assert pairs(store, data, pairs=2) == [(0, 1), (2, 3)]
    assert pairs(store, data, pairs=3) == [(0, 1), (0, 4), (2, 3)]
    every = pairs(store, data, pairs=100, chosen="random")
    assert sorted(every) == [(c, r) for c in (0, 2) for r in (1, 3, 4)]


def test_random_pairs_are_those_of_the_seed(store: Store) -> None:
    rows = [
        sample
        for row in item_rows(store, 20, images=False)
        for sample in sampled(row, "correct", "correct", "correct", "wrong", "wrong")
    ]
    data = filtered(store, "seeded", rows, ["correct"])
    shuffled = filtered(store, "shuffled", [*rows[50:], *rows[:50]], ["correct"])
    found = {
        seed: pairs(store, data, chosen="random", rejected="random", settings={"seed": seed})
        for seed in (1, 2)
    }
    again = {"chosen": "random", "rejected": "random", "settings": {"seed": 1}}
    assert found[1] == pairs(store, data, **again) != found[2]
    assert sorted(found[1]) == sorted(pairs(store, shuffled, **again))
    assert {chosen for chosen, _ in found[1]} == {0, 1, 2}


def test_wrong_samples_count_wherever_they_were_dropped(store: Store) -> None:
    """The right one must have been kept; an unjudged or empty one is neither."""
    rows = item_rows(store, 4, images=False)
    first = [
        *sampled(rows[0], "wrong", "correct"),
        *sampled(rows[1], "wrong", "wrong"),
        *sampled(rows[2], "unjudged", "correct"),
        *sampled(rows[3], "wrong", "correct", lengths=[0, 3]),
    ]
    verified = filtered(store, "verified", first, ["correct"])
    assert pairs(store, verified) == [(1, 0)]
    later = filtered(
        store,
        "shorter",
        [{**row, "verdict": row["verdict"]} for row in verified.table().to_pylist()],
        ["correct"],
        [verified],
        "max_words",
    )
    assert pairs(store, later) == [(1, 0)]
    named = {version.ref for version in METHOD.taken_out(store, later)}
    assert named == {later.ref, verified.ref}
    with pytest.raises(UserError, match="nothing to prefer"):
        pairs(store, filtered(store, "right", sampled(rows[0], "correct"), ["correct"]))


def test_trl_reads_a_prompt_with_its_picture_and_two_answers(
    store: Workspace, data: Dataset, tmp_path: Path
) -> None:
    from datasets import Dataset as Rows

    rows = METHOD.rows(store, data, DpoTraining(pairs=2))
    found = write_trl(
        data,
        tmp_path / "rows.parquet",
        METHOD,
        prompt=PROMPT,
        load_image=store.images.read,
        rows=rows,
    )
    assert (found.rows, found.images, found.failed) == (32, True, {})
    read = Rows.from_parquet(str(found.file), cache_dir=str(tmp_path / "cache"))
    kept = {(r["id"], r["sample"]): r for r in data.table().to_pylist()}
    gone = {(r["id"], r["sample"]): r for r in data.dropped.table().to_pylist()}
    for row in read:
        chosen = kept[row["id"], row["chosen_sample"]]
        rejected = gone[row["id"], row["rejected_sample"]]
        assert row["prompt"] == [{"role": "user", "content": f"{chosen['question']} Think first."}]
        assert row["chosen"] == [{"role": "assistant", "content": chosen["response"]}]
        assert row["rejected"] == [{"role": "assistant", "content": rejected["response"]}]
        assert f"<answer>{chosen['answer']}</answer>" in chosen["response"]
        assert rejected["verdict"] == "wrong"
        [image] = row["images"]
        assert image.getpixel((3, 3)) == COLOURS[chosen["answer"]]
    assert REJECTED not in read.column_names


def curve(checkpoint: Dataset, name: str) -> list[float]:
    rows = pq.read_table(checkpoint.path / "metrics.parquet").to_pylist()
    return [r["value"] for r in rows if r["name"] == name]


def test_it_is_trl_by_hand_and_margins_rise(
    store: Workspace, model: str, data: Dataset, tmp_path: Path
) -> None:
    from datasets import Dataset as Rows
    from transformers import AutoProcessor
    from trl import DPOConfig, DPOTrainer

    ours, existed = trained("dpo", store, data, model, settings=SETTINGS, name="dpo", pairs=2)
    assert not existed
    write_trl(
        data,
        tmp_path / "rows.parquet",
        METHOD,
        prompt=PROMPT,
        load_image=store.images.read,
        rows=METHOD.rows(store, data, DpoTraining(pairs=2)),
    )
    rows = Rows.from_parquet(str(tmp_path / "rows.parquet"), cache_dir=str(tmp_path / "cache"))
    cpu = {"use_cpu": True, "bf16": False, "gradient_checkpointing": False}
    processor = AutoProcessor.from_pretrained(model)

    def written(row: dict[str, Any]) -> dict[str, Any]:
        """As generation asks it, and an end: TRL's own rows hold the template's newline as well."""
        text = row["prompt"][0]["content"]
        asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}]
        prompt = processor.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        answers = {name: f"{row[name][0]['content']}<|im_end|>" for name in ("chosen", "rejected")}
        return {"prompt": prompt, **answers}

    config = DPOConfig(
        str(tmp_path / "run"), **SETTINGS, **cpu, max_length=None, report_to="none", logging_steps=1
    )
    trainer = DPOTrainer(
        model=model,
        args=config,
        train_dataset=rows.select_columns(["prompt", "chosen", "rejected", "images"]).map(written),
    )
    trainer.train()
    for name in ("loss", "rewards/margins", "rewards/accuracies"):
        theirs = [log[name] for log in trainer.state.log_history if name in log]
        assert curve(ours, name) == pytest.approx(theirs, abs=1e-5), name
        assert len(theirs) == 6
    assert curve(ours, "loss")[0] == pytest.approx(0.6931, abs=1e-3), "the reference is the start"
    facts, m = ours.manifest.facts, ours.manifest
    assert facts["rewards/margins"]["last"] > facts["rewards/margins"]["first"]
    assert facts["loss"]["last"] < facts["loss"]["first"]
    assert (m.stage, m.rows, m.rows_in) == ("train dpo", 32, 32)
    assert (m.parameters["chosen"], m.parameters["pairs"]) == ("first", 2)
    assert m.parameters["taken_out"] == [data.manifest.identity]
    assert trained("dpo", store, data, model, settings=SETTINGS, name="dpo", pairs=2)[1]


def test_settings_that_ruin_it_and_wrong_rows_are_refused(
    store: Workspace, model: str, data: Dataset
) -> None:
    for settings, words in (
        ({"max_length": 512}, "cut image tokens"),
        ({"precompute_ref_log_probs": True}, "does not work with images"),
        ({"betta": 0.1}, "did you mean beta"),
    ):
        with pytest.raises(UserError, match=words):
            trained("dpo", store, data, model, settings=settings)
    with pytest.raises(UserError, match="takes samples"):
        trained("dpo", store, items(store, 2, name="few"), model)
    with pytest.raises(UserError, match="is not a policy"):
        trained("dpo", store, data, model, chosen="best")


@pytest.mark.slow
def test_with_adapters(store: Workspace, model: str, data: Dataset) -> None:
    pytest.importorskip("peft")
    made, _ = trained("dpo", store, data, model, settings=SETTINGS, lora={"r": 4}, name="adapters")
    facts = made.manifest.facts
    assert facts["trained"] < 0.5 * facts["parameters"]
    assert curve(made, "loss")[0] == pytest.approx(0.6931, abs=1e-3)
    assert facts["rewards/margins"]["last"] > 0
    assert (made.path / "adapter" / "adapter_config.json").is_file()
    assert (made.path / "model.safetensors").is_file()


RUN = """
import sys
from pathlib import Path
from tests.tiny import trained
from vlt.workspace.store import Store

root, model, data = sys.argv[1:]
store = Store(Path(root))
trained("dpo", store, store.open(data), model, settings={settings}, name="killed")
"""


@pytest.mark.slow
def test_killed_and_resumed_is_the_same_curve(store: Workspace, model: str, data: Dataset) -> None:
    """Also the reference: it is the model that the training started from, not the one it resumes."""
    settings = {**SETTINGS, "max_steps": 16, "save_steps": 4}
    whole, _ = trained("dpo", store, data, model, settings=settings, name="whole")
    words = [sys.executable, "-c", RUN.format(settings=settings), store.root, model, data.ref]
    here = Path(__file__).parent.parent
    parent = subprocess.Popen(words, cwd=here, stderr=subprocess.DEVNULL)
    folder = store.folder("checkpoint") / "killed"
    wait_for(lambda: list(folder.glob(".building*/run/checkpoint-*/trainer_state.json")))
    child = child_of(parent.pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_for(lambda: not alive(child))
    assert not store.versions("killed")
    resumed, _ = trained("dpo", store, data, model, settings=settings, name="killed")
    assert resumed.manifest.facts["resumed_at"] > 0
    for metric in ("loss", "rewards/margins"):
        assert len(curve(whole, metric)) == 16
        assert curve(resumed, metric) == pytest.approx(curve(whole, metric), abs=1e-5), metric
    assert resumed.manifest.digest == whole.manifest.digest


@pytest.mark.slow
def test_the_miniatures_model_learns_from_its_own_samples(tmp_path: Path) -> None:
    """By the command line alone: items, rollouts, verdicts, DPO, and the pairs exported."""
    from datasets import load_dataset

    where = ("-w", tmp_path / "workspace")
    base = BUNDLED / "miniature" / "vlm"
    vlt("import", "miniature", "--set", "n=24", "--set", "split=train", *where)
    asked = tmp_path / "prompt.txt"
    asked.write_text("{question} Think first.\n")
    prompt = ("--prompt", asked)
    vlt(
        "gen",
        "rollouts",
        "--model",
        base,
        "-k",
        4,
        "--max-tokens",
        64,
        "--seed",
        5,
        *prompt,
        *where,
    )
    vlt("filter", "--verify", *where)
    words = ("train", "dpo", "--model", base, *prompt, "--pairs", 2, "--rejected", "longest")
    more = ("max_steps=8", "per_device_train_batch_size=8", "learning_rate=3e-4", "seed=3")
    made = vlt_json(*words, *(w for each in more for w in ("--set", each)), *where)
    facts = made["facts"]
    assert facts["steps"] == 8
    assert facts["rewards/margins"]["last"] > facts["rewards/margins"]["first"] == 0
    assert facts["loss"]["last"] < facts["loss"]["first"] == pytest.approx(0.6931, abs=1e-3)
    out = vlt_json("export", "sft", "--format", "dpo", *prompt, "--to", tmp_path / "out", *where)
    assert out["left_out"] == {}
    rows = load_dataset("parquet", data_files=out["files"], cache_dir=str(tmp_path / "c"))["train"]
    assert len(rows) > 0
    for row in rows:
        assert row["prompt"][0]["content"].endswith("Think first.")
        assert row["chosen"] != row["rejected"]
        assert row["images"][0].width > 0
    sentence = vlt_error("export", "items", "--format", "dpo", "--to", tmp_path / "no", *where)
    assert "takes samples" in sentence
    assert "is not one of first" in vlt_error(*words, "--chosen", "best", *where, code=2)
