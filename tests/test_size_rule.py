"""One size rule per model, read from its processor: real processors as published, and what is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from tests.tiny import tiny_vlm
from vlt.engine.model import Model
from vlt.engine.size_rule import model_rule, resolved, rule_of, set_range, showing
from vlt.errors import UsageError, UserError
from vlt.images.pixels import Pixels


def published(name: str) -> Any:
    """An image processor with the sizes of the models on the Hub."""
    import transformers as hf

    from vlt.engine import torchvision

    assert torchvision.trouble() is None
    made: dict[str, Any] = {
        "qwen2_5_vl": lambda: hf.Qwen2VLImageProcessor(
            size={"shortest_edge": 3136, "longest_edge": 12845056}
        ),
        "qwen3_vl": lambda: hf.Qwen2VLImageProcessor(
            patch_size=16, size={"shortest_edge": 65536, "longest_edge": 16777216}
        ),
        "glm": lambda: hf.Glm46VImageProcessor(
            size={"shortest_edge": 12544, "longest_edge": 9633792}
        ),
        "smolvlm": hf.SmolVLMImageProcessor,
        "idefics3": hf.Idefics3ImageProcessor,
        "pixtral": lambda: hf.PixtralImageProcessor(patch_size=14, size={"longest_edge": 1540}),
        "internvl": lambda: hf.GotOcr2ImageProcessor(
            size={"height": 448, "width": 448}, crop_to_patches=True, max_patches=12
        ),
        "llava_next": hf.LlavaNextImageProcessor,
        "llava_onevision": hf.LlavaOnevisionImageProcessor,
        "gemma3": lambda: hf.Gemma3ImageProcessor(size={"height": 896, "width": 896}),
        "siglip": hf.SiglipImageProcessor,
        "gemma4": hf.Gemma4ImageProcessor,
        "lfm2_vl": hf.Lfm2VlImageProcessor,
        "llama4": hf.Llama4ImageProcessor,
        "mllama": hf.MllamaImageProcessor,
        "molmo2": hf.Molmo2ImageProcessor,
        "phi4": hf.Phi4MultimodalImageProcessor,
        "perception_lm": hf.PerceptionLMImageProcessor,
        "clip": hf.CLIPImageProcessor,
    }
    return SimpleNamespace(image_processor=made[name]())


@pytest.mark.parametrize(
    ("name", "kind", "factor"),
    [
        ("qwen2_5_vl", "area", 28),
        ("qwen3_vl", "area", 32),
        ("glm", "area", 28),
        ("smolvlm", "side", 364),
        ("idefics3", "side", 364),
        ("pixtral", "side", 14),
        ("internvl", "tiles", 448),
        ("llava_next", "grid", 1),
        ("llava_onevision", "grid", 1),
        ("gemma3", "fixed", 1),
        ("siglip", "fixed", 1),
        ("gemma4", "tokens", 1),
        ("lfm2_vl", "tokens", 1),
        ("llama4", "unknown", 1),
        ("mllama", "unknown", 1),
        ("molmo2", "unknown", 1),
        ("phi4", "unknown", 1),
        ("perception_lm", "unknown", 1),
        ("clip", "fixed", 1),
    ],
)
def test_rules_of_published_processors(name: str, kind: str, factor: int) -> None:
    rule = rule_of(published(name))
    assert (rule.kind, rule.factor) == (kind, factor)


def seen(processor: Any, size: tuple[int, int]) -> int:
    """Pixels in which the processor shows a picture, tiles counted and thumbnails not."""
    picture = Image.new("RGB", size, (200, 30, 30))
    images = processor.image_processor
    nested = [[picture]] if hasattr(images, "max_image_size") else [picture]
    fields = images(images=nested, return_tensors="pt")
    if "image_grid_thw" in fields:
        return int(fields["image_grid_thw"][0].prod()) * images.patch_size**2
    if "image_sizes" in fields:
        return int(fields["image_sizes"][0].prod())
    tiles, side = fields["pixel_values"].shape[-4], fields["pixel_values"].shape[-1]
    return max(1, tiles - (tiles > 1)) * side * side


@pytest.mark.parametrize("size", [(320, 240), (3000, 2000), (70, 900), (33, 40)])
@pytest.mark.parametrize(
    "name", ["qwen2_5_vl", "qwen3_vl", "glm", "smolvlm", "idefics3", "pixtral", "internvl"]
)
def test_a_maximum_is_kept_in_the_processors_own_terms(name: str, size: tuple[int, int]) -> None:
    processor = published(name)
    taken = set_range(processor, Pixels(0, 262144))
    area = seen(processor, size)
    assert area <= 262144
    assert area >= taken.min


def test_glm_counts_an_image_as_two_frames() -> None:
    processor = published("glm")
    set_range(processor, Pixels(784, 40000))
    assert 20000 < seen(processor, (640, 480)) <= 40000
    assert processor.image_processor.size["longest_edge"] == 80000


def test_without_a_minimum_the_processors_own_stands() -> None:
    """A shortest_edge of 0 has every image refused."""
    processor = published("qwen2_5_vl")
    assert set_range(processor, Pixels(0, 262144)) == Pixels(3136, 262144, 28)
    assert processor.image_processor.size["shortest_edge"] == 3136
    assert seen(processor, (10, 10)) >= 3136
    assert set_range(published("qwen3_vl"), Pixels(0, 40000)).min == 40000  # its own is more
    assert set_range(published("qwen3_vl"), Pixels(3136, 262144)).min == 3136


@pytest.mark.parametrize(
    ("name", "pixels", "why"),
    [
        ("qwen3_vl", Pixels(3136, 262144, 28), "are multiples of 32 .* leave out /28"),
        ("smolvlm", Pixels(0, 100000), "in fewer than 132496 pixels"),
        ("smolvlm", Pixels(262144, 300000), "leave out the min"),
        ("pixtral", Pixels(262144, 262144), "leave out the min"),
        ("internvl", Pixels(0, 200000), "in fewer than 200704 pixels"),
        ("internvl", Pixels(300000, 401407), "no number of .* tiles of 448 x 448"),
        ("gemma3", Pixels(0, 262144), "in 802816 pixels, whatever its size"),
        ("llava_next", Pixels(0, 262144), "fixed by the model"),
        (
            "gemma4",
            Pixels(0, 262144),
            r"by its number of tokens \(max_soft_tokens 280\), not its pix",
        ),
        (
            "lfm2_vl",
            Pixels(0, 262144),
            r"\(min_image_tokens 64, max_image_tokens 256\), not its pix",
        ),
        ("llama4", Pixels(0, 262144), "no known range of pixels"),
    ],
)
def test_what_cannot_be_honoured_is_one_sentence(name: str, pixels: Pixels, why: str) -> None:
    with pytest.raises((UserError, UsageError), match=why) as refused:
        set_range(published(name), pixels)
    assert "\n" not in str(refused.value)


def test_a_fixed_size_inside_the_range_is_taken() -> None:
    assert set_range(published("gemma3"), Pixels(0, 900000)).max == 900000


def test_a_copy_shows_the_range_and_the_processor_stays() -> None:
    processor = published("qwen2_5_vl")
    shown = showing(processor, Pixels(0, 50176))
    assert seen(shown, (640, 480)) <= 50176 < seen(processor, (640, 480))


def test_a_server_sizes_by_its_own_processor(tmp_path: Path) -> None:
    """The miniature's resizes images to 784:50176 itself."""
    model = str(tiny_vlm(tmp_path / "vlm"))
    rule = model_rule(model)
    assert rule
    assert rule.own == Pixels(784, 50176, 28)
    inside = Pixels(3136, 40000)
    assert resolved(inside, model, served=True) == Pixels(3136, 40000, 28)
    with pytest.raises(UserError, match="resizes images to 784:50176 itself"):
        resolved(Pixels(3136, 262144), model, served=True)
    assert resolved(Pixels(3136, 262144), model) == Pixels(3136, 262144, 28)
    assert resolved(Pixels(3136, 262144), "gpt-4o", served=True) == Pixels(3136, 262144, 28)
    assert Model(model, engine="local", pixels="0:40000").sized().pixels == "784:40000/28"
