"""A model's text as HTML that shows it: Markdown without links, images or HTML; maths for KaTeX.

Whatever the text holds, all of it is escaped, and characters that hide or turn text are spelt out.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markupsafe import Markup, escape

PLAIN = 20_000
"""Characters above which text is shown as it stands, without Markdown."""
SHOWN = 200_000
"""Characters that are shown in the page; the whole text has an address of its own."""
LINE = 2_000
"""Characters of a value that are shown."""
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)
_ENDS = {"\\(": "\\)", "\\[": "\\]", "$$": "$$", "$": "$"}


def spelt_out(text: str) -> str:
    """The text with control, bidi and invisible characters written as ⟨U+202E⟩."""
    return _HIDDEN.sub(lambda m: f"⟨U+{ord(m[0]):04X}⟩", text.replace("\r\n", "\n"))


def line(text: object) -> Markup:
    """One short value, escaped; a long one is cut, and says so."""
    whole = "" if text is None else str(text)
    cut = f"… ({len(whole):,} characters)" if len(whole) > LINE else ""
    return escape(spelt_out(whole[:LINE]) + cut)


def answer(text: object) -> Markup:
    """As `line`, with maths: Markdown would take the stars out of 2*3*4."""
    whole = "" if text is None else str(text)
    return (
        line(whole) if len(whole) > LINE else Markup(_maths_alone().renderInline(spelt_out(whole)))
    )


def prose(text: str | None) -> Markup:
    """A text with its Markdown and, where the page runs KaTeX, its maths; long ones as they stand."""
    if text is None:
        return Markup('<p class="none">none</p>')
    if len(text) > PLAIN:
        shown = escape(spelt_out(text[:SHOWN]))
        cut = len(text) > SHOWN
        more = (
            f'<p class="note">The first {SHOWN:,} of {len(text):,} characters.</p>' if cut else ""
        )
        return Markup('<pre class="long">') + shown + Markup("</pre>" + more)
    return Markup(_markdown().render(spelt_out(text)))


def parts(response: str | None) -> tuple[str | None, str]:
    """(what the model thought, what it said): the text inside <think>, and the rest."""
    text = response or ""
    before, opened, rest = text.partition("<think>")
    if not opened:
        before, rest = "", text
        if "</think>" not in text:
            return None, text
    thought, _, said = rest.rpartition("</think>") if "</think>" in rest else (rest, "", "")
    return thought.strip(), f"{before.strip()}\n\n{said.strip()}".strip()


@cache
def _markdown() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False, "maxNesting": 12})
    made.enable("table").disable(["link", "image", "autolink", "reference", "html_inline"])
    made.disable(["html_block", "entity"])
    made.inline.ruler.before("escape", "maths", _maths)
    made.block.ruler.before(
        "fence", "maths", _maths_block, {"alt": ["paragraph", "list", "blockquote"]}
    )
    made.disable("escape")  # it would take the backslashes out of LaTeX that no dollars surround
    made.core.ruler.push("unstyled", _without_styles)
    made.add_render_rule("maths", _render_maths)
    return made


@cache
def _maths_alone() -> MarkdownIt:
    made = MarkdownIt("zero")
    made.inline.ruler.before("escape", "maths", _maths)
    made.add_render_rule("maths", _render_maths)
    return made


def _without_styles(state: StateCore) -> None:
    """A table's columns keep their side, by an attribute: the page allows no style in its HTML."""
    for token in state.tokens:
        if style := token.attrs.pop("style", None):
            token.attrs["align"] = str(style).partition(":")[2]


def _maths(state: StateInline, silent: bool) -> bool:
    source, at = state.src, state.pos
    start = next((s for s in ("\\(", "\\[", "$$", "$") if source.startswith(s, at)), None)
    if start is None:
        return False
    end = _ENDS[start]
    first = at + len(start)
    # Once an end was not found, it is not there further on either: no text is read over and over.
    if at >= state.env.get(f"{id(source)} has no {end}", len(source) + 1):
        return False
    last = source.find(end, first)
    if last < 0:
        state.env[f"{id(source)} has no {end}"] = at
        return False
    inner = source[first:last]
    if not inner.strip() or (start == "$" and not _is_dollar_maths(source, inner, last)):
        return False
    if not silent:
        token = state.push("maths", "span", 0)
        token.content, token.markup = source[at : last + len(end)], start
        token.meta = {"tex": inner}
    state.pos = last + len(end)
    return True


def _maths_block(state: StateBlock, first: int, end: int, silent: bool) -> bool:
    """Lines from one that begins with `\\[` or `$$` to one that ends with its counterpart.

    A line in between may begin with + or -, which would else begin a list.
    """

    def line(number: int) -> str:
        return state.src[
            state.bMarks[number] + state.tShift[number] : state.eMarks[number]
        ].rstrip()

    start = next((s for s in ("\\[", "$$") if line(first).startswith(s)), None)
    if start is None or first >= state.env.get(f"no line ends with {start}", end):
        return False
    for last in range(first, end):
        if line(last).endswith(_ENDS[start]) and (last > first or len(line(first)) > 3):
            break
    else:
        state.env[f"no line ends with {start}"] = first
        return False
    written = "\n".join(map(line, range(first, last + 1)))
    inner = written[len(start) : -len(start)]
    if not inner.strip() or _ENDS[start] in inner:
        return False
    if not silent:
        token = state.push("maths", "span", 0)
        token.content, token.markup, token.block = written, start, True
        token.meta, token.map = {"tex": inner}, [first, last + 1]
    state.line = last + 1
    return True


def _is_dollar_maths(source: str, inner: str, last: int) -> bool:
    """`$x$`, and not the dollars of `$5 and $10`."""
    if inner[0].isspace() or inner[-1].isspace() or "\n\n" in inner:
        return False
    return not source[last + 1 : last + 2].isdigit()


def _render_maths(self: Any, tokens: Any, index: int, *_: Any) -> str:  # noqa: ARG001
    token = tokens[index]
    kind = " display" if token.markup in ("\\[", "$$") else ""
    return f'<span class="maths{kind}" data-tex="{escape(token.meta["tex"])}">{escape(token.content)}</span>'
