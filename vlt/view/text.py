"""A model's text as safe HTML: Markdown without links, images or HTML; maths for KaTeX.

The whole text is escaped, and characters that hide or reorder text are spelt out.
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
from mdit_py_plugins.dollarmath.index import math_inline_dollar

PLAIN = 20_000
"""Characters above which text is shown as plain text, without Markdown."""
SHOWN = 200_000
"""Maximum characters shown on the page; the full text has a URL of its own."""
LINE = 2_000
"""Maximum characters shown of a value."""
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)
_dollars = math_inline_dollar(allow_space=False, allow_digits=True, allow_double=True)
_ENDS = {"\\(": "\\)", "\\[": "\\]", "$$": "$$", "$": "$"}


def spelt_out(text: str) -> str:
    """The text with control, bidi and invisible characters written as ⟨U+202E⟩."""
    return _HIDDEN.sub(lambda m: f"⟨U+{ord(m[0]):04X}⟩", text.replace("\r\n", "\n"))


def line(text: object) -> Markup:
    """One short value, escaped; a long one is cut, with a note."""
    whole = "" if text is None else str(text)
    cut = f"… ({len(whole):,} characters)" if len(whole) > LINE else ""
    return escape(spelt_out(whole[:LINE]) + cut)


def answer(text: object) -> Markup:
    """Like `line`, with maths but without Markdown, which would remove the stars from 2*3*4."""
    whole = "" if text is None else str(text)
    return (
        line(whole) if len(whole) > LINE else Markup(_maths_alone().renderInline(spelt_out(whole)))
    )


def prose(text: str | None) -> Markup:
    """A text with its Markdown and, if the page runs KaTeX, its maths; long ones as plain text."""
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
    """(reasoning, answer): the text inside <think>, and the rest."""
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
    _with_maths(made)
    made.block.ruler.before(
        "fence", "maths_lines", _maths_lines, {"alt": ["paragraph", "list", "blockquote"]}
    )
    made.disable("escape")  # it would remove the backslashes from LaTeX without dollars
    made.core.ruler.push("unstyled", _without_styles)
    return made


@cache
def _maths_alone() -> MarkdownIt:
    made = MarkdownIt("zero")
    _with_maths(made)
    return made


def _with_maths(made: MarkdownIt) -> None:
    """Inline maths: dollars by the plugin's rule, brackets (which it does not support) by ours.

    Its rule for blocks is not used: it takes `$$a$$ and $$b$$` for one formula, cannot begin inside a
    paragraph, and is quadratic in a text with many open `$$`.
    """
    made.inline.ruler.before("escape", "maths_dollars", _maths_dollars)
    made.inline.ruler.before("escape", "maths_brackets", _maths_brackets)
    for name in ("math_inline", "math_inline_double"):
        made.add_render_rule(name, _render_maths)


def _without_styles(state: StateCore) -> None:
    """Align a table's columns by an attribute: the page's policy allows no inline styles."""
    for token in state.tokens:
        if style := token.attrs.pop("style", None):
            token.attrs["align"] = str(style).partition(":")[2]


def _maths_dollars(state: StateInline, silent: bool) -> bool:
    """`$x$` and `$$x$$`, but not the dollars of `$5-$10`."""
    first = state.pos
    if not _dollars(state, True):
        return False
    last, state.pos = state.pos, first
    if state.src[last : last + 1].isdigit() and not state.src.startswith("$$", first):
        return False
    return _dollars(state, silent)


def _maths_brackets(state: StateInline, silent: bool) -> bool:
    """`\\(...\\)` and `\\[...\\]`."""
    source, at = state.src, state.pos
    start = source[at : at + 2]
    if start not in ("\\(", "\\["):
        return False
    end = _ENDS[start]
    # If no end was found once, there is none further on: this keeps parsing linear.
    if at >= state.env.get(f"{id(source)} has no {end}", len(source) + 1):
        return False
    last = source.find(end, at + 2)
    if last < 0:
        state.env[f"{id(source)} has no {end}"] = at
        return False
    inner = source[at + 2 : last]
    if not inner.strip():
        return False
    if not silent:
        token = state.push("math_inline_double" if start == "\\[" else "math_inline", "math", 0)
        token.content, token.markup = inner, start
    state.pos = last + 2
    return True


def _maths_lines(state: StateBlock, first: int, end: int, silent: bool) -> bool:
    """Lines from one that begins with `\\[` or `$$` to one that ends with its counterpart.

    A line in between may begin with + or -, which would otherwise begin a list.
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
        token = state.push("math_inline_double", "math", 0)
        token.content, token.markup, token.block = inner, start, True
        token.map = [first, last + 1]
    state.line = last + 1
    return True


def _render_maths(self: Any, tokens: Any, index: int, *_: Any) -> str:  # noqa: ARG001
    token = tokens[index]
    kind = "" if token.type == "math_inline" else " display"
    written = f"{token.markup}{token.content}{_ENDS[token.markup]}"
    return f'<span class="maths{kind}" data-tex="{escape(token.content)}">{escape(written)}</span>'
