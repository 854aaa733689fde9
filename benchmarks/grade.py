"""The grader compared with math-verify and MathRuler: speed on a realistic mix, accuracy on our cases.

    make bench-grade            (or: python -m benchmarks.grade [--rows 20000] [--json])

The mix is made from a seed: 85 % letters, integers and yes/no, 15 % LaTeX; responses of 40 to 220
words with the reasoning in <think>; one in three is wrong. Every grader runs in this one process on the
same rows, one by one: ours and MathRuler on whole responses (MathRuler on the content of the last
<answer>, as OpenVLThinker calls it), math-verify with its parser on our extracted text, which is the
faster and more accurate way to call it. Warm-up is not counted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vlt.grade import extract, grade

ROOT = Path(__file__).resolve().parents[1]
CASES = [ROOT / "tests" / "grade_cases.toml", ROOT / "tests" / "grade_cases_held_out.toml"]
WORDS = (
    "the figure shows a triangle with sides so we first find length of each then add them together "
    "because angle is right and area equals half base times height which gives us value we need "
    "looking at chart bar for 2019 is higher than one before it let me check again count red shapes"
).split()

Row = tuple[str, str, list[str] | None]
Grader = Callable[[str, str, list[str] | None], bool]


def mix(n: int, seed: int = 0) -> list[Row]:
    """n rows (response, gold, choices) of the realistic mix."""
    rng = random.Random(seed)
    return [_row(rng) for _ in range(n)]


def _row(rng: random.Random) -> Row:
    kind = rng.choices(("letter", "integer", "yes_no", "latex"), (35, 35, 15, 15))[0]
    right = rng.random() < 2 / 3
    choices = None
    if kind == "letter":
        choices = [str(rng.randint(1, 99)) for _ in range(4)]
        at = rng.randrange(4)
        gold = "ABCD"[at]
        said = gold if right else "ABCD"[(at + 1) % 4]
        if rng.random() < 0.3:
            said = rng.choice(("({})", "{}.", "Option {}")).format(said)
    elif kind == "integer":
        number = rng.randint(0, 5000)
        gold = str(number)
        said = gold if right else str(number + rng.randint(1, 9))
        if rng.random() < 0.2:
            said = rng.choice(("{} cm", "${}$", "{}.0", "x = {}")).format(said)
    elif kind == "yes_no":
        gold = rng.choice(("Yes", "No"))
        said = gold if right else ("No" if gold == "Yes" else "Yes")
        if rng.random() < 0.3:
            said += rng.choice((".", ", because it is larger."))
    else:
        gold, said = _latex(rng, right)
    words = " ".join(rng.choices(WORDS, k=rng.randint(40, 220)))
    return f"<think>\n{words}.\n</think>\n\n<answer>{said}</answer>", gold, choices


def _latex(rng: random.Random, right: bool) -> tuple[str, str]:
    a, b, c = (rng.randint(2, 19) for _ in range(3))
    other = a if right else a + 1
    forms = (
        (f"\\frac{{{a}}}{{{b}}}", f"\\dfrac{{{other * c}}}{{{b * c}}}"),
        (f"{a}\\sqrt{{{b}}}", f"\\sqrt{{{other * other * b}}}"),
        (f"{a}\\pi", f"{other} \\pi \\text{{ cm}}"),
        (f"x^2 + {a}x + {b}", f"{b} + {other}x + x^{{2}}"),
        (f"\\frac{{{a}\\sqrt{{{b}}}}}{{{c}}}", f"\\frac{{{other}}}{{{c}}}\\sqrt{{{b}}}"),
        (f"({a}, {b})", f"\\left({other}, {b}\\right)"),
        (f"{a}^{{{b % 5 + 2}}}", str(other ** (b % 5 + 2))),
        (f"\\{{{a}, {a + b}\\}}", f"\\{{{a + b}, {other}\\}}"),
        (f"{a}^\\circ", f"{other}"),
        (f"y = {a}x - {b}", f"$y = {other}x - {b}$"),
    )
    return rng.choice(forms)


def ours(response: str, gold: str, choices: list[str] | None) -> bool:
    """vlt.grade, as the filter and the reward call it."""
    return grade(response, gold, choices=choices).verdict == "correct"


def math_verify() -> Grader | None:
    """math-verify with its defaults on the text that we extract, or None if not installed."""
    try:
        from math_verify import parse, verify
    except ImportError:
        return None

    def one(response: str, gold: str, choices: list[str] | None) -> bool:  # noqa: ARG001
        predicted = extract(response) or ""
        return bool(verify(parse(f"\\boxed{{{gold}}}"), parse(f"\\boxed{{{predicted}}}")))

    return one


def mathruler() -> Grader | None:
    """MathRuler as OpenVLThinker calls it, or None if not installed."""
    try:
        from mathruler.grader import grade_answer
    except ImportError:
        return None

    def one(response: str, gold: str, choices: list[str] | None) -> bool:  # noqa: ARG001
        predicted = response.split("<answer>")[-1].split("</answer>")[0].strip()
        return predicted.lower() == gold.lower() or bool(grade_answer(gold, predicted))

    return one


def timed(grader: Grader, rows: list[Row]) -> dict[str, float]:
    """Rows per second, median and 99th percentile in microseconds."""
    for row in rows[:20]:
        grader(*row)
    spent = []
    for row in rows:
        began = time.perf_counter()
        with contextlib.suppress(Exception):  # another grader's exception counts as "wrong"
            grader(*row)
        spent.append(time.perf_counter() - began)
    total = sum(spent)
    spent.sort()
    return {
        "rows": len(rows),
        "rows/s": len(rows) / total,
        "median us": 1e6 * spent[len(spent) // 2],
        "p99 us": 1e6 * spent[int(len(spent) * 0.99)],
    }


def accuracy(grader: Grader) -> dict[str, float]:
    """Share of our scored cases graded correctly, and the share of wrong answers graded as correct."""
    right = wrong = passed = cases = 0
    for response, case, gold_verdict in scored_cases():
        try:
            said = grader(response, case["gold"], case.get("choices"))
        except Exception:  # counts as "wrong" for other graders; ours never raises
            said = False
        cases += 1
        right += said == gold_verdict
        wrong += not gold_verdict
        passed += said and not gold_verdict
    return {"cases": cases, "accuracy": right / cases, "false positives": passed / wrong}


def scored_cases() -> list[tuple[str, dict[str, Any], bool]]:
    """(response, case, whether it is correct) for every scored case of tests/grade_cases*.toml."""
    found = []
    for path in CASES:
        for case in tomllib.loads(path.read_text("utf-8"))["case"]:
            for verdict, key in ((True, "right"), (False, "wrong")):
                for said in case.get(key, []):
                    if said in case.get("unscored", []):
                        continue
                    response = (
                        said if case.get("raw") else f"<think>So.</think><answer>{said}</answer>"
                    )
                    found.append((response, case, verdict))
    return found


def main() -> None:
    """Print the table, or one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--attack", action="store_true", help="run the adversary: see grade_attack.py"
    )
    parser.add_argument("--tries", type=int, default=200_000, help="the adversary's")
    parser.add_argument("--seed", type=int, default=0, help="the adversary's")
    arguments = parser.parse_args()
    if arguments.attack:
        from benchmarks.grade_attack import main as attack

        sys.exit(attack(arguments.tries, arguments.seed))
    rows = mix(arguments.rows)
    graders: dict[str, Grader | None] = {
        "vlt": ours,
        "math-verify": math_verify(),
        "mathruler": mathruler(),
    }
    table: dict[str, dict[str, float]] = {}
    for name, grader in graders.items():
        if grader is None:
            print(f"{name} is not installed; skipped", file=sys.stderr)
            continue
        print(f"{name}: {len(rows):,} rows ...", file=sys.stderr)
        table[name] = timed(grader, rows) | accuracy(grader)
    for line in table.values():
        line["times math-verify"] = (
            line["rows/s"] / table["math-verify"]["rows/s"] if "math-verify" in table else 0.0
        )
    if arguments.json:
        print(json.dumps(table, indent=1))
        return
    columns = list(table["vlt"])
    print("  ".join(["grader".ljust(12), *(c.rjust(16) for c in columns)]))
    for name, line in table.items():
        cells = [
            f"{value:.1%}" if c in ("accuracy", "false positives") else f"{value:,.1f}"
            for c, value in line.items()
        ]
        print("  ".join([name.ljust(12), *(cell.rjust(16) for cell in cells)]))


if __name__ == "__main__":
    main()
