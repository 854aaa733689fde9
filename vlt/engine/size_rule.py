"""The size at which a model sees an image: one rule per model, read from its processor.

Processors use similar names for different limits: an area (Qwen2-VL and its relatives;
GLM-4.xV counts two frames per image), the longer side (Pixtral; SmolVLM and Idefics3 cut it into
tiles), a number of tiles (InternVL), a number of tokens (Gemma 4, LFM2-VL), a grid that belongs to
the model (LLaVA-NeXT, LLaVA-OneVision), or nothing at all (Gemma 3). A range of pixels is set in the
processor's own terms, and the processor does the resizing, so that generation, training and the
checkpoint show the same pictures. A range that cannot be applied is rejected.
"""

from __future__ import annotations

import copy
import inspect
import math
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vlt.errors import UserError
from vlt.images.pixels import FACTOR, Pixels

LOOK_SECONDS = 5.0
_TOKENS = re.compile(r"(min|max)_\w*tokens")
_PARTS = re.compile(r"max_\w*(patches|tiles|crops)|tile_size|dynamic_hd|max_image_size")
"""Fields of processors that show an image in several parts, whose size is that of one part."""


@dataclass(frozen=True)
class SizeRule:
    """How a processor sizes an image; areas are in pixels of one image, width x height."""

    kind: str
    """area, side, tiles, tokens, grid, fixed or unknown."""
    processor: str
    """The class of the image processor."""
    factor: int = 1
    """Sides become multiples of this: patch x merge, or the side of a tile."""
    frames: int = 1
    """How many frames an image counts as in the processor's limits."""
    tiled: bool = False
    """Whether images are enlarged until the longer side is filled with tiles."""
    min: int = 0
    max: int = 0
    """The processor's own range, if it has one."""
    counts: str = ""
    """For the kind `tokens`: the processor's fields with their values."""

    def take(self, pixels: Pixels) -> Pixels:
        """The range as this processor can apply it, with its own minimum and factor if none is given.

        Raises UserError if it cannot.
        """
        if pixels.factor and self.kind == "area" and pixels.factor != self.factor:
            raise UserError(
                f"pixels {pixels}: the sides of this model's images are multiples of {self.factor} "
                f"({self.processor}), not of {pixels.factor}; leave out /{pixels.factor}"
            )
        taken = Pixels(pixels.min, pixels.max, self.factor)
        if self.kind == "area":
            least = pixels.min or min(max(self.min, 1), pixels.max)
            return Pixels(least, pixels.max, self.factor).checked()
        if self.kind in ("side", "tiles"):
            smallest, greatest = self._reach(pixels)
            if not greatest:
                raise UserError(
                    f"pixels {pixels}: {self.processor} cannot show an image in fewer than "
                    f"{self.factor**2} pixels; give a max of at least that"
                )
            if self.kind == "tiles" and smallest > greatest * self.factor**2:
                raise UserError(
                    f"pixels {pixels}: no number of {self.processor}'s tiles of "
                    f"{self.factor} x {self.factor} is in the range; widen it"
                )
            if pixels.min > smallest:
                raise UserError(
                    f"pixels {pixels}: {self.processor} cannot keep every image above "
                    f"{pixels.min} pixels; leave out the min"
                )
            return taken
        if self.kind == "fixed":
            if pixels.min <= self.max <= pixels.max:
                return taken
            raise UserError(
                f"pixels {pixels}: {self.processor} shows every image in {self.max} pixels, whatever "
                "its size; leave the range out"
            )
        if self.kind == "tokens":
            raise UserError(
                f"pixels {pixels}: {self.processor} sizes an image by its number of tokens "
                f"({self.counts}), not its pixels; leave the range out, or change that number in the "
                "model's files"
            )
        why = (
            "chooses among resolutions that are fixed by the model"
            if self.kind == "grid"
            else "has no known range of pixels"
        )
        raise UserError(f"pixels {pixels}: {self.processor} {why}; leave the range out")

    def _reach(self, pixels: Pixels) -> tuple[int, int]:
        """(minimum pixels of an image, longest side or number of tiles) under a maximum; 0 if none fits."""
        if self.kind == "tiles":
            tiles = pixels.max // self.factor**2
            return max(1, math.ceil(pixels.min / self.factor**2)) * self.factor**2, tiles
        side = self.side(pixels.max)
        return (side * self.factor if self.tiled else self.factor**2), side

    def side(self, most: int) -> int:
        """The longest side, in multiples of the factor, whose square has at most `most` pixels."""
        return math.isqrt(most) // self.factor * self.factor

    @property
    def own(self) -> Pixels:
        """The range to which the processor resizes images by default."""
        return Pixels(self.min, self.max, self.factor)

    def as_json(self) -> dict[str, Any]:
        """As stored in the manifest."""
        return {"kind": self.kind, "factor": self.factor, "frames": self.frames}


def rule_of(processor: Any) -> SizeRule:
    """The rule of a processor, or of an image processor."""
    images = getattr(processor, "image_processor", processor)
    name, size = type(images).__name__, _size(images)
    if getattr(images, "image_grid_pinpoints", None):
        return SizeRule("grid", name)
    if counts := [f"{k} {v}" for k, v in vars(images).items() if v and _TOKENS.fullmatch(k)]:
        return SizeRule("tokens", name, counts=", ".join(counts))
    patch = _number(getattr(images, "patch_size", None))
    if {"shortest_edge", "longest_edge"} <= size.keys() and patch:
        smart = getattr(sys.modules[type(images).__module__], "smart_resize", None)
        words = inspect.signature(smart).parameters if smart else {}
        if {"min_pixels", "max_pixels"} <= set(words):
            frames = images.temporal_patch_size if "num_frames" in words else 1
            return SizeRule(
                "area",
                name,
                factor=patch * (getattr(images, "merge_size", None) or 1),
                frames=frames,
                min=size["shortest_edge"] // frames,
                max=size["longest_edge"] // frames,
            )
        return SizeRule("unknown", name)
    if "longest_edge" in size:
        return _side_rule(processor, images, name, size["longest_edge"], patch)
    box = size if {"height", "width"} <= size.keys() else _size(images, "crop_size")
    if {"height", "width"} <= box.keys():
        area = box["height"] * box["width"]
        if getattr(images, "max_patches", None) and _tiles(processor, images):
            return SizeRule(
                "tiles",
                name,
                factor=math.isqrt(area),
                min=images.min_patches * area,
                max=images.max_patches * area,
            )
        if not _splits(images):
            return SizeRule("fixed", name, min=area, max=area)
    return SizeRule("unknown", name)


def _side_rule(processor: Any, images: Any, name: str, side: int, patch: int | None) -> SizeRule:
    tile = _size(images, "max_image_size").get("longest_edge")
    if tile:
        if not images.do_image_splitting:
            return SizeRule("fixed", name, min=tile**2, max=tile**2)
        return SizeRule("side", name, factor=tile, tiled=True, min=side * tile, max=side**2)
    if patch:
        factor = patch * getattr(processor, "spatial_merge_size", 1)
        return SizeRule("side", name, factor=factor, min=factor**2, max=side**2)
    return SizeRule("unknown", name)


def set_range(processor: Any, pixels: Pixels) -> Pixels:
    """Set this range on the processor; returns it as applied. Raises UserError if it cannot be."""
    rule = rule_of(processor)
    taken = rule.take(pixels)
    images = processor.image_processor
    if rule.kind == "area":
        edges = {
            "shortest_edge": taken.min * rule.frames,
            "longest_edge": taken.max * rule.frames,
        }
        _set_size(images, edges)
        if hasattr(images, "min_pixels"):  # read by older classes
            images.min_pixels, images.max_pixels = edges["shortest_edge"], edges["longest_edge"]
    elif rule.kind == "side":
        _set_size(images, {"longest_edge": rule.side(taken.max)})
    elif rule.kind == "tiles":
        tile = rule.factor**2
        images.min_patches = max(1, math.ceil(taken.min / tile))
        images.max_patches = taken.max // tile
    return taken


def showing(processor: Any, pixels: Pixels) -> Any:
    """A shallow copy of the processor that resizes images to this range."""
    copied = copy.copy(processor)
    copied.image_processor = copy.copy(processor.image_processor)
    set_range(copied, pixels)
    return copied


def model_rule(model: str, revision: str | None = None) -> SizeRule | None:
    """The rule of a model by its files; None if they are not available (a server's own name)."""
    if not os.path.isdir(model) and not _on_hub(model, revision):
        return None
    from vlt.engine.loading import load_processor, quiet

    quiet()
    processor = load_processor(model, revision)
    return rule_of(processor) if hasattr(processor, "image_processor") else None


def _on_hub(model: str, revision: str | None) -> bool:
    """Whether a model's files are in the Hub cache or can be downloaded: one request, no retries."""
    if model.count("/") != 1 or model.startswith((".", "/", "~")):
        return False
    from urllib.request import Request, urlopen

    from huggingface_hub import constants, get_token, hf_hub_url, try_to_load_from_cache

    if isinstance(try_to_load_from_cache(model, "config.json", revision=revision), str):
        return True
    if constants.HF_HUB_OFFLINE:
        return False
    url = hf_hub_url(model, "config.json", revision=revision)
    token = get_token()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urlopen(Request(url, headers=headers, method="HEAD"), timeout=LOOK_SECONDS):
            return True
    except OSError:
        return False


def resolved(
    pixels: Pixels | None, model: str, revision: str | None = None, *, served: bool = False
) -> Pixels | None:
    """The range as the model can apply it; `served` by a server, which has its own processor.

    If the model's files are not available, the range is used as given, with sides in multiples of 28.
    Raises UserError, before any request, for a range that would not be applied.
    """
    if pixels is None:
        return None
    rule = model_rule(model, revision)
    if rule is None:
        return Pixels(pixels.min, pixels.max, pixels.factor or FACTOR).checked()
    taken = rule.take(pixels)
    if served and (taken.min, taken.max) != (rule.min, rule.max):
        if rule.kind != "area":
            raise UserError(
                f"pixels {pixels}: a server of {model} sizes images with its own {rule.processor}; use "
                "--engine local, or set the size in the files that it serves"
            )
        if taken.min < rule.min or taken.max > rule.max:
            raise UserError(
                f"pixels {pixels}: a server of {model} resizes images to {rule.min}:{rule.max} "
                "itself; give a range within that, use --engine local, or set the size in the files "
                "that it serves"
            )
    return taken


def _tiles(processor: Any, images: Any) -> bool:
    """Whether images are cut into tiles; the processor may set this if its image processor does not."""
    if getattr(images, "crop_to_patches", False):
        return True
    known = getattr(getattr(processor, "valid_processor_kwargs", None), "_defaults", {})
    return bool(known.get("images_kwargs", {}).get("crop_to_patches"))


def _splits(images: Any) -> bool:
    """Whether its size is that of one part of an image, not of the whole."""
    if hasattr(images, "crop_to_patches"):
        return False  # explicit: see _tiles
    if getattr(images, "do_image_splitting", False):
        return True
    return any(v for k, v in vars(images).items() if _PARTS.fullmatch(k))


def _size(images: Any, name: str = "size") -> dict[str, int]:
    size = getattr(images, name, None)
    if isinstance(size, int):
        return {"height": size, "width": size}
    if size is None:
        return {}
    found = dict(size) if isinstance(size, Mapping) else dict(vars(size))
    return {k: v for k, v in found.items() if v is not None}


def _set_size(images: Any, edges: dict[str, int]) -> None:
    images.size = edges if isinstance(images.size, dict) else type(images.size)(**edges)


def _number(patch: Any) -> int | None:
    """The side of a patch, given as one number or as height and width."""
    if isinstance(patch, int):
        return patch
    if patch is None:
        return None
    return int(_size_of(patch))


def _size_of(patch: Any) -> int:
    return patch["height"] if isinstance(patch, Mapping) else patch.height
