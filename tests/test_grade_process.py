"""The symbolic tier's process: threads, forks, deadlines, memory, death."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import pytest

from vlt.grade import Options, grade, grade_many, symbolic
from vlt.grade.expression import parse
from vlt.grade.symbolic import Late, Worker, equal
from vlt.grade.tokens import Tree

HARD = ("<answer>\\sqrt{3+2\\sqrt{2}}</answer>", "1+\\sqrt{2}")


def _tree(text: str) -> Tree:
    tree = parse(text)
    assert tree is not None
    return tree


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("\\sin^2 x + \\cos^2 x", "1", True),
        ("\\sqrt{3+2\\sqrt{2}}", "1+\\sqrt{2}", True),
        ("\\ln(8)", "3\\ln(2)", True),
        ("\\arctan(1)", "\\frac{\\pi}{4}", True),
        ("e^{x} e^{x}", "e^{2x}", True),
        ("e^{\\pi \\sqrt{163}}", "262537412640768744", False),  # equal to 30 digits
        ("\\sqrt{x^2}", "x", False),
        ("\\log_2(8)", "3", True),
        ("\\sqrt[3]{2+\\sqrt{5}} + \\sqrt[3]{2-\\sqrt{5}}", "1", True),
    ],
)
def test_equal(a: str, b: str, same: bool) -> None:
    assert equal(_tree(a), _tree(b), 20.0) is same


def test_late_is_unjudged_and_the_next_row_is_right() -> None:
    symbolic.close()
    symbolic._known.clear()
    graded = grade(*HARD, options=Options(deadline=0.0))
    assert graded.verdict == "unjudged"
    assert grade(*HARD).verdict == "correct"


def test_a_killed_worker_is_replaced() -> None:
    symbolic._known.clear()
    assert grade(*HARD).verdict == "correct"
    worker = symbolic._worker
    assert worker is not None
    os.kill(worker.process.pid, signal.SIGKILL)
    worker.process.wait()
    symbolic._known.clear()
    assert grade(*HARD).verdict == "correct"
    assert symbolic._worker is not worker


def test_a_stopped_worker_is_killed_in_time() -> None:
    symbolic._known.clear()
    assert grade(*HARD).verdict == "correct"
    worker = symbolic._worker
    assert worker is not None
    os.kill(worker.process.pid, signal.SIGSTOP)
    symbolic._known.clear()
    began = time.monotonic()
    assert grade(*HARD, options=Options(deadline=0.3)).verdict == "unjudged"
    assert time.monotonic() - began < 1.5
    assert worker.process.poll() is not None
    assert grade(*HARD).verdict == "correct"


def test_the_worker_has_a_memory_limit() -> None:
    worker = Worker("equal")
    try:
        limits = Path(f"/proc/{worker.process.pid}/limits").read_text()
        line = next(line for line in limits.splitlines() if line.startswith("Max address space"))
        assert int(line.split()[3]) == symbolic.MEMORY_MB << 20
        assert "Max file size             0" in limits
    finally:
        worker.kill()


def test_a_worker_that_dies_of_a_question_is_late() -> None:
    worker = Worker("equal")
    huge: Tree = ("n", Fraction(1))
    with pytest.raises(Late):
        worker.ask({"a": ["?"], "b": symbolic._plain(huge)}, 5.0)
    assert worker.process.poll() is not None


def test_threads_agree() -> None:
    symbolic._known.clear()
    rows = [
        HARD,
        ("<answer>\\sin 60^\\circ</answer>", "\\frac{\\sqrt3}{2}"),
        ("<answer>B</answer>", "B"),
    ]
    found: list[list[str]] = []

    def work() -> None:
        found.append([grade(*row).verdict for row in rows * 5])

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [["correct"] * 15] * 6


def test_a_forked_child_has_a_worker_of_its_own() -> None:
    symbolic._known.clear()
    assert grade(*HARD).verdict == "correct"
    parents = symbolic._worker
    child = os.fork()
    if child == 0:
        symbolic._known.clear()
        good = grade(*HARD).verdict == "correct" and symbolic._worker is not parents
        symbolic.close()
        os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0
    symbolic._known.clear()
    assert grade(*HARD).verdict == "correct"
    assert symbolic._worker is parents


def test_order_does_not_matter() -> None:
    rows = [
        ("<answer>9**9**9</answer>", "5"),
        HARD,
        ("<answer>99999999!</answer>", "5"),
        ("<answer>5 cm</answer>", "5"),
        ("<answer>x^{9^{9^9}}</answer>", "x"),
        ("<answer>2/4</answer>", "1/2"),
    ]
    forward = [grade(*row).verdict for row in rows]
    symbolic._known.clear()
    backward = [grade(*row).verdict for row in reversed(rows)]
    assert forward == backward[::-1]


def test_no_alarm_is_set_and_handlers_stay() -> None:
    before = signal.getsignal(signal.SIGALRM)
    grade(*HARD)
    assert signal.getsignal(signal.SIGALRM) is before


def test_no_process_is_left_behind() -> None:
    code = (
        "from vlt.grade import grade, symbolic\n"
        f"assert grade(*{HARD!r}).verdict == 'correct'\n"
        "print(symbolic._worker.process.pid)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    time.sleep(0.2)
    assert not os.path.exists(f"/proc/{int(done.stdout)}")


def test_graders_run_in_processes() -> None:
    rows = [HARD[0]] * 6
    for grader in ("vlt", "paper"):
        one = grade_many(rows, [HARD[1]] * 6, grader=grader, workers=1)
        assert grade_many(rows, [HARD[1]] * 6, grader=grader, workers=2) == one
