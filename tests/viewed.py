"""`vlt view` as a user starts it: a separate process on loopback, used over HTTP."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pyarrow as pa

from tests.cli import vlt_json
from tests.rows import dataset, item, sample
from tests.tiny import png
from vlt.images.store import ImageStore
from vlt.workspace.manifest import Stage
from vlt.workspace.schema import CAPTION, SAMPLE
from vlt.workspace.store import Store
from vlt.workspace.writer import Writer


@dataclass
class Answer:
    """What the server said."""

    status: int
    text: str
    headers: dict[str, str]


@dataclass
class Site:
    """A running `vlt view`."""

    port: int
    process: subprocess.Popen[str]
    workspace: Path
    said: list[str] = field(default_factory=list)
    """Lines that the process printed."""

    @property
    def pid(self) -> int:
        """Of the process."""
        return self.process.pid

    @property
    def address(self) -> str:
        """http://127.0.0.1:PORT"""
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, **headers: str) -> Answer:
        """One GET without following redirects; the path is sent as it is."""
        return self._ask("GET", path, None, headers)

    def post(self, path: str, fields: dict[str, Any], **headers: str) -> Answer:
        """One form sent."""
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._ask("POST", path, urlencode(fields), kind | headers)

    @property
    def token(self) -> str:
        """The secret in its pages."""
        (row,) = re.findall(r'href="(/d/[^"]*/row/[^"?]*)', self.get("/d/samples").text)[:1]
        found = re.search(r'name="token" value="([^"]+)"', self.get(row).text)
        assert found
        return found[1]

    def _ask(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, text, names)
        finally:
            connection.close()


@contextmanager
def serving(
    workspace: Path, *arguments: str, before_start: Callable[[], None] | None = None
) -> Iterator[Site]:
    """`vlt view` over the workspace on a free port; it is stopped, and must not have failed inside."""
    command = ["-m", "vlt.cli.main", "view", *arguments, "-w", str(workspace), "--no-open"]
    process = subprocess.Popen(
        [sys.executable, *command, "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
        preexec_fn=before_start,
    )
    assert process.stderr
    try:
        first = process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", first)
        assert found, first + process.stderr.read()
        site = Site(int(found[1]), process, workspace)
        # Read all along: a full pipe would stop the server.
        reader = threading.Thread(target=site.said.extend, args=(process.stderr,))
        reader.start()
        yield site
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            process.kill()
    reader.join(20)
    assert "Traceback" not in "".join(site.said), "".join(site.said)


def fill(workspace: Path) -> Store:
    """30 items with a picture each, captions, two samples an item, and sft, which keeps the right ones.

    Sample 0 is right and sample 1 wrong. The last item's question is about a zebra.
    """
    store = Store(workspace)
    with ImageStore(store.images_folder) as kept:
        pictures = [kept.add(png((8 * n, 90, 200 - 5 * n), (640, 400))) for n in range(30)]
    questions = [
        item(
            f"How many {'zebras' if n == 29 else 'dogs'} are in picture {n}? So $\\frac{{1}}{{2}}$?",
            str(n),
            source="farm" if n % 3 else "town",
            images=[pictures[n]],
            meta='{"difficulty": "hard"}',
        )
        for n in range(30)
    ]
    items = dataset(store, "items", "item", questions)
    captioned = [
        {**q, "caption": f"**{q['answer']}** animals on grass", "caption_model": "tiny-captioner"}
        for q in questions
    ]
    table = pa.Table.from_pylist(captioned, CAPTION)
    with Writer(store, Stage("captions", {"model": "c"}), "captions", "caption", [items]) as writer:
        writer.expect(table)
        writer.keep(table)
    rows = [
        sample(
            f"<think>Let me count the animals in {q['question']}\n\nThat is \\(x^2\\).</think>\n"
            f"So there are **{int(q['answer']) + n}**. <answer>{int(q['answer']) + n}</answer>",
            n,
            q,
            predicted=str(int(q["answer"]) + n),
            verdict="wrong" if n else "correct",
            verdict_reason="another number" if n else "equal",
            model="tiny-model",
        )
        for q in captioned
        for n in (0, 1)
    ]
    table = pa.Table.from_pylist(rows, SAMPLE)
    with Writer(
        store, Stage("gen", {"model": "tiny-model"}), "samples", "sample", [writer.dataset]
    ) as writer:
        writer.expect(table)
        writer.keep(table)
    right = pa.array([row["verdict"] == "correct" for row in rows])
    wrong = pa.array([row["verdict"] != "correct" for row in rows])
    parents = [writer.dataset]
    with Writer(
        store, Stage("filter", {"chain": ["verify"]}), "sft", "sample", parents, round=1
    ) as writer:
        writer.expect(table)
        writer.keep(table.filter(right))
        writer.drop(table.filter(wrong), "verify", ["wrong: another number"] * 30)
    return store


def cards(answer: Answer) -> list[str]:
    """The URLs of the rows that a grid shows."""
    assert answer.status == 200, answer.text
    return re.findall(r'class="card" href="([^"]+)"', answer.text)


def grid(site: Site, ref: str = "samples", **fields: Any) -> Answer:
    named = {name.replace("is_", "is."): value for name, value in fields.items()}
    return site.get(f"/d/{ref}?{urlencode(named)}")


def rows_of(answer: Answer) -> int:
    """The number of rows shown above a grid."""
    found = re.search(r"<p><b>([\d,]+)</b> row", answer.text)
    assert found, answer.text
    return int(found[1].replace(",", ""))


def zebra(site: Site) -> str:
    """The id of the item about zebras."""
    (row,) = vlt_json("show", "items", "-w", site.workspace, "--where", "question like '%zebra%'")
    return str(row["id"])


def sentence(answer: Answer) -> str:
    """The one sentence of a refusal."""
    assert "Traceback" not in answer.text
    found = re.search(r'class="problem">([^<]+)<', answer.text)
    assert found, answer.text
    return found[1]
