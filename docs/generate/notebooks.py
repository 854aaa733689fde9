"""Notebooks as pages: a script in cells (`# %%`) is carried out, and a page shows code and output.

    python -m docs.generate.notebooks docs/notebooks/loop_from_python.py     # writes ....md beside it

The script runs in a process of its own, in an empty folder. What a cell prints, what its last line
gives (a table with pictures, a data frame, an image) and the figures that it draws stand below it. A
page whose script has not changed is left as it is; one that raises ends the build.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import hashlib
import io
import linecache
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def scripts(docs: Path) -> list[Path]:
    """The notebooks' sources."""
    return sorted((docs / "notebooks").glob("*.py"))


def carry_out(script: Path) -> Path:
    """The page of a script, made anew where the script is another than the one it was made from."""
    page = script.with_suffix(".md")
    digest = hashlib.sha256(script.read_bytes()).hexdigest()
    if page.is_file() and digest in page.read_text("utf-8").split("\n", 1)[0]:
        return page
    with tempfile.TemporaryDirectory(prefix="vlt-notebook-") as folder:
        command = [sys.executable, "-m", "docs.generate.notebooks", str(script.resolve())]
        paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        environment = {
            **os.environ,
            "PYTHONPATH": paths,
            "HF_HUB_OFFLINE": "1",
            "MPLBACKEND": "svg",
        }
        done = subprocess.run(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=False
        )
    if done.returncode:
        raise RuntimeError(f"{script.name} ended with exit code {done.returncode}; see above")
    note = f"<!-- made from {script.name} ({digest}) by docs/generate; do not edit -->\n\n"
    page.write_text(note + done.stdout, "utf-8")
    return page


def cells(text: str) -> list[tuple[str, str]]:
    """("markdown" or "code", source) of each cell."""
    found = []
    for part in re.split(r"^# %%", text, flags=re.M)[1:]:
        head, _, body = part.partition("\n")
        if "[markdown]" in head:
            found.append(("markdown", re.sub(r"^# ?", "", body, flags=re.M).strip()))
        elif body.strip():
            found.append(("code", body.strip("\n")))
    return found


def rendered(script: Path) -> str:
    """The page's text; runs the script."""
    space: dict[str, Any] = {"__name__": "__main__", "__file__": str(script)}
    out = []
    for kind, source in cells(script.read_text("utf-8")):
        if kind == "markdown":
            out.append(source)
            continue
        shown = re.sub(r"  # noqa.*$", "", source, flags=re.M)
        out.append(f"```python\n{shown}\n```")
        out += _output(source, space, f"<cell {len(out)} of {script.name}>")
    return "\n\n".join(out) + "\n"


def _output(source: str, space: dict[str, Any], name: str) -> list[str]:
    # As Jupyter does: a function's source can be looked up, by which vlt knows a filter.
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    tree = ast.parse(source)
    last = tree.body[-1]
    value = None
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        ends = isinstance(last, ast.Expr)
        body = ast.Module(tree.body[:-1] if ends else tree.body, [])
        exec(compile(body, name, "exec"), space)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), name, "eval"), space)
    said = [f"```text\n{printed.getvalue().rstrip()}\n```"] if printed.getvalue().strip() else []
    figures = _figures()
    if figures:  # the last line of a cell that draws gives the axes
        return said + figures
    return said + ([_shown(value)] if value is not None else [])


def _shown(value: Any) -> str:
    if hasattr(value, "_repr_html_"):
        return _html(re.sub(r"\n\s*\n", "\n", value._repr_html_()))
    if hasattr(value, "_repr_png_"):
        data = base64.b64encode(value._repr_png_()).decode()
        return _html(f'<img src="data:image/png;base64,{data}">')
    return f"```text\n{value!r}\n```"


def _html(html: str, kind: str = "") -> str:
    return f'```{{raw}} html\n<div class="notebook-output {kind}">{html}</div>\n```'


def _figures() -> list[str]:
    """The figures that pyplot holds, as SVG in the page."""
    plots = sys.modules.get("matplotlib.pyplot")
    found = []
    for number in plots.get_fignums() if plots else ():
        drawn = io.StringIO()
        plots.figure(number).savefig(drawn, format="svg", bbox_inches="tight")  # type: ignore[union-attr]
        plots.close(number)  # type: ignore[union-attr]
        svg = drawn.getvalue()
        svg = re.sub(r"\n\s*\n", "\n", svg[svg.index("<svg") :])
        found.append(_html(svg, "figure"))
    return found


def main() -> None:
    """Print the page of the script that is named."""
    script = Path(sys.argv[1])
    sys.argv = [str(script)]
    print(rendered(script))


if __name__ == "__main__":
    main()
