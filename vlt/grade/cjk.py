"""Chinese, Japanese and Korean as they stand in answers: units after a number, scales, counters.

`measured` turns them into the spellings that `units` and `quantity` know, so that 12厘米 is 12 cm,
5万 is 50000 and 3个 is 3 of something.
"""

from __future__ import annotations

import re

_UNITS = {
    "平方公里": "km^2", "平方千米": "km^2", "平方厘米": "cm^2", "平方毫米": "mm^2", "平方分米": "dm^2",
    "平方米": "m^2", "立方厘米": "cm^3", "立方分米": "dm^3", "立方毫米": "mm^3", "立方米": "m^3",
    "厘米": "cm", "公分": "cm", "毫米": "mm", "分米": "dm", "千米": "km", "公里": "km", "微米": "μm",
    "纳米": "nm", "米": "m", "千克": "kg", "公斤": "kg", "毫克": "mg", "克": "g", "吨": "t", "毫升": "mL",
    "升": "L", "公顷": "ha", "英寸": "inches", "英尺": "feet", "英里": "miles", "个小时": "hours",
    "小时": "hours", "时间": "hours", "分钟": "minutes", "秒钟": "seconds", "秒": "seconds",
    "天": "days", "星期": "weeks", "周": "weeks", "个月": "months", "年": "years", "岁": "years",
    "美元": "dollars", "欧元": "euros", "英镑": "pounds sterling", "日元": "yen", "元": "yuan",
    "円": "yen", "원": "won", "摄氏度": "°C", "度": "°", "도": "°", "牛顿": "N", "焦耳": "J",
    "瓦": "W", "伏": "V", "安培": "A", "欧姆": "Ω", "厘米²": "cm^2", "センチメートル": "cm",
    "キロメートル": "km", "メートル": "m", "キログラム": "kg", "グラム": "g", "時間": "hours",
    "分間": "minutes", "센티미터": "cm", "미터": "m", "킬로그램": "kg", "시간": "hours",
}  # fmt: skip
_SCALES = {
    "百万": "million", "千万": "qianwan", "万": "wan", "萬": "wan", "亿": "yi", "億": "yi",
    "千": "thousand", "百": "hundred", "만": "wan", "억": "yi",
}  # fmt: skip
COUNTERS = "个個只隻人名本張张辆台支朵条條棵颗顆块片次位盒瓶杯匹枚つ개명권마"

_UNIT = "|".join(sorted(map(re.escape, _UNITS), key=len, reverse=True))
_SCALE = re.compile(rf"(?<=\d)\s*({'|'.join(_SCALES)})(?![分克米瓦卡])")
_MEASURED = re.compile(
    rf"(?<=[\d)}}π])\s*({_UNIT})(\s*[/每]\s*(?:{_UNIT}))?(?=[\s.,;)]|$)"
    rf"|(?<=wan|.yi)\s+?({_UNIT})(?=[\s.,;)]|$)"
)
_COUNTED = re.compile(rf"(?<=[\d)}}])(?=[{COUNTERS}])")


def measured(text: str) -> str:
    """The text with the units, scales and counters after its numbers in Latin spelling."""
    text = _SCALE.sub(lambda m: f" {_SCALES[m.group(1)]} ", text)
    text = _MEASURED.sub(_unit, text)
    return _COUNTED.sub(" ", text)


def _unit(match: re.Match[str]) -> str:
    unit = _UNITS[match.group(1) or match.group(3)]
    per = match.group(2)
    return f" {unit}" + (f"/{_UNITS[per.strip(' /每')]}" if per else "")
