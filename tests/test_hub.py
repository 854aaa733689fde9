"""To the Hub and back, with the real clients against a small Hub on loopback."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from tests.cli import run_vlt, vlt, vlt_error
from tests.hub_server import HubServer
from tests.pictures import png
from tests.rows import dataset, item, sample
from tests.test_export import drawing
from vlt.images.decode import flattened
from vlt.images.store import ImageStore
from vlt.workspace.manifest import Stage
from vlt.workspace.schema import KINDS
from vlt.workspace.store import Dataset, Store
from vlt.workspace.writer import Writer


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    with HubServer(tmp_path / "hub") as server:
        yield server


@pytest.fixture
def environment(hub: HubServer, tmp_path: Path) -> dict[str, str]:
    return hub.environment(tmp_path / "hf")


@pytest.fixture
def store(workspace: Path) -> Store:
    return Store(workspace)


def verified(store: Store, n: int = 6) -> Dataset:
    """items@v1 → sft@v1, some rows dropped, with pictures."""
    import pyarrow as pa

    with ImageStore(store.images_folder) as images:
        rows = [item(f"How many {i}?", str(i), images=[images.add(png(i))]) for i in range(n)]
    items = dataset(store, "items", "item", rows)
    answers = [
        sample(f"<think>so</think> <answer>{i}</answer>", of=row, model="tiny", verdict="correct")
        for i, row in enumerate(rows)
    ]
    table = pa.Table.from_pylist(answers, KINDS["sample"])
    parameters = {"model": {"name": "tiny"}, "prompt": {"user": "a | b\nc", "system": ""}}
    with Writer(store, Stage("filter", parameters), "sft", "sample", [items]) as writer:
        writer.expect(table)
        writer.keep(table.slice(0, n - 1))
        writer.drop(table.slice(n - 1), "max_words", ["600 words"])
    return writer.dataset


def load(repo: str, environment: dict[str, str], split: str = "train") -> list[dict[str, Any]]:
    """The rows as `datasets` has them, in a process of its own; images as the sha256 of their bytes."""
    program = (
        "import sys, json, hashlib, datasets\n"
        "d = datasets.load_dataset(sys.argv[1], split=sys.argv[2])\n"
        "assert d[0]['images'][0].size == (120, 90)\n"
        "d = d.cast_column('images', datasets.List(datasets.Image(decode=False)))\n"
        "rows = [{**r, 'images': [hashlib.sha256(i['bytes']).hexdigest() for i in r['images']]} for r in d]\n"
        "print(json.dumps(rows))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, repo, split],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded: list[dict[str, Any]] = json.loads(done.stdout)
    return loaded


def test_push_load_pull(
    store: Store, hub: HubServer, environment: dict[str, str], tmp_path: Path
) -> None:
    made = verified(store)
    done = run_vlt("push", "sft", "me/data", "--private", "-w", store.root, **environment)
    assert re.search(r"\.parquet \(\d+\.\d kB\)", done.stderr), done.stderr
    assert hub.repos["dataset", "me/data"].private
    assert load("me/data", environment) == made.table().to_pylist()
    other = tmp_path / "other"
    assert "sft@v1: 5 samples" in vlt("pull", "me/data", "-w", other, **environment)
    pulled = Store(other).open("sft")
    assert pulled.manifest == made.manifest
    assert pulled.table() == made.table()
    sha256 = made.table().to_pylist()[2]["images"][0]
    with ImageStore(other / "images") as images:
        assert images.read(sha256) == png(2)
        assert images.read(made.dropped.table()["images"][0].as_py()[0]) == png(5), (
            "no kept row has it"
        )
    assert pulled.dropped.table() == made.dropped.table()
    shown = [vlt("show", "sft", "--dropped", "--json", "-w", root) for root in (other, store.root)]
    assert shown[0] == shown[1]
    assert "600 words" in shown[0]
    assert "already there" in vlt("pull", "me/data", "-w", other, **environment)
    log = vlt("log", "sft", "-w", other)
    assert "items@v1" in log, "the lineage came with it"
    assert vlt("log", "sft", "-w", store.root) == log
    # What was pulled can be pushed on, with its whole lineage.
    vlt("push", "sft", "me/again", "-w", other, **environment)
    again = hub.repos["dataset", "me/again"].commits[-1][1]
    assert "vlt/train/lineage/items@v1.json" in again


def test_private_means_private(
    store: Store, hub: HubServer, environment: dict[str, str], tmp_path: Path
) -> None:
    """A push with --private leaves an existing public repository untouched."""
    verified(store)
    where = ("-w", store.root)
    vlt("push", "sft", "me/open", *where, **environment)
    commits = len(hub.repos["dataset", "me/open"].commits)
    said = vlt_error("push", "items", "me/open", "--private", *where, **environment)
    assert "public, so nothing was sent" in said
    assert len(hub.repos["dataset", "me/open"].commits) == commits
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"weights")
    hub.make("model", "me/model", {})
    said = vlt_error("push", tmp_path / "model", "me/model", "--private", *where, **environment)
    assert "public, so nothing was sent" in said


def test_a_pull_counts_what_came(
    store: Store, hub: HubServer, environment: dict[str, str], tmp_path: Path
) -> None:
    """Another row among the dropped than the manifest counts; and none, as an older push has it."""
    import io

    import pyarrow.parquet as pq

    verified(store)
    vlt("push", "sft", "me/data", "-w", store.root, **environment)
    files = hub.repos["dataset", "me/data"].commits[-1][1]
    path = "vlt/train/dropped-00000.parquet"
    table, out = pq.read_table(io.BytesIO(hub.read("dataset", "me/data", path))), io.BytesIO()
    pq.write_table(table.slice(0, 0), out)
    files[path] = hub.keep(out.getvalue(), lfs=True)
    other = tmp_path / "other"
    said = vlt_error("pull", "me/data", "-w", other, **environment)
    assert "does not have all rows of sft@v1" in said
    assert not Store(other).versions("sft"), "nothing half-written"
    del files[path]
    done = run_vlt("pull", "me/data", "-w", other, **environment)
    assert done.returncode == 0
    assert "the dropped rows of sft@v1 are not in" in done.stderr
    assert Store(other).open("sft").manifest.rows == 5


def test_the_card_shows_what_was_counted(
    store: Store, hub: HubServer, environment: dict[str, str]
) -> None:
    import io

    from PIL import Image

    verified(store)
    vlt("push", "sft", "me/data", "-w", store.root, **environment)
    text = hub.read("dataset", "me/data", "README.md").decode()
    shown = [line.split("](")[1].rstrip(")") for line in text.splitlines() if line.startswith("![")]
    assert shown == [f"vlt/train/{f}.png" for f in ("lengths", "pass-rates")]
    for path in shown:
        with Image.open(io.BytesIO(hub.read("dataset", "me/data", path))) as figure:
            assert figure.width == 1400
            colours = figure.convert("RGB").getcolors(1 << 20) or []
        assert any(colour == (0x2F, 0x6F, 0xB0) for _, colour in colours), "it has bars"
    assert 'data_files="vlt/train/dropped-*.parquet"' in text
    assert "| choices | list of string |" in text
    assert "The rows that the last stage did not keep are stored beside the data (1 row)" in text
    assert "## Sources and licences" not in text, "nothing was imported here"
    # An item dataset has no responses: fewer figures, no empty ones.
    vlt("push", "items", "me/items", "-w", store.root, **environment)
    assert "![" not in hub.read("dataset", "me/items", "README.md").decode()


def test_the_card(store: Store, hub: HubServer, environment: dict[str, str]) -> None:
    from huggingface_hub import DatasetCard

    made = verified(store)
    arguments = ("push", "sft", "me/data", "--license", "cc-by-4.0", "-w", store.root)
    vlt(*arguments, **environment)
    text = hub.read("dataset", "me/data", "README.md").decode()
    card = DatasetCard(text)
    assert card.data.license == "cc-by-4.0"
    head = yaml.safe_load(text.split("---")[1])
    assert head["configs"][0]["data_files"] == [{"split": "train", "path": "data/train-*"}]
    assert [f["name"] for f in head["dataset_info"]["features"]] == made.schema.names
    assert {"name": "images", "list": "image"} in head["dataset_info"]["features"]
    assert head["dataset_info"]["splits"][0]["num_examples"] == 5
    assert head["size_categories"] == ["n<1K"]
    for words in (
        "tiny",
        "items@v1",
        "sft@v1",
        made.manifest.digest[:16],
        "max_words",
        "600 words",
    ):
        assert words in text
    assert 'load_dataset("me/data", split="train")' in text
    assert "~~~text\na | b\nc\n~~~" in text, "a prompt is shown as it is"
    assert (
        json.loads(hub.read("dataset", "me/data", "vlt/train/manifest.json"))["digest"]
        == made.manifest.digest
    )


def test_a_newer_version_replaces_the_shards(
    store: Store, hub: HubServer, environment: dict[str, str]
) -> None:
    verified(store, 6)
    vlt("push", "sft", "me/data", "-w", store.root, **environment)
    hub.repos["dataset", "me/data"].commits[-1][1]["data/train-00000-of-00007.parquet"] = hub.keep(
        b"of an older, longer one", lfs=True
    )
    dataset(store, "sft", "sample", verified(store, 4).table().to_pylist())
    vlt("push", "sft", "me/data", "-w", store.root, **environment)
    files = hub.repos["dataset", "me/data"].commits[-1][1]
    assert [f for f in files if f.startswith("data/")] == ["data/train-00000-of-00001.parquet"]
    assert len(load("me/data", environment)) == 3


def test_two_splits_in_one_repository(
    store: Store, environment: dict[str, str], tmp_path: Path
) -> None:
    made = verified(store)
    where = ("-w", store.root)
    vlt("push", "items", "me/both", *where, **environment)
    with ImageStore(store.images_folder) as images:
        held = [item(f"Held {i}?", "1", images=[images.add(png(50 + i))]) for i in range(3)]
    dataset(store, "heldout", "item", held)
    vlt("push", "heldout", "me/both", "--split", "test", *where, **environment)
    assert len(load("me/both", environment)) == 6
    assert len(load("me/both", environment, split="test")) == 3
    pulled = tmp_path / "pulled"
    vlt("pull", "me/both", "--split", "test", "-w", pulled, **environment)
    vlt("pull", "me/both", "-w", pulled, **environment)
    assert Store(pulled).open("heldout").table().to_pylist() == held
    assert Store(pulled).open("items").manifest.rows == 6
    assert made.manifest.rows == 5
    assert "--split" in vlt_error("push", "items", "me/both", "--split", "a-b", *where, code=2)


def test_two_kinds_do_not_share_a_repository(
    store: Store, hub: HubServer, environment: dict[str, str]
) -> None:
    verified(store)
    where = ("-w", store.root)
    vlt("push", "items", "me/both", *where, **environment)
    commits = len(hub.repos["dataset", "me/both"].commits)
    said = vlt_error("push", "sft", "me/both", "--split", "sft", *where, **environment)
    assert "the split 'train' of 'me/both' holds items (items@v1)" in said
    assert len(hub.repos["dataset", "me/both"].commits) == commits
    assert len(load("me/both", environment)) == 6
    # In its place it may stand: then there is one kind again.
    vlt("push", "sft", "me/both", *where, **environment)
    assert len(load("me/both", environment)) == 5
    hub.make("dataset", "me/other", {"data/test-00000-of-00001.parquet": b"PAR1"})
    assert "rows that vlt did not push" in vlt_error(
        "push", "sft", "me/other", *where, **environment
    )


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_transparent_drawings_are_on_white_there_and_come_back_as_they_were(
    store: Store, hub: HubServer, environment: dict[str, str], tmp_path: Path, mode: str
) -> None:
    import io

    import pyarrow.parquet as pq

    data = drawing(mode)
    with ImageStore(store.images_folder) as images:
        rows = [item(f"{i}?", "1", images=[images.add(data), images.add(png(i))]) for i in (1, 2)]
    made = dataset(store, "items", "item", rows)
    vlt("push", "items", "me/data", "-w", store.root, **environment)
    path = "data/train-00000-of-00001.parquet"
    table = pq.read_table(io.BytesIO(hub.read("dataset", "me/data", path)))
    (flat, plain), _ = table["images"].to_pylist()
    assert plain["bytes"] == png(1) and flat["bytes"] == flattened(data) != data
    other = tmp_path / "other"
    vlt("pull", "me/data", "-w", other, **environment)
    assert Store(other).open("items").table() == made.table()
    with ImageStore(other / "images") as images:
        assert images.read(rows[0]["images"][0]) == data
    # Another picture under its name is still found out.
    files = hub.repos["dataset", "me/data"].commits[-1][1]
    cells = table["images"].to_pylist()
    cells[0][0]["bytes"] = png(77)
    column = pa.array(cells, table.schema.field("images").type)
    changed = table.set_column(table.schema.get_field_index("images"), "images", column)
    out = io.BytesIO()
    pq.write_table(changed, out)
    files[path] = hub.keep(out.getvalue(), lfs=True)
    said = vlt_error("pull", "me/data", "-w", tmp_path / "third", **environment)
    assert "a different image under the name" in said


def test_what_had_arrived_is_not_sent_again(
    store: Store,
    hub: HubServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A connection that dies in the middle, in the uploads and at the commit; then once more."""
    program = (
        "import sys\n"
        "from vlt.datagen.export import files\n"
        "from vlt.datagen.hub import calls, push\n"
        "from vlt.workspace.store import Store\n"
        "from vlt.errors import UserError\n"
        "import functools\n"
        "push.parquet_shards = functools.partial(files.parquet_shards, size=150_000)\n"
        "calls.WAIT, calls.ATTEMPTS = 0.05, int(sys.argv[2])\n"
        "store = Store(sys.argv[1])\n"
        "try:\n"
        "    push.push_dataset(store, store.open('sft'), 'me/data')\n"
        "except UserError as error:\n"
        "    print('gave up:', error)\n"
    )
    monkeypatch.chdir(Path(__file__).parents[1])
    verified(store, 40)

    def push(attempts: int) -> str:
        done = subprocess.run(
            [sys.executable, "-c", program, str(store.root), str(attempts)],
            capture_output=True,
            text=True,
            env={**os.environ, **hub.environment(tmp_path / "hf")},
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    hub.trouble(r"POST .*/commit/", 400, times=1)
    assert "gave up" in push(1)
    sent = len(hub.uploads)
    assert sent > 3
    assert len(hub.repos["dataset", "me/data"].commits) == 1, "nothing is seen of half a push"
    hub.trouble(r"POST .*/commit/", "drop", times=1)
    hub.trouble(r"POST .*/preupload/", 502, times=2)
    hub.trouble(r"POST .*objects/batch", "drop", times=1)
    assert push(6) == ""
    assert len(hub.uploads) == sent, "every shard had arrived before"
    assert len(load("me/data", hub.environment(tmp_path / "hf"))) == 39
    assert not list((store.root / ".push").iterdir())


def test_troubles_while_uploading_lose_nothing(
    store: Store, hub: HubServer, environment: dict[str, str]
) -> None:
    made = verified(store)
    hub.trouble(r"POST /api/repos/create", 503)
    hub.trouble(r"PUT /lfs/", "drop", times=2)
    hub.trouble(r"PUT /lfs/", 500, times=1)
    hub.trouble(r"POST .*/commit/", 504, times=1)
    vlt("push", "sft", "me/data", "-w", store.root, **environment)
    assert load("me/data", environment) == made.table().to_pylist()


def test_import_from_the_hub(
    store: Store, hub: HubServer, environment: dict[str, str], tmp_path: Path
) -> None:
    made = verified(store)
    vlt("push", "items", "me/items", "-w", store.root, **environment)
    done = run_vlt("import", "me/items", "--as", "got", "-w", store.root, **environment)
    assert done.returncode == 0, done.stderr
    got = store.open("got")
    assert [r["id"] for r in got.table().to_pylist()] == [
        r["id"] for r in store.open("items").table().to_pylist()
    ]
    parameters = got.manifest.parameters
    commit = hub.repos["dataset", "me/items"].commits[-1][0]
    assert (parameters["hub"], parameters["split"], parameters["revision"]) == (
        "me/items",
        "train",
        commit,
    )
    assert "already there" in vlt(
        "import", "me/items", "--as", "got", "-w", store.root, **environment
    )
    sampled = vlt(
        "import", "me/items", "--as", "two", "--sample", 2, "--where", "answer > '1'",
        "-w", store.root, **environment,
    )  # fmt: skip
    assert "two@v1: 2 items" in sampled
    assert made.manifest.rows == 5
    assert tmp_path.exists()


def test_a_folder_of_images_on_the_hub(
    store: Store, hub: HubServer, environment: dict[str, str]
) -> None:
    lines = [{"file_name": f"{i}.png", "question": f"q{i}", "answer": "yes"} for i in range(3)]
    files = {f"train/{i}.png": png(i) for i in range(3)}
    files["train/metadata.jsonl"] = "".join(json.dumps(line) + "\n" for line in lines).encode()
    hub.make("dataset", "me/folder", files)
    vlt("import", "me/folder", "-w", store.root, **environment)
    rows = store.open("items").table().to_pylist()
    with ImageStore(store.images_folder) as images:
        assert [images.read(row["images"][0]) for row in rows] == [png(i) for i in range(3)]


def test_push_and_card_of_a_model(
    store: Store, hub: HubServer, environment: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "qwen2_5_vl", "vision_config": {}}')
    (folder / "model.safetensors").write_bytes(os.urandom(5000))
    (folder / "optimizer.pt").write_bytes(b"no part of the model")
    done = run_vlt("push", folder, "me/model", "-w", store.root, **environment)
    assert "model.safetensors (5.0 kB)" in done.stderr
    files = hub.repos["model", "me/model"].commits[-1][1]
    assert set(files) == {"config.json", "model.safetensors", "README.md"}
    card = hub.read("model", "me/model", "README.md").decode()
    assert "image-text-to-text" in card
    assert "qwen2_5_vl" in card


def test_refusals_are_one_sentence(
    store: Store, hub: HubServer, environment: dict[str, str], tmp_path: Path
) -> None:
    verified(store, 2)
    where = ("-w", store.root)
    assert "user/name" in vlt_error("push", "sft", "nothing", *where, code=2, **environment)
    assert "no dataset" in vlt_error("push", "nope", "me/data", *where, **environment)
    said = vlt_error("push", "sft", "me/data", *where, **{**environment, "HF_TOKEN": "hf_wrong"})
    assert "denies access" in said and "hf auth login" in said and "HF_TOKEN" in said
    assert "does not exist" in vlt_error("import", "me/nothing", *where, **environment)
    said = vlt_error("pull", "me/nothing", *where, **environment)
    assert "has no 'me/nothing', or it is private" in said and "hf auth login" in said
    hub.make("dataset", "me/plain", {"README.md": b"hello"})
    assert "vlt import me/plain" in vlt_error("pull", "me/plain", *where, **environment)
    vlt("push", "sft", "me/data", *where, **environment)
    assert "revision" in vlt_error(
        "import", "me/data", "--revision", "abc123", *where, **environment
    )
    offline = {**environment, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "hf2")}
    assert "reached" in vlt_error("import", "me/data", *where, **offline)


def test_without_a_network_it_says_so_at_once(
    store: Store, environment: dict[str, str], tmp_path: Path
) -> None:
    verified(store)
    where = ("-w", store.root)
    nobody = {**environment, "HF_ENDPOINT": "http://127.0.0.1:9"}
    offline = {**environment, "HF_HUB_OFFLINE": "1"}
    for arguments in (
        ("push", "sft", "me/data", *where),
        ("pull", "me/data", "-w", tmp_path / "x"),
    ):
        done = run_vlt(*arguments, **nobody)
        assert "check the connection" in done.stderr and done.returncode == 1
        assert done.stderr.count("trying again") == 1
        done = run_vlt(*arguments, **offline)
        assert "HF_HUB_OFFLINE is set" in done.stderr and done.returncode == 1
        assert "trying again" not in done.stderr
