"""The datasets that the paper and upstream use, with their layouts on the Hub.

Every fact has its source. The eleven sources of the paper's Table 2 are taken from LLaVA-OneVision's
collection: its six configurations of SFT-Iter1 have about 59.3k rows together, and the paper counts
59.2k; that they are the same data is our inference, not stated in the paper.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlt.datagen.sources.conversations import conversation_rows
from vlt.datagen.sources.row import Row, Unreadable
from vlt.errors import UsageError

ONEVISION = "lmms-lab/LLaVA-OneVision-Data"
ONEVISION_CARD = "https://huggingface.co/datasets/lmms-lab/LLaVA-OneVision-Data (card, viewer)"
MATHV_TEXT = "https://huggingface.co/datasets/Zhiqiang007/MathV360K (its conversations)"
CAULDRON_TEXT = "https://huggingface.co/datasets/HuggingFaceM4/the_cauldron (its conversations)"
UPSTREAM = "OpenVLThinker's repository"


@dataclass(frozen=True)
class Known:
    """A dataset on the Hub whose layout is known."""

    name: str
    repo: str
    config: str | None
    split: str
    layout: str
    """columns, or conversations: `conversations` (from, value) or `messages` (role, content)."""
    rows: str | None
    """Rows of the split: exact if from its card, rounded if from its viewer; None if we saw neither."""
    license: str
    used: str
    """In which step of the paper, or of upstream's v1.2, it is used."""
    facts: tuple[str, ...]
    """The sources of the facts."""


def _onevision(name: str, config: str, rows: str | None, used: str, text: str) -> Known:
    license = "apache-2.0 (the collection's card; each source has its own)"
    facts = (ONEVISION_CARD, text)
    return Known(name, ONEVISION, config, "train", "conversations", rows, license, used, facts)


def _upstream(name: str, repo: str, layout: str, used: str, file: str) -> Known:
    unknown = "not stated in what we could read"
    facts = (f"{UPSTREAM}, {file}",)
    return Known(name, repo, None, "train", layout, None, unknown, used, facts)


_ALL = "SFT-Iter1, 2 and 3; GRPO"
_SFT = "SFT-Iter1, 2 and 3"
_LATER = "SFT-Iter2 and 3"
_LATER_GRPO = "SFT-Iter2 and 3; GRPO"
KNOWN = (
    _onevision("figureqa", "FigureQA(MathV360K)", "17,587", _ALL, MATHV_TEXT),
    _onevision("geos", "GEOS(MathV360K)", "498", _ALL, MATHV_TEXT),
    _onevision("geometry3k", "Geometry3K(MathV360K)", "9,724", _ALL, MATHV_TEXT),
    _onevision("tabmwp", "TabMWP(MathV360K)", "22.5k", _SFT, MATHV_TEXT),
    _onevision("vizwiz", "VizWiz(MathV360K)", "6.6k", _SFT, MATHV_TEXT),
    _onevision("ai2d", "ai2d(cauldron,llava_format)", "2.43k", _SFT, CAULDRON_TEXT),
    _onevision("clevr", "CLEVR-Math(MathV360K)", "5.28k", _LATER_GRPO, MATHV_TEXT),
    _onevision("superclevr", "Super-CLEVR(MathV360K)", "8.64k", _LATER_GRPO, MATHV_TEXT),
    _onevision("iconqa", "IconQA(MathV360K)", "22.6k", _LATER, MATHV_TEXT),
    _onevision("mapqa", "MapQA(MathV360K)", "5.23k", _LATER, MATHV_TEXT),
    _onevision("scienceqa", "scienceqa(cauldron,llava_format)", None, _LATER, CAULDRON_TEXT),
    _upstream(
        "sft-seed",
        "ydeng9/sft_seed",
        "columns",
        "v1.2: the seed of SFT-Iter1 to 3",
        "generation/generate_reasoning_thinker.py and evaluation (decoded_image, problem, answer, source)",
    ),
    _upstream(
        "sft-iter3",
        "ydeng9/OpenVLThinker-sft-iter3",
        "conversations",
        "v1.2: the data of SFT-Iter3",
        "train/llama-factory/data/dataset_info.json (messages, images)",
    ),
    _upstream(
        "grpo-medium",
        "ydeng9/medium_grpo_only",
        "columns",
        "v1.2: GRPO, first phase",
        "train/easyr1/examples/openvlthinker_grpo_medium.sh, config.yaml (problem, answer, images)",
    ),
    _upstream(
        "grpo-hard",
        "ydeng9/OpenVLThinker-grpo-hard",
        "columns",
        "v1.2: GRPO, second phase",
        "train/easyr1/examples/openvlthinker_grpo_hard.sh, config.yaml (problem, answer, images)",
    ),
)


class KnownSource:
    """A known dataset from the Hub, or from a local copy (the setting `path`)."""

    def __init__(
        self,
        known: Known,
        settings: Mapping[str, Any],
        *,
        split: str | None = None,
        config: str | None = None,
        revision: str | None = None,
        folder: Path | None = None,
    ):
        unknown = settings.keys() - {"path"}
        if unknown:
            raise UsageError(
                f"source {known.name!r} has no setting {sorted(unknown)[0]!r}; it has path (of a copy)"
            )
        self.known = known
        self.name = known.name
        self.description: dict[str, Any] = {"license": known.license, "hub": known.repo}
        self.origin = self._origin(settings.get("path"), split, config, revision, folder)
        self.where, self.folder = self.origin.where, self.origin.folder
        self.notes = self.origin.notes
        self._there: list[str] = self.origin.columns()
        self.as_it_is = self.known.layout == "columns" or self._has_conversations
        """False for a copy in its original authors' layout, which is read like any other file."""

    @property
    def _has_conversations(self) -> bool:
        return bool({"conversations", "messages"} & set(self._there))

    def columns(self) -> list[str]:
        """Those of an item if conversations are split into questions, else the dataset's own."""
        found = self._there
        if self.known.layout == "columns" or not self._has_conversations:
            return found
        kept = [c for c in found if c not in ("conversations", "messages")]
        return [*kept, "question", "choices", "answer"]

    def rows(self, leave_out: Sequence[str] = ()) -> Iterator[Row | Unreadable]:
        """The rows; one for each question of a conversation."""
        split = self.known.layout != "columns" and self._has_conversations
        for row in self.origin.rows(leave_out):
            if isinstance(row, Unreadable) or not split:
                yield row
            else:
                yield from conversation_rows(row)

    def identity(self, columns: Mapping[str, str]) -> dict[str, Any]:
        """Its origin, and the version of the rules that split a conversation into questions."""
        apart = self.known.layout != "columns" and self._has_conversations
        layout = {"conversations": 1} if apart else {}
        return {**self.origin.identity(columns), **layout}

    def _origin(
        self,
        path: str | None,
        split: str | None,
        config: str | None,
        revision: str | None,
        folder: Path | None,
    ) -> Any:
        split, config = split or self.known.split, config or self.known.config
        if path is None:
            from vlt.datagen.sources.repository import HubSource

            if folder:
                raise UsageError(
                    f"source {self.name!r} has its images on the Hub; leave out --image-root"
                )
            return HubSource(self.known.repo, split, config, revision)
        from vlt.datagen.sources.copies import open_copy

        return open_copy(f"source {self.name!r}", path, split, config, folder)
