"""Tables and progress on a terminal; elsewhere the same text as plain lines."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli import vlt
from tests.rows import dataset, item
from tests.terminal import on_terminal, without_colours
from vlt.cli.look import _when
from vlt.cli.tree import _arms
from vlt.workspace.manifest import Stage
from vlt.workspace.store import Store
from vlt.workspace.writer import Writer

TABLE = """
from vlt.cli.output import print_table
print_table([
    {"name": "a[bold]b", "rows": 1234, "says": "a long sentence that has more words " * 5, "x": None},
    {"name": "図形", "rows": 5, "says": "short", "x": 0.25},
])
"""
PROGRESS = """
import sys, time
from pathlib import Path
from vlt.cli.output import say
from vlt.cli.progress import Progress
from vlt.workspace.progress import report_progress, tracked

progress = Progress(0.0)
with tracked(Path(sys.argv[1]), "x", "sample", "gen"):
    for done in (10, 20):
        report_progress(done, 40, "samples", 0.5)
        progress(f"{done}/40 samples [bold]" + " and more words" * done)
        time.sleep(0.3)
        say("a word of advice")
        print("a result")
progress.done()
say("the end")
"""


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_a_table_fits_the_terminal_and_no_cell_is_cut(columns: int) -> None:
    shown = without_colours(on_terminal(columns, "-c", TABLE))
    lines = shown.splitlines()
    assert max(map(len, lines)) <= columns
    assert "…" not in shown
    assert "1,234" in shown
    assert shown.count("sentence") == 5
    if columns > 40:
        assert "a[bold]b" in shown
    # The last column stands where it does in every row, wide letters or not.
    assert "0.25" in lines[-1]


def test_a_table_elsewhere_is_plain_text_of_whole_rows() -> None:
    done = subprocess.run([sys.executable, "-c", TABLE], capture_output=True, text=True, check=True)
    title, first, second = done.stdout.splitlines()
    assert title.split() == ["name", "rows", "says", "x"]
    assert first.count("sentence") == 5
    assert first.endswith("-")
    assert second.endswith("0.25")
    assert "\x1b" not in done.stdout


ARMS = """
import sys
from vlt.cli.output import print_table
names = ["tokens per answer", "GRPO steps", "sampled tokens", "training FLOPs", "time", "spread"]
print_table([{"arm": f"length-filtered-{n}", **dict.fromkeys(names[:-1], "1,234,567"), "spread": None,
              "solves alone": None if n else 7} for n in range(2)])
"""


def test_a_table_wraps_between_words_titles_first_and_has_no_empty_column() -> None:
    shown = without_colours(on_terminal(100, "-c", ARMS))
    assert "spread" not in shown, "no row has one"
    first = next(line for line in shown.splitlines() if line.startswith("length-filtered-0"))
    assert first.split() == ["length-filtered-0", *["1,234,567"] * 5, "7"]
    assert "tokens per answer" not in shown and "FLOPs" in shown


def test_a_table_too_wide_for_its_terminal_is_a_block_a_row() -> None:
    shown = without_colours(on_terminal(40, "-c", ARMS))
    lines = [line.rstrip() for line in shown.splitlines()]
    assert lines[0] == "length-filtered-0" and "length-filtered-1" in lines
    assert lines.count("  tokens per answer  1,234,567") == 2
    assert lines.count("  solves alone       7") == 1, "what a row lacks is left out"


def test_ls_has_a_line_for_every_version_also_with_long_names(workspace: Path) -> None:
    name = "eval-sft.length-filtered.s2-answers"
    dataset(Store(workspace), name, "item", [item()])
    _, line = without_colours(on_terminal(80, "-m", "vlt", "ls", "-w", workspace)).splitlines()
    ref, kind, rows, *when = line.split()
    assert (ref, kind, rows) == (f"{name}@v1", "item", "1")
    assert re.fullmatch(r"[A-Z][a-z]{2} \d\d \d\d:\d\d", " ".join(when))
    assert _when("2019-02-03T04:05:06+00:00") == "Feb 03  2019"


def test_log_names_many_arms_once_each(workspace: Path) -> None:
    labels = [f"mine, {arm}, seed {n}" for arm in ("loop", "grpo-only") for n in (1, 2)]
    assert _arms([*labels, "yours, loop, seed 3"]) == (
        "mine: loop (seeds 1, 2), grpo-only (seeds 1, 2); yours: loop (seed 3)"
    )
    assert _arms(labels[:1]) == labels[0]
    made = dataset(Store(workspace), "sft", "item", [item()])
    script = f"""
from pathlib import Path
from vlt.cli.tree import print_tree
from vlt.workspace.lineage import ancestors
from vlt.workspace.store import Store
store = Store(Path({str(workspace)!r}))
print_tree(list(ancestors(store, store.open("sft"))), {{"{made.ref}": {labels}}})
"""
    shown = without_colours(on_terminal(60, "-c", script))
    assert max(map(len, shown.splitlines())) <= 60
    assert "   arms: mine: loop (seeds 1, 2), grpo-only (seeds 1, 2)" in shown


def test_ls_on_a_terminal_says_what_it_says_elsewhere(workspace: Path) -> None:
    dataset(Store(workspace), "items", "item", [item()])
    shown = without_colours(on_terminal(80, "-m", "vlt", "ls", "-w", workspace))
    assert shown.split() == vlt("ls", "-w", workspace).split()


@pytest.mark.parametrize("columns", [80, 160])
def test_progress_is_one_line_that_goes_away(columns: int, tmp_path: Path) -> None:
    written = on_terminal(columns, "-c", PROGRESS, tmp_path)
    shown = without_colours(written)
    assert "20/40 samples [bold] and more" in shown
    assert ("━" in shown) == (columns >= 100)  # a bar where there is room
    assert shown.endswith("the end\n")
    # What was said in between stands on lines of its own.
    assert shown.count("a word of advice\n") == shown.count("a result\n") == 2
    assert all(len(part) <= columns for part in re.split(r"[\r\n]", shown))
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")  # the cursor is there again


def test_the_time_left_where_a_line_has_none(tmp_path: Path) -> None:
    short = PROGRESS.replace('" and more words" * done', '""')
    assert "40 s left" in without_colours(on_terminal(80, "-c", short, tmp_path))


def test_results_go_to_a_file_and_progress_to_the_terminal(tmp_path: Path) -> None:
    written = on_terminal(120, "-c", PROGRESS, tmp_path, stdout_to_file=True)
    assert written.endswith("a result\na result\n")
    assert written.count("a result") == 2


def test_progress_elsewhere_is_plain_lines(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRESS, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "\x1b" not in done.stderr
    assert done.stderr.splitlines()[0].startswith("        10/40 samples [bold] and more words")
    script = (
        "import sys; import vlt.cli.progress as p; p.Progress(0)('x'); print('rich' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


WATCHED = """
import sys, time
from pathlib import Path
from vlt.cli.progress import watching
from vlt.workspace import progress
from vlt.workspace.progress import report_progress

progress.BASIS_SECONDS = 0.3
with watching("filter"):
    for done in range(1, 41):
        report_progress(done, 80)
        time.sleep(0.03)
print("a result")
"""
BAR = """
import sys, time
from pathlib import Path
import vlt
from vlt.workspace import progress
from vlt.workspace.progress import report_progress, tracked

progress.BASIS_SECONDS = 0.3
workspace = vlt.Workspace(sys.argv[1])
with tracked(workspace.root, "x", "sample", "filter"):
    for done in range(1, 21):
        report_progress(done, 40)
        time.sleep(0.03)
    if workspace.progress:
        workspace.progress("20/40 samples")
print("a result")
"""


def test_a_stage_that_says_no_lines_is_shown_how_far_it_is() -> None:
    shown = without_colours(on_terminal(120, "-c", WATCHED))
    assert re.search(r"filter: \d+/80 rows, [\d.]+/s, \d s left", shown)
    assert "━" in shown
    assert shown.endswith("a result\n")
    done = subprocess.run(
        [sys.executable, "-c", WATCHED], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("a result\n", "")


def test_in_python_a_bar_shows_stages_with_and_without_lines(tmp_path: Path) -> None:
    """tqdm chooses the notebook's bar by itself where it runs in one."""
    shown = without_colours(on_terminal(120, "-c", BAR, tmp_path))
    assert re.search(r"filter: \d+/40 rows, [\d.]+/s, \d s left", shown)
    assert re.search(r"50 % \S+ +20/40 samples", shown)
    assert shown.rstrip().endswith("a result")
    command = [sys.executable, "-c", BAR, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("a result\n", "")


@pytest.mark.parametrize("columns", [80, 160])
def test_a_lineage_fits_the_terminal_and_nothing_is_cut(columns: int, workspace: Path) -> None:
    store = Store(workspace)
    parent = dataset(store, "items", "item", [item()])
    digest = "0123456789abcdef" * 4
    chain = [{"filter": "verify", "grader": "vlt"}, {"filter": "select", "seed": None}]
    settings = {f"a_setting_{n}": n / 10 for n in range(12)}
    parameters = {"chain": chain, "model": {"digest": digest}, "settings": settings}
    with Writer(store, Stage("filter", parameters), "sft", "item", [parent]):
        pass
    shown = without_colours(on_terminal(columns, "-m", "vlt", "log", "sft", "-w", workspace))
    assert max(map(len, shown.splitlines())) <= columns
    assert "..." not in shown
    text = " ".join(shown.replace("│", " ").split())
    assert "chain: verify (grader vlt), select model: digest 0123456789ab settings:" in text
    assert "a_setting_10 1.0, a_setting_11 1.1 └─ items@v1" in text
    assert "{'filter': 'verify', 'grader': 'vlt'}" in vlt("log", "sft", "-w", workspace)
