"""The benchmarks on which upstream evaluates: their location, layout and published numbers.

Names, dataset ids, configurations, splits and columns are those of upstream's evaluation
(evaluation/run_evaluation.py and eval_openvlthinker.py in OpenVLThinker's repository); other facts have
their sources beside them. Published numbers are those that upstream has printed; for its v1.2 we found
only a bar chart, from which no numbers are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

UPSTREAM = (
    "OpenVLThinker's repository, evaluation/run_evaluation.py (id, split, columns, prompt, gold)"
)
TABLE_1 = "OpenVLThinker's report (arXiv 2503.17352v1), table 1"
JUDGED = f"{TABLE_1}; judged by GPT-4 (evaluation/verify_mathverse_gpt4.py)"
QWEN, THINKER, GPT = "Qwen2.5-VL-7B", "OpenVLThinker-7B", "GPT-4o (reported)"
NUMBERED = tuple(f"image_{number}" for number in range(1, 8))


@dataclass(frozen=True)
class Published:
    """A published accuracy."""

    model: str
    accuracy: float
    """Percent."""
    source: str


@dataclass(frozen=True)
class Benchmark:
    """A benchmark on the Hub whose layout is known."""

    name: str
    """Also the name of the prepared dataset."""
    repo: str
    config: str | None
    split: str
    rows: str
    """Number of rows of the split."""
    license: str
    facts: tuple[str, ...]
    """The sources of the facts, and differences from upstream."""
    question: str = "question"
    choices: str = "options"
    answer: str = "answer"
    images: tuple[str, ...] = ("image",)
    """Columns of images; all that are not empty are shown, in this order."""
    asks: str = "hint"
    """own: the column has the benchmark's own prompt; hint, yes_no, vision: upstream's (items_of.py)."""
    gold_is: str = "letter"
    """With choices: letter, or text (of the option)."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Breakdowns of the accuracy: a label -> its key in `meta`, with dots between levels."""
    together: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Scores of groups, correct only if all of a group is: a label -> the keys in `meta` of a group."""
    free_form: bool = False
    """Whether an answer may be correct in words that no rule matches, so that an LLM judge is used."""
    published: tuple[Published, ...] = ()
    used: str = "evaluation"


def _published(source: str, **accuracy: float) -> tuple[Published, ...]:
    models = {"gpt": GPT, "qwen": QWEN, "thinker": THINKER}
    return tuple(Published(models[name], value, source) for name, value in accuracy.items())


def _mathvision(name: str, split: str, rows: str, published: tuple[Published, ...]) -> Benchmark:
    return Benchmark(
        name,
        "MathLLMs/MathVision",
        None,
        split,
        rows,
        "MIT (its repository's LICENSE)",
        (
            UPSTREAM,
            "github.com/mathllm/MATH-V, data/test.jsonl (columns; <image1> stays in the text; "
            "several <imageN> of a question stand in one picture)",
        ),
        images=("decoded_image", "image"),
        fields={"subject": "subject", "level": "level"},
        published=published,
    )


def _emma(name: str, config: str, rows: str) -> Benchmark:
    return Benchmark(
        name,
        "luckychao/EMMA",
        config,
        "test",
        rows,
        "not stated in what we could read",
        (
            UPSTREAM,
            "https://huggingface.co/datasets/luckychao/EMMA (card: columns, rows; pid, image_1 to "
            "image_5, context, subject, task, category, type)",
            "as upstream, `context` is not asked (EMMA's own prompt puts it first); unlike upstream, "
            "Math shows all of its images and not only the first",
        ),
        images=NUMBERED[:5],
        fields={"subject": "subject", "category": "category", "task": "task"},
    )


def _mmmu_pro(name: str, config: str, asks: str, images: tuple[str, ...]) -> Benchmark:
    return Benchmark(
        name,
        "MMMU/MMMU_Pro",
        config,
        "test",
        "1,730",
        "apache-2.0 (its repository's LICENSE)",
        (
            UPSTREAM,
            "github.com/MMMU-Benchmark/MMMU, mmmu-pro/README.md (`<image i>` is the column image_i; "
            "options are shuffled) and mmmu-pro/output (options: a string that holds a Python list)",
            "as upstream, images come first and <image i> stays in the text",
        ),
        images=images,
        asks=asks,
        fields={"subject": "subject"}
        if asks == "vision"
        else {"subject": "subject", "difficulty": "topic_difficulty"},
    )


BENCHMARKS = (
    Benchmark(
        "mathvista",
        "AI4Math/MathVista",
        None,
        "testmini",
        "1,000",
        "cc-by-sa-4.0; not to be trained on (its card and README)",
        (
            UPSTREAM,
            "https://huggingface.co/datasets/AI4Math/MathVista (card: columns) and "
            "github.com/lupantech/MathVista, data (gold is the option's text)",
        ),
        question="query",
        choices="choices",
        images=("decoded_image", "image"),
        asks="own",
        gold_is="text",
        fields={
            "task": "metadata.task",
            "skill": "metadata.skills",
            "question type": "question_type",
        },
        published=_published(TABLE_1, qwen=68.5, thinker=70.2, gpt=63.8),
    ),
    Benchmark(
        "mathverse",
        "AI4Math/MathVerse",
        "testmini",
        "testmini",
        "3,940",
        "MIT (its repository's LICENSE)",
        (
            UPSTREAM,
            "github.com/ZrrSkywalker/MathVerse, README (788 problems in five versions; query_cot is "
            "the prompt for reasoning) and evaluation/score_answer_s2.py (an LLM scores)",
            "choices stand in the question's text; the version Vision Only has no question text",
        ),
        question="query_cot",
        choices="",
        asks="own",
        fields={
            "version": "problem_version",
            "subject": "metadata.subject",
            "question type": "question_type",
        },
        free_form=True,
        published=(
            *_published(JUDGED, qwen=46.8, thinker=47.9),
            *_published(TABLE_1, gpt=50.2),
        ),
    ),
    _mathvision(
        "mathvision", "test", "3,040", _published(TABLE_1, qwen=24.0, thinker=25.3, gpt=30.4)
    ),
    _mathvision(
        "mathvision-testmini", "testmini", "304", _published(TABLE_1, qwen=27.6, thinker=29.6)
    ),
    _mmmu_pro("mmmu-pro-vision", "vision", "vision", ("image",)),
    _mmmu_pro("mmmu-pro-4", "standard (4 options)", "hint", NUMBERED),
    _mmmu_pro("mmmu-pro-10", "standard (10 options)", "hint", NUMBERED),
    _emma("emma-math", "Math", "892"),
    _emma("emma-chem", "Chemistry", "1,176"),
    _emma("emma-code", "Coding", "564"),
    _emma("emma-physics", "Physics", "156"),
    Benchmark(
        "hallusionbench",
        "lmms-lab/HallusionBench",
        None,
        "image",
        "951",
        "BSD-3-Clause (its repository's LICENSE)",
        (
            UPSTREAM,
            "github.com/tianyi-lab/HallusionBench, README and HallusionBench.json (columns; gold 1 is "
            "yes) and evaluation.py (accuracy per figure and per question pair)",
        ),
        choices="",
        answer="gt_answer",
        asks="yes_no",
        fields={"category": "category", "subcategory": "subcategory"},
        together={
            "per figure": ("category", "subcategory", "set_id", "figure_id"),
            "per question pair": ("category", "subcategory", "set_id", "question_id"),
        },
    ),
)
"""The benchmarks in upstream's order."""
BY_NAME: Mapping[str, Benchmark] = {benchmark.name: benchmark for benchmark in BENCHMARKS}
