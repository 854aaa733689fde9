"""One family's model in a workspace of odd rows: asked, trained, and looked at while it is.

What a model is given is caught at its door, in the local engine and in the trainings, which run in
this process and not in a child. Each step is carried out once, when the first test asks for it.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa

from tests.models.more_families import FAMILIES, build
from vlt.engine.model import Model
from vlt.prompts import Prompt
from vlt.request import Sampling
from vlt.workspace.manifest import Stage
from vlt.workspace.schema import KINDS, item_id
from vlt.workspace.store import Dataset
from vlt.workspace.workspace import Workspace
from vlt.workspace.writer import Writer

PROMPT = Prompt("{question} Think first.")
STEPS = 2
Calls = list[dict[str, Any]]
"""What a model was called with: tensors by name."""


def picture(size: tuple[int, int], seed: int, mode: str = "RGB") -> bytes:
    """Rectangles of every colour, so that no resizing and no order of images goes unseen."""
    import random

    from PIL import Image, ImageDraw

    rng = random.Random(seed)
    drawn = Image.new("RGB", size, (240, 240, 240))
    pen = ImageDraw.Draw(drawn)
    for _ in range(9):
        x, y = rng.randrange(size[0]), rng.randrange(size[1])
        end = (x + max(2, size[0] // 3), y + max(2, size[1] // 3))
        pen.rectangle((x, y, *end), fill=tuple(rng.randrange(256) for _ in range(3)))
    if mode == "RGBA":
        drawn = drawn.convert(mode)
        drawn.putalpha(Image.linear_gradient("L").resize(size))
    out = io.BytesIO()
    drawn.convert(mode).save(out, "PNG")
    return out.getvalue()


PICTURES: dict[str, list[bytes]] = {
    "Corner?": [picture((64, 64), 1)],
    "Wide, grey?": [picture((150, 61), 2, "L")],
    "Tall, transparent?": [picture((61, 140), 3, "RGBA")],
    "Small?": [picture((9, 7), 4)],
    "<image>First and <image>second?": [picture((90, 60), 5), picture((60, 100), 6)],
    "No picture here?": [],
    "Large?": [picture((420, 300), 7)],
    "Three?": [picture((57, 57), 8), picture((56, 84), 9), picture((84, 56), 10)],
}
"""Question -> its pictures: of odd sizes and modes, several, none."""


class Lab:
    """A family's model, and what is done with it."""

    def __init__(self, name: str, folder: Path):
        self.name, self.family, self.folder = name, FAMILIES[name], folder
        self.count = itertools.count()
        self.model = build(name, folder / "model")
        self.workspace = Workspace(folder / "workspace")
        self.items = self._write("item", "items", self.rows())
        self.samples = self._write("sample", "samples", self.judged())

    def rows(self) -> list[dict[str, Any]]:
        """The items; a text model's have no pictures."""
        found = []
        for i, (question, pictures) in enumerate(PICTURES.items()):
            shown = pictures if self.family.sees else []
            shas = [self.workspace.images.add(data) for data in shown]
            answer = ("red", "blue", "green")[i % 3]
            found.append(
                {
                    "id": item_id("odd", question, [], answer, shas),
                    "source": "odd",
                    "question": question,
                    "choices": [],
                    "answer": answer,
                    "answer_type": "text",
                    "images": shas,
                    "meta": "{}",
                }
            )
        return found

    def judged(self) -> list[dict[str, Any]]:
        """A correct and a wrong sample of each item: the data for SFT and DPO."""
        return [
            {
                **row,
                "sample": number,
                "response": f"<think>It looks {said}, I think.</think> <answer>{said}</answer>",
                "finish_reason": "stop",
                "verdict": verdict,
            }
            for row in self.rows()
            for number, (said, verdict) in enumerate(
                ((row["answer"], "correct"), ("Compare", "wrong"))
            )
        ]

    def _write(self, kind: str, name: str, rows: list[dict[str, Any]]) -> Dataset:
        table = pa.Table.from_pylist(rows, KINDS[kind])
        stage = Stage("test", {"name": name})
        with Writer(self.workspace, stage, name, kind) as writer:
            writer.expect(table)
            writer.keep(table)
        return writer.dataset

    @cached_property
    def processor(self) -> Any:
        """The processor, as vlt loads it."""
        from vlt.engine.loading import load_processor

        return load_processor(str(self.model))

    @cached_property
    def right(self) -> Dataset:
        """The right samples alone."""
        table = self.samples.table()
        rows = [row for row in table.to_pylist() if row["verdict"] == "correct"]
        return self._write("sample", "right", rows)

    def asked(
        self, model: Path | None = None, *, k: int = 1, pixels: str | None = None, rows: int = 99
    ) -> tuple[list[dict[str, Any]], Calls]:
        """Greedy samples of the items by the local engine, and what the model was given.

        One row at a time, so that what belongs to which is plain.
        """
        from vlt.engine.local import LocalEngine
        from vlt.images.pixels import Pixels, sized
        from vlt.prompts import render
        from vlt.request import Request

        engine = LocalEngine(str(model or self.model), load_image=self.workspace.images.read)
        shown = Model(str(model or self.model), engine="local", pixels=pixels).sized().size
        assert shown is None or isinstance(shown, Pixels)
        sampling, found = Sampling(temperature=0.0, max_tokens=6), []
        calls, end = caught(engine.model)
        for row in self.rows()[:rows]:
            messages = render(PROMPT, sized(row, shown), images=self.family.sees)
            for answer in engine.complete([Request(b"k", messages, tuple(range(k)), sampling)]):
                found.append({"row": row, "answer": answer})
        end()
        engine.close()
        return found, calls

    def train(
        self, method: str, data: Dataset, settings: dict[str, Any], **more: Any
    ) -> tuple[Dataset, Calls, Any]:
        """(the checkpoint, what the model was given, the model as it was when it was trained)."""
        from vlt.train import child, training
        from vlt.train.method import find_method

        record = find_method(method)
        given = record.training(settings={**FAST, **settings}, prompt=PROMPT, **more)
        seen: dict[str, Any] = {}
        load = child.load_model

        def loading(job: Any, config: Any) -> Any:
            seen["model"] = load(job, config)
            seen["calls"], seen["end"] = caught(seen["model"])
            return seen["model"]

        def here(job: dict[str, Any], _folder: Path, **_: Any) -> dict[str, Any]:
            return child.train(find_method(job["method"]), child.Job(**job))

        with patch.object(child, "load_model", loading), patch.object(training, "launch", here):
            name = f"{method}-{next(self.count)}"
            made, _ = training.train(
                self.workspace, method, data, str(self.model), given, name=name
            )
        seen["end"]()
        return made, seen["calls"], seen["model"]

    @cached_property
    def sft(self) -> tuple[Dataset, Calls, Any]:
        """Full training with the tower frozen, one row a batch."""
        freeze = {"freeze": ["vision_tower"]} if self.family.sees else {}
        return self.train("sft", self.right, {"max_steps": len(PICTURES)}, **freeze)

    def fields(self, row: int, model: Any) -> dict[str, Any]:
        """A row of the samples, as SFT shows it to the model."""
        from vlt.images.decode import open_image
        from vlt.train.turns import LabelCollator, Turns

        return LabelCollator(Turns.of(self.processor, model))([self.example(row, open_image)])

    def example(self, row: int, open_image: Callable[[bytes], Any]) -> dict[str, Any]:
        """A row of the right samples, with its pictures, as an export holds it."""
        from vlt.prompts import render

        of = self.right.table().to_pylist()[row]
        messages = render(PROMPT, of, images=True)
        content = messages[-1]["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        asked = [{"type": b["type"], "text": b.get("text")} for b in blocks]
        return {
            "prompt": [{"role": "user", "content": asked}],
            "completion": [{"role": "assistant", "content": of["response"]}],
            "images": [open_image(self.workspace.images.read(sha)) for sha in of["images"]],
        }


FAST: dict[str, Any] = {
    "max_steps": STEPS,
    "per_device_train_batch_size": 1,
    "learning_rate": 1e-3,
    "lr_scheduler_type": "constant",
    "save_strategy": "no",
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
}


def caught(model: Any) -> tuple[Calls, Any]:
    """Record what the model is given from now on, in generation or training; returns how to stop."""
    import torch

    calls: Calls = []

    def keep(kwargs: dict[str, Any]) -> None:
        calls.append({k: v.detach().clone() for k, v in kwargs.items() if torch.is_tensor(v)})

    def look(_module: Any, _args: Any, kwargs: dict[str, Any]) -> None:
        if "labels" in kwargs:
            keep(kwargs)

    generate = model.generate

    def generating(**kwargs: Any) -> Any:
        keep(kwargs)
        return generate(**kwargs)

    model.generate = generating
    hook = model.register_forward_pre_hook(look, with_kwargs=True)

    def end() -> None:
        hook.remove()
        del model.generate

    return calls, end


@contextmanager
def opened(name: str, folder: Path) -> Iterator[Lab]:
    """A lab, closed at the end."""
    lab = Lab(name, folder)
    try:
        yield lab
    finally:
        lab.workspace.close()
