"""Scripts without spaces are counted and compared by character; other text by word, as before."""

# ruff: noqa: E501

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli import vlt, vlt_json
from tests.pictures import png
from tests.rows import dataset, item, sample
from tests.test_filters import filtered, kept, thought
from vlt.filters.duplicates.hashing import word_blocks
from vlt.filters.stats import dataset_stats
from vlt.filters.text import count_words
from vlt.segment import numerals, segmented, unspaced, words
from vlt.train.rewards import repetition
from vlt.workspace.diff import diff
from vlt.workspace.store import Store

ASKED = {
    "Chinese": "如图所示在梯形中对角线相交于一点并且上底与下底的比已知求两个三角形面积的比并写出完整的推理过程最后给出答案",
    "Japanese": "図のような台形で対角線が一点で交わるとき上底と下底の比がわかっているとして二つの三角形の面積の比を求め理由を書け",
    "Thai": "จากรูปสี่เหลี่ยมคางหมูเส้นทแยงมุมตัดกันที่จุดหนึ่งจงหาอัตราส่วนของพื้นที่รูปสามเหลี่ยมทั้งสองพร้อมแสดงวิธีทำ",
    "Lao": "ຈາກຮູບສີ່ຫຼ່ຽມຄາງໝູເສັ້ນເນັ່ງຈອມຕັດກັນທີ່ຈຸດໜຶ່ງຈົ່ງຊອກຫາອັດຕາສ່ວນຂອງເນື້ອທີ່ຮູບສາມຫຼ່ຽມທັງສອງພ້ອມສະແດງວິທີ",
    "Khmer": "តាមរូបចតុកោណព្នាយអង្កត់ទ្រូងកាត់គ្នាត្រង់ចំណុចមួយចូររកផលធៀបនៃផ្ទៃក្រឡាត្រីកោណទាំងពីរដោយបង្ហាញវិធីគិតលម្អិត",
    "Burmese": "ပုံတွင်ပြထားသည့်ထရာပီဇီယမ်၏ထောင့်ဖြတ်မျဉ်းများသည်အမှတ်တစ်ခုတွင်ဖြတ်သည်တြိဂံနှစ်ခု၏ဧရိယာအချိုးကိုရှာပါ",
    "Chinese beside formulas": "已知函数f(x)=ax+b的图像经过点A和点B求直线的斜率并判断点C是否在这条直线上说明理由并画出函数的大致图像",
}
ENDS = {"Thai": "ครับ", "Lao": "ແດ່", "Khmer": "។", "Burmese": "။"}
LATIN = [
    "How many apples does Tom have, if 3 < 5?",
    "Wie groß ist die Fläche – in “m²”? Naïve œuvre …",
    "Сколько яблок у Тома? Πόσα μήλα;",
    "삼각형의 넓이를 구하시오.",
    "यह त्रिभुज का क्षेत्रफल है",
    "",
]


def test_text_with_spaces_stays_as_it_is() -> None:
    column = pa.array([*LATIN, None])
    assert segmented(column) is column and unspaced(column) is None
    assert segmented(column.slice(2, 3)).equals(column.slice(2, 3))
    mixed = pa.array([*LATIN, "角度", None])
    assert segmented(mixed).to_pylist()[: len(LATIN)] == LATIN
    assert segmented(mixed).to_pylist()[-1] is None
    alone, beside = (
        [block.words for block in word_blocks(texts)]
        for texts in (pa.array(LATIN), pa.array([*LATIN, "角度"]))
    )
    assert np.array_equal(alone[0], beside[0][:-2])


def test_words_are_characters_with_what_belongs_to_them() -> None:
    assert words("如图，三角形ABC的面积是12.5吗？") == [
        *"如图三角形", "ABC", *"的面积是", "12.5", "吗",
    ]  # fmt: skip
    assert words("テーブルの角度「A」") == ["テー", *"ブルの角度", "A"]
    assert words("เส้นแบ่ง") == ["เส้", "น", "แบ่", "ง"]
    assert words("ខ្ញុំ។") == ["ខ្ញុំ"]
    assert words("plain words, as ever") == ["plain", "words,", "as", "ever"]
    assert numerals(pa.array(["五和七共一十二", "five", "๕ข้อ"])).to_pylist()[1] == ""


@pytest.mark.parametrize("script", ASKED)
def test_near_dedup(tmp_path: Path, script: str) -> None:
    text = ASKED[script]
    other = text[::-1]  # the same characters in another order are another text
    texts = {"text": [text, text + ENDS.get(script, "。"), other], "id": ["1", "2", "3"]}
    pq.write_table(pa.table(texts), tmp_path / "in.parquet")
    vlt(
        "dedup", tmp_path / "in.parquet", "--on", "text", "--near", "--to", tmp_path / "out.parquet"
    )
    assert pq.read_table(tmp_path / "out.parquet")["id"].to_pylist() == ["1", "3"]


def test_near_dedup_keeps_what_differs_in_a_numeral(tmp_path: Path) -> None:
    text = ASKED["Chinese"] + "已知底边长为五厘米"
    texts = {
        "text": [text, text.replace("五", "七"), text.replace("五", "5")],
        "id": ["1", "2", "3"],
    }
    pq.write_table(pa.table(texts), tmp_path / "in.parquet")
    vlt(
        "dedup", tmp_path / "in.parquet", "--on", "text", "--near", "--to", tmp_path / "out.parquet"
    )
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 3


@pytest.mark.parametrize("script", ASKED)
def test_decontaminate(workspace: Path, script: str) -> None:
    from vlt.images.store import ImageStore

    store = Store(workspace)
    with ImageStore(workspace / "images") as images:
        ours, theirs = (images.add(png(n)) for n in (1, 2))
    taken = item(ASKED[script], "1", images=[ours])
    fine = item("面积是多少？" if script != "Thai" else "มีกี่อัน", "1", images=[ours])
    dataset(store, "items", "item", [taken, fine])
    dataset(store, "bench", "item", [item(ASKED[script], "1", images=[theirs])])
    vlt("decontaminate", "items", "--against", "bench", "--as", "clean", "-w", workspace)
    clean = store.open("clean")
    assert [row["id"] for row in clean.table().to_pylist()] == [fine["id"]]
    assert "words: as in bench@v1" in clean.dropped.table()["reason"][0].as_py()


@pytest.mark.parametrize("script", ASKED)
def test_lengths_are_counted(workspace: Path, script: str) -> None:
    store, text = Store(workspace), ASKED[script]
    (n,) = count_words(pa.array([text]))
    assert len(text) / 3 < n <= len(text)
    rows = [thought(text * 20, index=0), thought(text, index=1)]
    assert kept(filtered(store, rows, {"max_words": 500})) == [1]
    assert dataset_stats(store.open("samples"))["reasoning_words"]["max"] == n * 20
    other = dataset(store, "other", "sample", [sample(text, 0), sample(text * 2, 1)])
    low, *_, high = diff(other, other)["lengths"]["words of the response"]["a"]
    assert low > len(text) / 3 and high > 1.8 * low


@pytest.mark.parametrize("script", ASKED)
def test_repetition(workspace: Path, script: str) -> None:
    text = ASKED[script]
    rows = [thought(text, index=0), thought(text[:24] * 12, index=1)]
    assert kept(filtered(Store(workspace), rows, "repetition")) == [0]
    once, looped = repetition([text, text[:24] * 12])
    assert once is not None and looped is not None
    assert once > -0.2 and looped < -0.8


def test_the_command_says_how_long_responses_are(workspace: Path) -> None:
    dataset(Store(workspace), "samples", "sample", [sample(ASKED["Chinese"], 0)])
    words_of = vlt_json("stats", "samples", "-w", workspace)["reasoning_words"]
    assert words_of["mean"] == len(ASKED["Chinese"])
