"""vlt show, log and others that print model text: image previews, and no control sequences."""

from __future__ import annotations

import base64
import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.cli import run_vlt, vlt, vlt_json
from tests.rows import dataset, item, sample
from vlt.cli.preview import COLUMNS, ROWS, draw, preview_of
from vlt.images.store import ImageStore
from vlt.workspace.manifest import Stage
from vlt.workspace.store import Store
from vlt.workspace.writer import Writer

HOSTILE = "\x1b]0;owned\x07\x1b[2J \u009b31m \u202eevil\u2066 \x08\x7f \r gone\ttab\nnext"
DRIVES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def picture(width: int, height: int, colour: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def filled(workspace: Path) -> Path:
    """A sample whose every text is hostile, with an image that is there and one that is not."""
    store = Store(workspace)
    with ImageStore(store.images_folder) as images:
        sha256 = images.add(picture(80, 40))
    of = item(HOSTILE, HOSTILE, source=HOSTILE, images=[sha256, "0" * 64], choices=[HOSTILE])
    rows = [sample(HOSTILE, 0, of, predicted=HOSTILE, verdict="wrong", verdict_reason=HOSTILE)]
    dataset(store, "samples", "sample", rows)
    dataset(store, "again", "sample", [{**rows[0], "verdict": "correct"}])
    return workspace


@pytest.mark.parametrize(
    "command", ["show samples", "stats samples", "log samples", "diff samples again", "ls"]
)
@pytest.mark.parametrize("as_json", [False, True])
def test_model_text_does_not_drive_the_terminal(filled: Path, command: str, as_json: bool) -> None:
    said = vlt(*command.split(), *(["--json"] if as_json else []), "-w", filled)
    assert not DRIVES.findall(said)


def test_json_still_holds_the_text(filled: Path) -> None:
    (row,) = vlt_json("show", "samples", "-w", filled)
    assert row["response"] == HOSTILE
    assert row["choices"] == [HOSTILE]


def test_sizes_where_there_is_no_terminal(filled: Path) -> None:
    said = vlt("show", "samples", "-w", filled, COLORTERM="truecolor")
    assert re.search(r"images  [0-9a-f]{12}  80 x 40 PNG, \d+ bytes", said)
    assert "000000000000  not in this workspace" in said
    assert "▀" not in said


def test_previews_in_a_terminal_and_not_when_unwanted(filled: Path) -> None:
    assert "▀" in in_terminal("show", "samples", "-w", filled, COLORTERM="truecolor")
    plain = in_terminal("show", "samples", "-w", filled, "--no-images", COLORTERM="truecolor")
    assert "▀" not in plain
    assert "\x1b_Ga=T,f=100" in in_terminal("show", "samples", "-w", filled, TERM="xterm-kitty")
    assert "▀" in vlt("show", "samples", "-w", filled, "--images")


def in_terminal(*arguments: object, **environment: str) -> str:
    """What vlt writes to a terminal of its own."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "vlt.cli.main", *map(str, arguments)]
    base = {k: v for k, v in os.environ.items() if k not in ("TMUX", "COLORTERM", "TERM_PROGRAM")}
    child = subprocess.Popen(command, stdout=theirs, env={**base, "TERM": "xterm", **environment})
    os.close(theirs)
    said = b""
    try:
        while part := os.read(ours, 65536):
            said += part
    except OSError:  # how Linux tells that the other end is closed
        pass
    os.close(ours)
    assert child.wait(timeout=60) == 0
    return said.decode()


def test_texts_are_folded_in_a_terminal_and_whole_elsewhere(workspace: Path) -> None:
    long = "one two three " * 20 + "\n\n" + "x" * 1_000_000
    dataset(Store(workspace), "samples", "sample", [sample(long, 0, predicted="7")])
    said = in_terminal("show", "samples", "-w", workspace, COLUMNS="80").splitlines()
    assert max(map(len, said)) <= 80
    response = next(i for i, line in enumerate(said) if line.startswith(f"{'response':>17}  one"))
    assert said[response + 1].startswith(" " * 19 + "two") or said[response + 1][19:22] == "one"
    assert "... (1,000,282 characters; --json shows all of them)" in "\n".join(said)
    assert len(said) < 100
    assert "x" * 1_000_000 in vlt("show", "samples", "-w", workspace)


def test_the_log_fits_the_terminal(workspace: Path) -> None:
    store = Store(workspace)
    with Writer(store, Stage("gen", {"prompt": "word " * 100, "seed": None}), "x", "item"):
        pass
    said = vlt("log", "x", "-w", workspace, COLUMNS="80").splitlines()
    assert [len(line) <= 80 for line in said] == [True, True]
    assert said[1].endswith("...")


@pytest.mark.parametrize(
    ("environment", "how"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-ghostty", "TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "iterm"),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, "blocks"),
        ({"TERM": "tmux-256color", "TMUX": "x", "KITTY_WINDOW_ID": "1"}, None),
        ({"TERM": "screen", "COLORTERM": "truecolor", "TERM_PROGRAM": "iTerm.app"}, "blocks"),
        ({"TERM": "dumb", "COLORTERM": "truecolor"}, None),
        ({"TERM": "xterm"}, None),
        ({}, None),
    ],
)
def test_what_a_terminal_can(environment: dict[str, str], how: str | None) -> None:
    assert preview_of(environment, terminal=True, wanted=None) == how
    assert preview_of(environment, terminal=True, wanted=False) is None
    assert preview_of(environment, terminal=True, wanted=True) == (how or "blocks")
    assert preview_of(environment, terminal=False, wanted=None) is None


@pytest.mark.parametrize(
    ("width", "height"), [(1, 1), (84, 56), (4000, 20), (20, 4000), (640, 480)]
)
def test_a_preview_is_the_picture_in_few_cells(width: int, height: int) -> None:
    data = picture(width, height, "#0a0b0c")
    blocks = draw(data, "blocks").splitlines()
    assert 1 <= len(blocks) <= ROWS
    assert {line.count("▀") for line in blocks} <= set(range(1, COLUMNS + 1))
    assert set(re.findall(r"8;2;(\d+;\d+;\d+)", "".join(blocks))) == {"10;11;12"}
    chunks = re.findall("\x1b_G([^;]*);([^\x1b]*)\x1b", draw(data, "kitty"))
    assert [c[0][-1] for c in chunks] == ["1"] * (len(chunks) - 1) + ["0"]
    seen = Image.open(io.BytesIO(base64.b64decode("".join(c[1] for c in chunks))))
    assert seen.convert("RGB").getpixel((0, 0)) == (10, 11, 12)
    cells = dict(pair.split("=") for pair in chunks[0][0].split(","))
    assert int(cells["c"]) <= COLUMNS
    assert int(cells["r"]) <= ROWS
    inline = draw(data, "iterm")
    assert inline.startswith("\x1b]1337;File=inline=1;size=")
    size, body = re.fullmatch("\x1b.*size=(\\d+);.*:(.*)\x07\n", inline).groups()  # type: ignore[union-attr]
    assert len(base64.b64decode(body)) == int(size)


def test_the_log_is_a_tree(workspace: Path) -> None:
    from vlt.cli.tree import _branches

    #  0 ─┬─ 1 ─── 2
    #     └─ 3
    drawn = [_branches([0, 1, 2, 1], place)[0] for place in range(4)]
    assert drawn == ["", "├─ ", "│  └─ ", "└─ "]
    assert json.loads(vlt("ls", "--json", "-w", workspace)) == []


def test_where_the_rows_of_an_empty_version_are(workspace: Path) -> None:
    store = Store(workspace)
    rows = [sample("no", 0, item("How many?"), verdict="wrong")]
    dataset(store, "samples", "sample", rows)
    vlt("filter", "samples", "--where", "verdict = 'correct'", "--as", "none", "-w", workspace)
    said = run_vlt("show", "none", "-w", workspace)
    assert said.stderr.strip() == "none@v1: no rows; --dropped shows the 1 that were not kept"
    assert "verdict  wrong" in vlt("show", "none", "--dropped", "-w", workspace)
    assert run_vlt("show", "samples", "--dropped", "-w", workspace).stderr.endswith(
        "no dropped rows\n"
    )
