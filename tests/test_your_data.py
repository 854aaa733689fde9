"""docs/your-data.md: each example is run as written."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.pictures import png
from vlt.cli.main import app

PAGE = re.sub(
    r"<!-- not run: .*?-->\n```.*?```",
    "",
    (Path(__file__).parents[1] / "docs" / "your-data.md").read_text(),
    flags=re.S,
)
BLOCK = re.compile(r"```(\w+)(?: (\S+))?\n(.*?)```", re.S)
SECTIONS = {
    title: body
    for title, body in re.findall(r"^##+ ([^\n]+)\n(.*?)(?=^##+ |\Z)", PAGE, re.M | re.S)
    if "```bash" in body
}
COMMAND = re.compile(r"^(vlt .+?)\s+# (\d+ \w+)$", re.M)


@pytest.mark.parametrize("title", SECTIONS)
def test_section(title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("img").mkdir()
    for number in (1, 2, 3):
        Path(f"img/{number}.png").write_bytes(png(number))
    commands = 0
    for language, name, text in BLOCK.findall(SECTIONS[title]):
        if language == "python":
            exec(compile(text, f"{title} in your-data.md", "exec"), {})
        elif language != "bash":
            file = Path(name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        else:
            assert len(COMMAND.findall(text)) == len(text.strip().splitlines())
            for command, made in COMMAND.findall(text):
                commands += 1
                done = CliRunner().invoke(app, shlex.split(command)[1:])
                assert done.exit_code in (0, 3), done.output
                words = made.split()
                assert re.search(rf"@v\d+: {words[0]} {words[1].rstrip('s')}", done.output), (
                    done.output
                )
    assert commands


def test_messages_of_the_table_are_those_of_the_program() -> None:
    told = re.findall(r"^\| `([^|]+?)` \|", PAGE.split("## Messages")[1], re.M)
    assert len(told) > 8
    sources = "".join(
        file.read_text()
        for file in (Path(__file__).parents[1] / "datagen" / "sources").rglob("*.py")
    )
    plain = re.sub(r'"\s*\n\s*f?"', "", sources)
    for message in told:
        start = re.split(r"\.\.\.|\d|[`(<]|image> ", message.lstrip("<"))[0].split()[:4]
        assert " ".join(start) in plain, message
