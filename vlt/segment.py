"""Words in scripts without spaces between them (Chinese, Japanese, Thai, Lao, Khmer, Burmese ...).

Code that counts or compares words splits at spaces, and would treat a Chinese response as one word.
Here a space is put around each character of such a script (with its vowel signs and marks), so that each
counts as a word, as word processors count Chinese; full stops, commas and brackets of these scripts become
spaces. An English word corresponds to about 1.6 of these in Chinese, 2 in Japanese, 2 to 3 in Thai. Korean
has spaces and is unchanged. There is no dictionary: the same characters are always split in the same way,
so texts that differ in one character differ only in the n-grams around it.

Text without such characters is returned unchanged, byte for byte.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# In RE2, which Arrow uses. The long vowel mark and iteration marks go with the character before.
_IDEOGRAPHS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Yi}"
_THAI, _THAI_BEFORE, _THAI_AFTER = (
    r"\x{0E01}-\x{0E2E}\x{0E81}-\x{0EAE}\x{0EDC}-\x{0EDF}",
    r"\x{0E40}-\x{0E44}\x{0EC0}-\x{0EC4}",  # vowels written before their consonant
    r"\x{0E2F}\x{0E30}\x{0E32}\x{0E33}\x{0E45}\x{0E46}\x{0EAF}\x{0EB0}\x{0EB2}\x{0EB3}\x{0EBD}\x{0EC6}",
)
_KHMER = r"\x{1780}-\x{17B3}"
_BURMESE = (
    r"\x{1000}-\x{102A}\x{103F}\x{1050}-\x{1055}\x{1075}-\x{1081}\x{A9E0}-\x{A9E4}\x{AA60}-\x{AA6F}"
)
_OTHERS = r"\p{Tai_Le}\p{New_Tai_Lue}\p{Tai_Tham}\p{Tai_Viet}\p{Javanese}\p{Balinese}"
_UNSPACED = _IDEOGRAPHS + _THAI + _THAI_BEFORE + _THAI_AFTER + _KHMER + _BURMESE + _OTHERS
_MARKS = r"\p{M}*"
_UNITS = "|".join(
    [
        rf"[{_IDEOGRAPHS}][\x{{30FC}}\x{{FF70}}\x{{3005}}\x{{303B}}]*" + _MARKS,
        rf"[{_THAI_BEFORE}]*[{_THAI}][\p{{M}}{_THAI_AFTER}]*",
        rf"[{_KHMER}](?:\x{{17D2}}[{_KHMER}])*" + _MARKS,  # stacked consonants are one character
        rf"[{_BURMESE}](?:\x{{1039}}[{_BURMESE}])*" + _MARKS,
        rf"[{_OTHERS}]" + _MARKS,
    ]
)
_POINTS = (
    r"\x{3000}-\x{3003}\x{3008}-\x{3011}\x{3014}-\x{301F}\x{30FB}\x{FF01}\x{FF02}\x{FF07}-\x{FF09}"
    r"\x{FF0C}\x{FF0E}\x{FF1A}\x{FF1B}\x{FF1F}\x{FF3B}\x{FF3D}\x{FF40}\x{FF5B}-\x{FF5D}\x{FF5F}-\x{FF65}"
    r"\x{2018}-\x{201F}\x{2026}\x{2014}\x{0E4F}\x{0E5A}\x{0E5B}\x{104A}-\x{104F}\x{17D4}-\x{17DA}"
)
"""Punctuation that separates words in these scripts. Arithmetic signs are not included."""
# Without 一, which means "a" as often as "one" and occurs in many other words.
_NUMERALS = r"〇零二两兩三四五六七八九十百千万萬亿億壹贰貳叁參肆伍陆陸柒捌玖拾佰仟\p{Nd}"
_LEADS = b"\xe0", b"\xe1"
"""The first bytes of these characters in UTF-8, besides those above 0xe2 (with which dashes, quotation
marks and mathematics start, which occur in every second English text)."""


def segmented(column: pa.Array) -> pa.Array:
    """[n] the texts, with spaces between the words of scripts that have none."""
    which = unspaced(column)
    if which is None:
        return column
    texts = column.filter(which)
    texts = pc.replace_substring_regex(texts, f"[{_POINTS}]", " ")
    texts = pc.replace_substring_regex(texts, f"({_UNITS})", r" \1 ")
    return pc.replace_with_mask(column, which, texts)


def unspaced(column: pa.Array) -> pa.Array | None:
    """[n] whether each text has characters of such a script; None if none does.

    Text in Latin letters costs one pass over its bytes.
    """
    if not len(column):
        return None
    ends = np.frombuffer(column.buffers()[1], np.int32)[column.offset :][: len(column) + 1]
    data = column.buffers()[2]
    if data is None:
        return None
    used = np.frombuffer(data, np.uint8)[ends[0] : ends[-1]]
    most = used.max(initial=0)
    if most < 0xE0 or (most < 0xE3 and not any(lead in used.tobytes() for lead in _LEADS)):
        return None
    which = pc.fill_null(pc.match_substring_regex(column, f"[{_UNSPACED}]"), False)
    return which if pc.any(which).as_py() else None


def numerals(column: pa.Array) -> pa.Array:
    """[n] the numerals of these scripts in each text (and digits other than 0 to 9), separated by
    spaces; empty for texts in other scripts."""
    which = unspaced(column)
    if which is None:
        return pa.array([""] * len(column), pa.string())
    found = pc.replace_substring_regex(column.filter(which), f"[^{_NUMERALS}]+", " ")
    found = pc.replace_substring_regex(found, "[0-9]+", " ")
    return pc.replace_with_mask(pa.array([""] * len(column), pa.string()), which, found)


def words_in_sql(column: str) -> str:
    """A DuckDB expression for the approximate number of words in a column (by its spaces, and the
    characters of scripts without them)."""
    spaces = f"length({column}) - length(replace({column}, ' ', '')) + 1"
    others = f"length({column}) - length(regexp_replace({column}, '[{_UNSPACED}]', '', 'g'))"
    return f"{spaces} + case when strlen({column}) > length({column}) then {others} else 0 end"


def words(text: str) -> list[str]:
    """The words of one text."""
    found: list[str] = segmented(pa.array([text], pa.string()))[0].as_py().split()
    return found
