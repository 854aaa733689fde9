"""The miniature: its world is exact and reproducible, and its shipped weights do what they should."""

import io
import random
import re
from pathlib import Path

import pytest
from PIL import Image

from vlt.datagen.miniature import FAMILIES, records
from vlt.datagen.miniature.questions import ask
from vlt.datagen.miniature.traces import REFLECT_SHARE, scan, trace
from vlt.datagen.miniature.world import Layout, caption, draw, sample_layout

WEIGHTS = Path(__file__).parent.parent / "recipes" / "miniature"


def rows(n=70, split="train", seed=0, families=tuple(FAMILIES)):
    return list(records(n, families=families, split=split, seed=seed))


def expected(layout_text, question):
    """The answer worked out again from the layout's digits alone, without the world's code."""
    digits = [int(digit) for digit in layout_text.split("-")[1]]
    matches = {
        "red": [d in (1, 2) for d in digits],
        "blue": [d in (3, 4) for d in digits],
        "green": [d in (5, 6) for d in digits],
        "circles": [d in (1, 3, 5) for d in digits],
        "squares": [d in (2, 4, 6) for d in digits],
    }
    words = [word for word in re.findall(r"\w+", question) if word in matches]
    if question.startswith("How many"):
        if words:
            return str(sum(matches[words[0]]))
        bound = int(re.findall(r"\d", question)[0])
        return str(len([d for d in digits if d > bound]))
    if question.startswith("Are there more"):
        return "yes" if sum(matches[words[0]]) > sum(matches[words[1]]) else "no"
    if question.startswith("By how many"):
        return str(abs(sum(matches[words[0]]) - sum(matches[words[1]])))
    if "sum of the top row" in question:
        return str(digits[0] + digits[1] + digits[2])
    if "sum of the bottom row" in question:
        return str(digits[3] + digits[4] + digits[5])
    assert question.startswith("How much taller")
    return str(sorted(digits)[-1] - sorted(digits)[0])


def test_the_same_arguments_give_the_same_items_and_another_seed_others():
    assert rows() == rows()
    assert rows(seed=1) != rows(seed=2)


def test_answers_are_right():
    for split in ("train", "heldout"):
        for row in rows(280, split, seed=3):
            assert row["answer"] == expected(row["meta"]["layout"], row["question"]), row


def test_pictures_are_distinct_and_the_splits_share_none():
    train = {row["images"][0] for seed in range(3) for row in rows(280, "train", seed)}
    heldout = [row["images"][0] for row in rows(280, "heldout", 0)]
    assert len(set(heldout)) == 280
    assert train.isdisjoint(heldout)
    one_call = [row["images"][0] for row in rows(280, "train", 0)]
    assert len(set(one_call)) == 280


def test_families_come_in_the_asked_shares():
    mixed = rows(100, families={"shapes-count": 3, "bars-range": 1})
    counts = [row["meta"]["family"] for row in mixed]
    assert counts.count("shapes-count") == 75 and counts.count("bars-range") == 25
    types = {row["meta"]["family"]: row["answer_type"] for row in rows()}
    assert types == {name: family.answer_type for name, family in FAMILIES.items()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"families": ["pies"], "split": "train"}, "unknown family pies; known: shapes-count"),
        ({"families": [], "split": "train"}, "none given"),
        ({"families": {"bars-range": -1}, "split": "train"}, "must be positive"),
        ({"families": ["bars-range"], "split": "test"}, "unknown split 'test'"),
    ],
)
def test_a_wrong_argument_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        list(records(4, seed=0, **arguments))


def test_a_split_that_is_too_small_says_so():
    with pytest.raises(ValueError, match="heldout split has too few bars"):
        list(records(50_000, families=["bars-over"], split="heldout", seed=0))


def test_every_picture_is_its_layout_drawn():
    for row in rows(21):
        picture = Image.open(io.BytesIO(row["images"][0]))
        assert picture.size == (84, 56) and picture.format == "PNG"
        drawn = Image.fromarray(draw(Layout.parse(row["meta"]["layout"])))
        assert picture.tobytes() == drawn.tobytes()


def test_the_caption_tells_layouts_apart():
    rng = random.Random(0)
    for picture in ("shapes", "table", "bars"):
        layouts = {sample_layout(picture, rng, "train") for _ in range(300)}
        assert len({caption(layout) for layout in layouts}) == len(layouts)


def test_careful_traces_are_right_and_quick_ones_often_wrong():
    rng = random.Random(0)
    right = {0.0: 0, 1.0: 0}
    for name, family in FAMILIES.items():
        for share in right:
            for _ in range(50):
                layout = sample_layout(family.picture, rng, "train")
                question = ask(name, layout.cells, rng)
                response = trace(layout, question, family.level, rng, share)
                answer = re.search(r"</think> <answer>(.*)</answer>$", response)[1]
                right[share] += answer == question.answer
                assert scan(layout, question).endswith(f"{question.answer}.")
    asked = 50 * len(FAMILIES)
    assert right[1.0] == asked and 0.15 * asked < right[0.0] < 0.5 * asked
    assert 0 < REFLECT_SHARE < 0.5


@pytest.fixture(scope="module")
def shipped():
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor = AutoProcessor.from_pretrained(WEIGHTS / "vlm")
    model = AutoModelForImageTextToText.from_pretrained(WEIGHTS / "vlm", dtype=torch.float32)
    return model.eval(), processor


def test_the_shipped_weights_are_small():
    size = sum(file.stat().st_size for file in WEIGHTS.rglob("*") if file.is_file())
    assert size < 8e6


def test_the_shipped_captioner_captions(shipped):
    from vlt.datagen.miniature.gates import generate
    from vlt.datagen.miniature.tiny_models import CAPTION_PROMPT

    model, processor = shipped
    held = rows(49, "heldout", seed=5)
    pictures = [Image.open(io.BytesIO(row["images"][0])) for row in held]
    said = generate(model, processor, [CAPTION_PROMPT] * len(held), pictures)
    wanted = [caption(Layout.parse(row["meta"]["layout"])) for row in held]
    assert sum(a == b for a, b in zip(said, wanted, strict=True)) >= 46


def test_the_shipped_reasoner_reasons_and_stops():
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from vlt.datagen.miniature.gates import answer_of, generate
    from vlt.datagen.miniature.tiny_models import REASON_PROMPT

    tokenizer = AutoTokenizer.from_pretrained(WEIGHTS / "reasoner")
    model = AutoModelForCausalLM.from_pretrained(WEIGHTS / "reasoner", dtype=torch.float32)
    torch.manual_seed(0)
    held = rows(60, "heldout", seed=6, families=["shapes-count", "table-over", "bars-over"])
    prompts = [
        REASON_PROMPT.format(
            caption=caption(Layout.parse(row["meta"]["layout"])), question=row["question"]
        )
        for row in held
    ]
    said = [answer_of(text) for text in generate(model, tokenizer, prompts, temperature=1.0)]
    assert said.count(None) <= 3
    assert 0.3 < sum(a == row["answer"] for a, row in zip(said, held, strict=True)) / 60 < 0.95


def test_any_text_goes_through_the_tokenizer(shipped):
    tokenizer = shipped[1].tokenizer
    for text in ("Wie viele Kühe? 你好 ∫ 🙂 42 3.14", "<think>2</think> <answer>2</answer>"):
        assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text
