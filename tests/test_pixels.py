"""--pixels: images resized to a range of pixels before a model sees them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from tests.cli import vlt, vlt_error
from tests.rows import dataset, item
from tests.stub import Stub
from tests.tiny import png
from vlt.errors import UsageError, UserError
from vlt.images.pixels import Pixels, sized, sizing
from vlt.images.store import ImageStore
from vlt.workspace.journal import Journal
from vlt.workspace.store import Store


def size(data: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(data)) as image:
        return image.size


@pytest.mark.parametrize(
    ("given", "text", "expected"),
    [
        ((640, 480), "3136:262144", (588, 420)),
        ((640, 480), "3136:262144/32", (576, 416)),
        ((1280, 960), "3136:1605632", (1288, 952)),  # it fits: only rounded
        ((30, 20), "3136:262144", (84, 56)),
        ((84, 56), "1:262144", (84, 56)),
    ],
)
def test_sizes(given: tuple[int, int], text: str, expected: tuple[int, int]) -> None:
    pixels = Pixels.parse(text)
    (name,) = sized({"images": ["a"]}, pixels)["images"]
    assert size(sizing({"a": png((200, 30, 30), given)}.__getitem__)(name)) == expected


def test_the_rule_is_the_processors() -> None:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

    for width, height in [(640, 480), (33, 900), (1999, 1501), (20, 30), (57, 57)]:
        expected = smart_resize(height, width, 28, 3136, 262144)[::-1]
        assert Pixels(3136, 262144).fit(width, height) == expected


def test_an_image_is_resized_once() -> None:
    asked: list[str] = []
    picture = png((1, 2, 3), (400, 300))

    def load(name: str) -> bytes:
        asked.append(name)
        return picture

    opened = sizing(load, kept_bytes=10_000)
    (name,) = sized({"images": ["a"]}, Pixels(3136, 50176))["images"]
    assert opened(name) == opened(name)
    assert asked == ["a"]
    assert opened("a") is picture
    for other in "bcdefghijklmnopqrstuvwxyz":
        opened(f"{other}@3136:50176/28")
    opened(name)
    assert asked.count("a") == 3  # what was resized long ago is not kept


def test_what_does_not_decode() -> None:
    opened = sizing({"a": b"\x89PNG\r\n\x1a\n and no more"}.__getitem__)
    with pytest.raises(UserError, match="image a cannot be resized"):
        opened("a@3136:50176/28")


@pytest.mark.parametrize("text", ["", "9", "9:1", "1:2:3", "a:b", "1:700", "1:784/0"])
def test_ranges_that_make_no_sense(text: str) -> None:
    with pytest.raises(UsageError, match="pixels"):
        Pixels.parse(text)


def test_the_range_is_part_of_what_is_asked(workspace: Path) -> None:
    store = Store(workspace)
    with ImageStore(store.images_folder) as images:
        sha = images.add(png((9, 9, 200), (640, 480)))
    rows = [item(f"[[{i}]]", images=[sha]) for i in range(5)] + [item("[[text]]")]
    dataset(store, "items", "item", rows)
    with Stub() as stub:
        asking = ["gen", "rollouts", "-w", workspace, "-k", 1, "--model", "m"]
        asking += ["--base-url", stub.url]
        vlt(*asking)
        vlt(*asking, "--pixels", "3136:50176")
        assert stub.stats()["requests"] == 6 + 5  # of what shows no image nothing is asked again
        vlt(*asking, "--pixels", "3136:50176", "--as", "again")
        assert stub.stats()["requests"] == 6 + 5
        assert "MIN:MAX" in vlt_error(*asking, "--pixels", "many", code=2)
    plain, shrunk = store.versions("samples")
    assert "pixels" not in plain.manifest.parameters
    assert shrunk.manifest.parameters["pixels"] == "3136:50176/28"
    assert shrunk.table().column("images").to_pylist() == [[sha]] * 5 + [[]]
    journal = Journal(store.journal_file)
    assert journal.count() == 11
    journal.close()


def test_a_recipe_says_it_of_a_model() -> None:
    from vlt.runs.recipe import load_recipe

    text = {"models.captioner.pixels": "3136:50176"}
    assert load_recipe("miniature", text).models.captioner.pixels == "3136:50176"
    with pytest.raises(UsageError, match="pixels 'many' is not MIN:MAX"):
        load_recipe("miniature", {"models.base.pixels": "many"})
    with pytest.raises(UsageError, match="the reasoner sees no images"):
        load_recipe("miniature", {"models.reasoner.pixels": "3136:50176"})
