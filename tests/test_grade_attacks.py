"""Hostile answers: bounded in time and memory, no exception, no side effect, next row right."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from vlt.grade import grade, grade_many

SECONDS = 2.0
MEGABYTE = 1_000_000


def _attacks() -> dict[str, str]:
    deep = 10_000
    return {
        "import": '__import__("os").system("touch /tmp/vlt-pwned")',
        "open": 'open("/tmp/vlt-pwned", "w").write("x")',
        "exec": "exec(\"open('/tmp/vlt-pwned','w')\")",
        "lambda": "(lambda: [].__class__.__base__.__subclasses__())()",
        "sympy eval": "S(\"__import__('os').system('touch /tmp/vlt-pwned')\")",
        "tower": "9**9**9",
        "tower of hats": "9^{9^{9^9}}",
        "tower of variables": "x^{9^{9^{9}}}",
        "negative tower": "2^{-9^{9^9}}",
        "tower of roots": "\\sqrt{9^{9^9}}",
        "tower plus one": "9^{9^9}+1",
        "e-notation": "1e999999999",
        "power of ten": "10^{999999999}",
        "times power of ten": "3 \\times 10^{999999999}",
        "factorial": "99999999!",
        "factorials": "9!!!!!!!!!!",
        "factorial sum": "99999!+1",
        "binomials": "(x+y)^{99999}",
        "product of sums": "(a+b+c+d+e+f)^{30}(a+b+c+d+e+g)^{30}",
        "nested sums": "(" * 35 + "x+1" + ")^9" * 35,
        "parentheses": "(" * deep + "1" + ")" * deep,
        "brackets": "[" * deep + "1" + "]" * deep,
        "braces": "{" * deep + "1" + "}" * deep,
        "set braces": "\\{" * deep + "1" + "\\}" * deep,
        "open braces": "{" * deep,
        "fractions": "\\frac{" * deep + "1" + "}{2}" * deep,
        "roots": "\\sqrt{" * deep + "2" + "}" * deep,
        "short roots": "\\sqrt" * 300 + "2",
        "powers": "2" + "^2" * 500,
        "braced powers": "2" + "^{2" * 30 + "}" * 30,
        "minus": "-" * 10_000 + "1",
        "absolute": "|" * 2_001,
        "megabyte of digits": "9" * MEGABYTE,
        "megabyte of letters": "a" * MEGABYTE,
        "megabyte of spaces": "1" + " " * MEGABYTE + "2",
        "megabyte of newlines": "1" + "\n" * MEGABYTE + "2",
        "megabyte of commas": "1," * (MEGABYTE // 2),
        "megabyte of dollars": "$" * MEGABYTE,
        "megabyte of stars": "*" * MEGABYTE,
        "megabyte of backslashes": "\\" * MEGABYTE,
        "megabyte of or": "B or " * (MEGABYTE // 5),
        "megabyte of boxes": "\\boxed{" * (MEGABYTE // 7),
        "megabyte of answers": "the answer is " * (MEGABYTE // 14),
        "megabyte of the answer to": "answer to " * (MEGABYTE // 10),
        "megabyte of answer tags": "<answer>" * (MEGABYTE // 8),
        "megabyte of closings": "</answer>" * (MEGABYTE // 9),
        "megabyte of thoughts": "<think>" * (MEGABYTE // 7),
        "null bytes": "\x005\x00",
        "many null bytes": "\x00" * 10_000,
        "lone surrogate": "\ud800",
        "surrogates": "5\udcff\ud800",
        "right to left": "\u202e5\u202c",
        "combining": "e" + "\u0301" * 10_000,
        "zalgo": "5" + "\u0336" * 1000,
        "spaces before a dot": "5" + " " * 50_000 + ".",
        "digits for a date": "1" * 50_000 + ":",
        "groups of digits": "1,234," * 500 + "x",
        "groups with spaces": "1 234 " * 500 + "x",
        "words": "a " * 2_000,
        "is": "x is " * 700,
        "because": "because " * 500,
        "quotes": '"' * 4_000,
        "hyphens": "a-" * 2_000,
        "equals": "=" * 3_000,
        "chained": "x=" * 1_500 + "1",
        "colons": "1:" * 2_000 + "1",
        "units": "5 " + "m " * 1_900,
        "unit powers": "5 m" + "^9" * 30,
        "matrix": "\\begin{pmatrix}" + "1&" * 1_900 + "\\end{pmatrix}",
        "open matrix": "\\begin{pmatrix}" * 260,
        "long list": ", ".join(str(i) for i in range(990)),
        "long list of roots": ", ".join(f"\\sqrt{{{i}+2\\sqrt{{2}}}}" for i in range(90)),
        "plus minus": "±" * 3_000,
        "many plus minus": ", ".join(["1 ± 2"] * 500),
        "macro": "\\def\\x{\\x\\x}\\x",
        "newcommand": "\\newcommand{\\x}{\\x}\\x",
        "input": "\\input{/etc/passwd}",
        "write": "\\immediate\\write18{touch /tmp/vlt-pwned}",
        "nested logs": "\\log" * 500 + " 2",
        "tan near pi/2": "\\tan(\\pi/2)",
        "zero division": "\\frac{1}{0}",
        "zero to minus": "0^{-1}",
        "zero root": "\\sqrt[0]{2}",
        "log zero": "\\ln 0",
        "gcd": "gcd(10^{300}, 3)",
        "floor of a tower": "floor(9^{9^9})",
        "html": "<b>" * 1_000,
        "a huge binomial": "\\binom{10^9}{5\\cdot10^8}",
        "a binomial of binomials": "\\binom{\\binom{900}{450}}{\\binom{800}{400}}",
        "lcm": "lcm(10^{300}, 7^{300})",
        "a mod of towers": "9^{9^9} mod 7^{7^7}",
        "falling powers": "(\\sqrt{3}/2)^{99999999}",
        "a sum of factorials": "+".join(f"{n}!" for n in range(900, 1000)),
        "megabyte of questions": "\nQuestion: " * (MEGABYTE // 11),
        "megabyte of stop tokens": "<|im_end|>" * (MEGABYTE // 10),
        "megabyte of sentences": "The base is 12. " * (MEGABYTE // 16),
        "nested boxes": "\\boxed{" * 2_000 + "5" + "}" * 2_000 + " or 6",
        "open braces of JSON": '{"answer": ' * 5_000,
        "format": "%s%n%x" * 100,
        "sql": "'; DROP TABLE answers; --",
    }


GOLDS = (
    ("5", None),
    ("\\sqrt{8}", None),
    ("B", ["1", "2", "\\sqrt{2}"]),
    ("\\{1, 2\\}", None),
    ("x = 5", None),
    ("5 cm", None),
    ("3:30 PM", None),
    ("yes", None),
    ("Paris", None),
)
PWNED = Path("/tmp/vlt-pwned")


@pytest.mark.parametrize("name", list(_attacks()))
def test_an_attack_is_bounded_and_wrong(name: str) -> None:
    attack = _attacks()[name]
    grade("<answer>\\sqrt{3+2\\sqrt{2}}</answer>", "1+\\sqrt{2}")  # the worker is up
    for gold, choices in GOLDS:
        for response in (f"<answer>{attack}</answer>", attack, f"so \\boxed{{{attack}}}"):
            began = time.monotonic()
            graded = grade(response, gold, choices=choices)
            assert time.monotonic() - began < SECONDS
            assert graded.verdict in ("wrong", "unjudged") or _harmless(name), graded
    assert grade("<answer>2/4</answer>", "\\frac{1}{2}").verdict == "correct"
    assert grade("<answer>\\sin 30^\\circ</answer>", "\\frac{1}{2}").verdict == "correct"
    assert not PWNED.exists()


# VmHWM and not ru_maxrss: that one begins with what the parent held when it forked.
ALL_IN_ONE_PROCESS = """
import re
from tests.test_grade_attacks import GOLDS, _attacks
from vlt.grade import grade
for attack in _attacks().values():
    for gold, choices in GOLDS:
        grade(f"<answer>{attack}</answer>", gold, choices=choices)
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""


def test_all_attacks_in_one_process_stay_small() -> None:
    root = Path(__file__).parent.parent
    command = [sys.executable, "-c", ALL_IN_ONE_PROCESS]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 500 * 1024  # kB


def _harmless(name: str) -> bool:
    """Attacks that are the answer 5 once the noise is removed."""
    return name in ("null bytes", "right to left", "zalgo", "surrogates", "spaces before a dot")


@pytest.mark.parametrize("name", list(_attacks()))
def test_an_attack_on_the_papers_rule_is_bounded(name: str) -> None:
    attack = _attacks()[name]
    for gold in ("5", "\\sqrt{8}", "2x"):
        began = time.monotonic()
        grade_many([f"<answer>{attack}</answer>"], [gold], grader="paper")
        assert time.monotonic() - began < SECONDS
    assert not PWNED.exists()


def test_an_attack_as_gold_raises_nothing() -> None:
    for attack in _attacks().values():
        began = time.monotonic()
        grade("<answer>5</answer>", attack)
        grade("<answer>\\sqrt{3+2\\sqrt{2}}</answer>", attack)
        grade(f"<answer>{attack}</answer>", attack)
        assert time.monotonic() - began < 3 * SECONDS
