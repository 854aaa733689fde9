"""A task that a tiny random model learns in seconds, and the teachers that write its first data.

Each picture is of one colour with a little noise, so an answer is right because the pixels arrived;
a third of the answers would be right without them. The teachers are told apart by what they are
served behind: a captioner that looks at the request's own image bytes, and an R1 whose template
opens the thought, behind a server that has no reasoning parser.
"""

from __future__ import annotations

import base64
import io
import json
import random
from pathlib import Path
from typing import Any

from tests.talking_server import Talking

COLOURS = {"red": (210, 40, 40), "green": (40, 170, 60), "blue": (50, 60, 215)}
QUESTIONS = (
    "What colour is the picture?",
    "Which colour does the picture have?",
    "Say the colour of the picture.",
)
SIZES = (*((64, 64), (96, 60), (60, 110), (130, 90)) * 2, (300, 270), (560, 500))
"""The last has more pixels than the recipes' most, 262,144."""


def picture(colour: str, size: tuple[int, int], seed: int) -> bytes:
    """One colour with noise, so that no two pictures are alike."""
    from PIL import Image

    rng = random.Random(seed)
    small = Image.new("RGB", (8, 8))
    small.putdata(
        [tuple(c + rng.randrange(-30, 31) for c in COLOURS[colour]) for _ in range(small.width * 8)]
    )
    out = io.BytesIO()
    small.resize(size).save(out, "PNG")
    return out.getvalue()


def write_questions(folder: Path, name: str, count: int, seed: int) -> Path:
    """`count` lines of {"image", "question", "answer"} in folder/name.jsonl, with their pictures."""
    rng = random.Random(seed)
    (folder / name).mkdir(parents=True)
    lines = []
    for i in range(count):
        colour = tuple(COLOURS)[i % len(COLOURS)]
        image = f"{name}/{i}.png"
        (folder / image).write_bytes(picture(colour, rng.choice(SIZES), rng.randrange(1 << 30)))
        lines.append({"image": image, "question": rng.choice(QUESTIONS), "answer": colour})
    file = folder / f"{name}.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def colour_of(data: bytes) -> str:
    """What colour a picture has, by its mean."""
    from PIL import Image, ImageStat

    mean = ImageStat.Stat(Image.open(io.BytesIO(data)).convert("RGB")).mean
    distance = {
        name: sum((m - c) ** 2 for m, c in zip(mean, rgb, strict=True))
        for name, rgb in COLOURS.items()
    }
    return min(distance, key=distance.__getitem__)


class Teachers(Talking):
    """Both teachers behind one address."""

    CAPTIONER, REASONER = "captioner", "r1"

    def __init__(self) -> None:
        super().__init__(self._unsaid, lists=[self.CAPTIONER, self.REASONER])
        self.images: list[bytes] = []
        """Of the requests, in their order."""

    def reply(self, body: dict[str, Any]) -> tuple[int, dict[str, Any] | bytes]:
        """A caption of the image in the request, or k responses, one of them wrong."""
        content = body["messages"][-1]["content"]
        n = body.get("n") or 1
        if body["model"] == self.CAPTIONER:
            (url,) = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
            data = base64.b64decode(url.partition(",")[2])
            self.images.append(data)
            said = [f"A picture that is {colour_of(data)}."] * n
        else:
            assert isinstance(content, str), "the reasoner is a text model"
            said = [self._reasoned(content, i) for i in range(n)]
        choices = [
            {"index": i, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            for i, text in enumerate(said)
        ]
        usage = {"prompt_tokens": 20, "completion_tokens": 9 * n, "total_tokens": 20 + 9 * n}
        head = {"id": "x", "object": "chat.completion", "created": 1, "model": body["model"]}
        return 200, {**head, "choices": choices, "usage": usage}

    def _unsaid(self, _model: str, _text: str) -> str:
        raise AssertionError("reply is overridden")

    @staticmethod
    def _reasoned(prompt: str, sample: int) -> str:
        """As R1 responds: the opening <think> is in the prompt."""
        seen = next(name for name in COLOURS if f"that is {name}." in prompt)
        if sample % 4 == 1:
            wrong = next(name for name in COLOURS if name != seen)
            return f"It looks {wrong}.\n</think>\n\n<answer>{wrong}</answer>"
        more = " I think so." * (sample % 4)
        return f"It looks {seen}.{more}\n</think>\n\n<answer>{seen}</answer>"
