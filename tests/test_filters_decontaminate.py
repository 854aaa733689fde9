"""Items that overlap with a benchmark are dropped from training data, templates are not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rows import dataset, item, sample
from tests.test_filters import store
from tests.test_near_images import chart, copies, encoded
from vlt.errors import UsageError, UserError
from vlt.filters.apply import make_filtered
from vlt.filters.duplicates.pairs import pairs_of
from vlt.images.store import ImageStore
from vlt.workspace.store import Dataset, Store

__all__ = ["store"]

LONG = (
    "A farmer wants to fence a rectangular field of {} metres by {} metres along the river and "
    "leaves out the side on the river; how many metres of fence are needed in all?"
)


def benchmark(store: Store, images: tuple[str, ...] = ()) -> Dataset:
    """Two questions, the second about images."""
    rows = [item(LONG.format(30, 40), images=["b" * 64]), item("What is x?", images=list(images))]
    return dataset(store, "bench", "item", rows)


def test_words_of_a_benchmark_are_taken_out_and_the_pair_is_named(store: Store) -> None:
    held = benchmark(store).table().to_pylist()
    rows = [
        item("Think! " + LONG.format(30, 40).upper() + " Be brief.", images=["a" * 64]),
        item("What is x?", images=["a" * 64]),
        item("What is x?"),
        item("Something else about a rectangular field, namely its area, please", images=[]),
    ]
    items = dataset(store, "items", "item", rows)
    chain = [{"decontaminate": {"against": "bench", "images": "same"}}]
    made, _ = make_filtered(store, items, chain=chain, name="clean")
    assert made.table()["id"].to_pylist() == [rows[1]["id"], rows[3]["id"]]
    assert made.dropped.table()["reason"].to_pylist() == [
        f"words: as in bench@v1 {held[0]['id']} (90% of its 8-grams)",
        f"words: as in bench@v1 {held[1]['id']} (100% of its 8-grams)",
    ]
    assert [parent.ref for parent in made.manifest.parents] == ["items@v1", "bench@v1"]
    assert make_filtered(store, items, chain=chain, name="clean")[1]


def test_a_new_version_of_the_benchmark_is_looked_at_again(store: Store) -> None:
    benchmark(store)
    items = dataset(store, "items", "item", [item(LONG.format(1, 2))])
    first, _ = make_filtered(store, items, chain=[{"decontaminate": "bench"}], name="clean")
    dataset(store, "bench", "item", [item("nothing like it")])
    second, existed = make_filtered(store, items, chain=[{"decontaminate": "bench"}], name="clean")
    assert not existed
    assert (first.manifest.rows, second.manifest.rows) == (0, 1)


def test_a_template_in_very_many_rows_does_not_count(store: Store) -> None:
    text = "What is the difference between the tallest and the shortest of all bars of this chart?"
    dataset(store, "bench", "item", [item(text, images=["b"])])
    rows = [item(text, images=[f"{i}"]) for i in range(40)]
    items = dataset(store, "items", "item", rows)
    chain = [{"decontaminate": {"against": "bench", "images": "same"}}]
    made, _ = make_filtered(store, items, chain=chain, name="clean")
    assert made.manifest.rows == 40


def test_images_are_found_though_rescaled(store: Store) -> None:
    picture = chart([10, 60, 90])
    with ImageStore(store.images_folder) as images:
        original = images.add(encoded(picture))
        copied = [images.add(data) for data in copies(picture)]
        other = images.add(encoded(chart([10, 60, 80])))
    benchmark(store, (original,))
    every = [original, *copied, other]
    rows = [sample("r", 0, item(f"What is {i}?", images=[name])) for i, name in enumerate(every)]
    samples = dataset(store, "samples", "sample", rows)
    for how, left in (("near", [other]), ("same", [*copied, other]), ("ignore", every)):
        settings = {"against": "bench", "images": how}
        if how == "near":  # the other benchmark's image is not in the store
            dataset(store, "bench", "item", [item("What is x?", images=[original])])
        made, _ = make_filtered(store, samples, chain=[{"decontaminate": settings}], name="clean")
        assert [images[0] for images in made.table()["images"].to_pylist()] == left


def test_what_is_missing_is_one_sentence(store: Store) -> None:
    items = dataset(store, "items", "item", [item()])
    with pytest.raises(UserError, match="no dataset 'mathvista' in workspace"):
        make_filtered(store, items, chain=[{"decontaminate": "mathvista"}])
    with pytest.raises(UsageError, match="needs datasets to compare with"):
        make_filtered(store, items, chain=["decontaminate"])


def test_what_is_missing_names_the_command_that_brings_it(store: Store) -> None:
    items = dataset(store, "items", "item", [item()])
    with pytest.raises(UserError, match="comes with `vlt import mathvista`"):
        make_filtered(store, items, chain=[{"decontaminate": "mathvista"}])


def test_the_command_prints_the_pairs(store: Store, tmp_path: Path) -> None:
    held = benchmark(store).table().to_pylist()
    ours = item(LONG.format(30, 40))
    dataset(store, "items", "item", [ours, item("Why?")])
    command = [sys.executable, "-m", "vlt.cli.main", "decontaminate", "items", "--against", "bench"]
    command += ["--images", "same", "-w", str(store.root)]
    file = tmp_path / "pairs.jsonl"
    done = subprocess.run(
        [*command, "--pairs", str(file)], capture_output=True, text=True, check=True
    )
    assert "100% of its 8-grams" in done.stdout
    assert done.stdout.count("A farmer wants to fence") == 2  # ours and theirs
    assert "items@v2: 1 item, 1 dropped" in done.stdout
    assert json.loads(file.read_text()) == {
        "how": "words",
        "near": "100% of its 8-grams",
        "id": ours["id"],
        "question": ours["question"],
        "benchmark": "bench@v1",
        "their_id": held[0]["id"],
        "their_question": held[0]["question"],
    }
    for ending in ("csv", "parquet"):
        file = tmp_path / f"pairs.{ending}"
        subprocess.run([*command, "--pairs", str(file)], capture_output=True, check=True)
        assert file.stat().st_size
    wrong = subprocess.run([*command, "--pairs", "x.txt"], capture_output=True, text=True)
    assert (wrong.returncode, "must end in .csv" in wrong.stderr) == (2, True)


def test_pairs_by_image_say_how_near(store: Store) -> None:
    picture = chart([10, 60, 90])
    with ImageStore(store.images_folder) as images:
        original = images.add(encoded(picture))
        copied = images.add(copies(picture)[0])
    benchmark(store, (original,))
    rows = [item(f"What is {n}?", images=[n]) for n in (original, copied)]
    items = dataset(store, "items", "item", rows)
    dataset(store, "bench", "item", [item("What is x?", images=[original])])
    made, _ = make_filtered(store, items, chain=[{"decontaminate": "bench"}], name="clean")
    same, near = pairs_of(store, made)
    assert (same["how"], same["near"]) == ("image", "the same file")
    assert near["near"].startswith("a copy, ")
    assert same["their_question"] == near["their_question"] == "What is x?"
