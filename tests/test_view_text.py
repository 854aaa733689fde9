"""How vlt view renders a model's text as HTML: Markdown and maths, and nothing else."""

from __future__ import annotations

import re
from html import unescape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlt.view.text import LINE, answer, line, parts, prose


def tex(text: str) -> list[str]:
    """What KaTeX is given."""
    return [unescape(found) for found in re.findall(r'data-tex="([^"]*)"', str(prose(text)))]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (r"so \(x^2\) and $\frac{1}{2}$.", ["x^2", r"\frac{1}{2}"]),
        ("It costs $5 and $10 today, $5-$10 in all.", []),
        (r"an area of 2$\pi$, or $\text{a \$ b}$", [r"\pi", r"\text{a \$ b}"]),
        (r"\[ a = b \]", [" a = b "]),
        ("So\n\\[\na\n+ b\n- c\n\\]\nand on", ["\na\n+ b\n- c\n"]),
        ("$$\na\n\n= b\n$$", ["\na\n\n= b\n"]),
        ("- one\n  \\[\n  + b\n  \\]\n- two", ["\n+ b\n"]),
        (r"$$a$$ and $$b$$", ["a", "b"]),
        ("\\[ never closed\n\n+ b", []),
        ("`$x$` and\n\n    $$\n    y\n    $$", []),
        ("$$$$ \\(\\) $ $", []),
    ],
)
def test_maths_is_found(text: str, found: list[str]) -> None:
    assert tex(text) == found


def test_what_is_no_maths_keeps_its_backslashes() -> None:
    assert r"\{1, 2\} \( \alpha \\" in unescape(str(prose(r"\{1, 2\} \( \alpha \\")))


def test_markdown_without_links_and_html() -> None:
    html = str(prose("# So\n\n**b** [x](http://a) ![x](y) <i>\n\n|a|b|\n|-|-|\n|1|2|"))
    assert "<h1>So</h1>" in html and "<strong>b</strong>" in html and "<td>2</td>" in html
    assert '<td align="right">1</td>' in str(prose("|a|\n|-:|\n|1|"))
    assert "[x](http://a) ![x](y) &lt;i&gt;" in html


def test_what_hides_is_spelt_out_and_long_values_are_cut() -> None:
    assert line("a\u202eb\x00") == "a⟨U+202E⟩b⟨U+0000⟩"
    assert line("<" * (LINE + 1)).endswith(f"&lt;… ({LINE + 1:,} characters)")
    assert str(line(None)) == ""


def test_an_answer_has_maths_and_no_markdown() -> None:
    assert str(answer("2*3*4 <b> 1. [x](y) $5")) == "2*3*4 &lt;b&gt; 1. [x](y) $5"
    assert 'data-tex="\\sqrt 3"' in str(answer(r"$\sqrt 3$"))
    assert str(answer(None)) == "" and "characters)" in str(answer("$x$" * LINE))


@pytest.mark.parametrize(
    ("response", "thought", "said"),
    [
        ("<think> a </think> b", "a", "b"),
        ("x <think>a</think> b", "a", "x\n\nb"),
        ("a</think>b", "a", "b"),  # the prompt held <think>
        ("<think>never closed", "never closed", ""),
        ("<think>a</think>b</think>c", "a</think>b", "c"),
        ("plain", None, "plain"),
        (None, None, ""),
    ],
)
def test_thought_and_said(response: str | None, thought: str | None, said: str) -> None:
    assert parts(response) == (thought, said)


PIECES = [
    "<script>",
    "&lt;",
    '"',
    "'",
    "\\[",
    "\\]",
    "$$",
    "$",
    "\\(",
    "\\)",
    "\n",
    "\n\n",
    "- ",
    "`",
]
PIECES += [
    "> ",
    "    ",
    "x",
    "**",
    "[a](javascript:b)",
    "<http://a>",
    "\u202e",
    "|",
    "![",
    "#",
    "+ ",
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_any_text_makes_only_our_elements(text: str) -> None:
    """The only tags are Markdown's and the span for maths, with our own attributes."""
    ours = (
        r"</?(p|h\d|ul|ol|li|blockquote|pre|code|em|strong|hr|br|table|thead|tbody|tr|th|td)( /)?>"
        r'|<code class="language-[^"<>]*">'  # a fence's word
    )
    maths = r'<span class="maths( display)?" data-tex="[^"<>]*">|</span>'
    for made in (prose(text), answer(text)):
        rest = re.sub(rf"{ours}|{maths}", "", str(made))
        assert "<" not in rest and ">" not in rest
