"""Normalization: LaTeX wrappers, Markdown and Unicode become one plain notation.

`clean` keeps meaning and case; of LaTeX only the structure remains (`\\frac`, `\\sqrt`, `\\begin`,
`^{}`, functions). `fold` then produces the form in which texts are compared. Both are linear.

In a cleaned string ¤ is a dollar sign that means money, ⦃ ⦄ are the braces of a set, ° is the
degree sign, * a product, and π ∞ ± ≤ ≥ ≠ ≈ ∪ ∈ stand for their commands.
"""

from __future__ import annotations

import re
import unicodedata

from vlt.grade.cjk import measured
from vlt.grade.symbols import (
    CHARACTERS,
    DOWN,
    SILENT,
    SPACING,
    SUB_RUN,
    SUPER_RUN,
    SYMBOLS,
    UP,
    VULGAR,
    WRAPPERS,
)

_COMMAND = re.compile(r"\\([A-Za-z]+)\*?([ ]*)|\\(.)|([{}])", re.S)
_OVER = re.compile(r"\{([^{}]{1,80})\\over(?![A-Za-z])([^{}]{1,80})\}")
_CHOOSE = re.compile(r"\{([^{}]{1,40})\\choose(?![A-Za-z])([^{}]{1,40})\}")
_SUBSCRIPTS = re.compile(r"_\{ ?\\(min|max)[ ]?\}")
_OVERLINE = re.compile(r"\\overline\s*\{([A-Z]{1,3})\}")  # a segment; 0.\overline{3} stays
_SPACES = re.compile(r"\s+")
_PLAIN = re.compile(r"[A-Za-z0-9]+(?:\.[0-9]+)?")
_ARTICLE = re.compile(r"the\s+(?=\S)|an?\s+(?=[^\W\d_]{2})")
_TAG = re.compile(
    r"</?(?:b|i|em|strong|sub|sup|u|p|br|span|code|div|font)(?:\s[^<>]{0,80})?\s*/?>", re.I
)
_FENCE = re.compile(r"```[A-Za-z]*\s*\n(.*?)\n?\s*```", re.S)
_BOLD = re.compile(
    r"(?<![\w*)\]}])(\*\*|__|`|\*)(?=[^\s*`])([^*`]{1,200}?)(?<=[^\s*`])\1(?![\w*(])"
)
_TIES = re.compile(r"(?<=\w) ~ (?=[\\△∠\w])|(?<=[A-Z])~(?=[△∠A-Z])")
_BARS = re.compile(r"(?<=[A-Za-z]) ?\|\| ?(?=[A-Za-z])")
_RAISED = re.compile(r"(?<=[A-Za-zα-ωħ])(\^(?:\{[^{}]*\}|\w))(_(?:\{[^{}]*\}|\w))")  # v^2_0
_SLASHES = re.compile(r"(?<=[A-Z]) ?// ?(?=[A-Z])")
_ARROW = re.compile(r" ?-{1,3}> ?")
_OO = re.compile(r"(?<=[-+(,\[ ])oo(?=[), \]]|$)")
# thousands as LaTeX writes them: 32,\!349, 32{,}349, 32,\ 349
_TEX_COMMA = re.compile(
    r"(?<=\d) ?(?:\{, ?\}|,(?=\\[!,;: ])|\\text ?\{,\}) ?(?:\\[!,;: ] ?)*(?=\d{3}(?!\d))"
)
_LINKS = re.compile(r" ?([→↔∥⊥≅∼∩∪⊂⊆⊙]) ?")

MAX_LENGTH = 4000
"""Longer answers are compared only as texts."""


def clean(text: str) -> str:
    """The plain notation of an answer; at most slightly longer than the answer. Never raises."""
    text = text.strip()
    if _PLAIN.fullmatch(text) or len(text) > MAX_LENGTH:
        return text
    if not text.isascii():
        text = _unicode(text)
    text = _SPACES.sub(_one_space, text)
    if "<" in text and ">" in text:
        text = _TAG.sub("", text)
    text = _markdown(text)
    if "~" in text:
        text = _TIES.sub(" ∼ ", text)
    if "->" in text:
        text = _ARROW.sub(" → ", text)
    if "//" in text:
        text = _SLASHES.sub(" ∥ ", text)
    if "||" in text:
        text = _BARS.sub(" ∥ ", text)
    if "oo" in text:
        text = _OO.sub("∞", text)
    if "\\" in text or "{" in text:
        text = _TEX_COMMA.sub(",", text)
    if "$" in text:
        text = _dollars(text)
    if "\\" in text:
        text = _latex(text)
        if "$" in text:
            text = _dollars(text)
    if "{" in text:
        text = text.replace("{,}", ",").replace("{:}", ":").replace("{.}", ".").replace("{%}", "%")
        text = text.replace("{-}", "-").replace("{+}", "+")
        text = text.replace("^{°}", "°").replace("^{o}", "°").replace("{°}", "°")
    if "^" in text:
        text = text.replace("^{'}", "'").replace("^'", "'")
        if "_" in text:
            text = _RAISED.sub(r"\2\1", text)
        text = text.replace("^°", "°").replace("^o ", "° ").replace("^ °", "°")
        if text.endswith("^o"):
            text = text[:-2] + "°"
    if "°" in text:
        text = text.replace(" °", "°")
    if text[:1] == "{" and text[-1:] == "}" and "," not in text and text.count("{") == 1:
        text = text[1:-1]
    text = _SPACES.sub(_one_space, text).strip()
    return text[:-1].rstrip() if text[-1:] == "." and text[-3:] != "..." else text


def _one_space(match: re.Match[str]) -> str:
    """Collapse white space to single spaces, but keep line breaks (they may separate a list)."""
    return "\n" if "\n" in match.group() else " "


def _unicode(text: str) -> str:
    if not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    text = SUPER_RUN.sub(lambda m: "^{" + m.group().translate(UP) + "}", text)
    text = SUB_RUN.sub(lambda m: "_{" + m.group().translate(DOWN) + "}", text)
    text = VULGAR.sub(lambda m: " " + unicodedata.normalize("NFKC", m.group()), text)
    text = text.translate(CHARACTERS)
    text = unicodedata.normalize("NFKC", text).translate(CHARACTERS)
    if not text.isascii():
        text = measured("".join(_digit(c) if not c.isascii() and c.isdigit() else c for c in text))
    return text


def _digit(character: str) -> str:
    value = unicodedata.digit(character, None)
    return character if value is None else str(value)


def _markdown(text: str) -> str:
    """The text without enclosing bold, italics and code marks; `2**3` keeps its stars."""
    if "```" in text:
        text = _FENCE.sub(r"\1", text).replace("```", "").strip()
    if "*" in text or "`" in text or "__" in text:
        text = _BOLD.sub(r"\2", _BOLD.sub(r"\2", text)).strip("`")
    if text.startswith("**") or text.startswith("__"):
        text = text.replace(text[:2], "")
    elif "**" in text and text.endswith("**") and text.count("**") == 2:
        text = text.replace("**", "")
    text = text.strip()
    if text.count("**") == 1 and not re.search(r"[\w)](?: \*\* |\*\*)[\w(-]", text):
        text = text.replace("**", "")
    while len(text) > 2 and text[0] == text[-1] and text[0] in "*_":
        text = text[1:-1].strip()
    return text.lstrip("#").lstrip() if text.startswith("#") else text


def _dollars(text: str) -> str:
    """Remove math delimiters; dollar signs that mean money become ¤."""
    text = text.replace("\\$", "¤").replace("$$", " ")
    if "$" not in text:
        return text
    parts = text.split("$")
    out = [parts[0]]
    i = 1
    while i < len(parts):
        inner = parts[i]
        closes = i + 1 < len(parts)
        if closes and inner.strip() and _is_math(inner, parts[i + 1]):
            out += [inner, parts[i + 1]]
            i += 2
            continue
        money = (
            inner[:2].strip()[:1].isdigit()
            or inner[:1] in (".", "-")
            or out[-1].rstrip()[-1:].isdigit()
        )
        out += ["¤" if money else "", inner]
        i += 1
    return "".join(out)


def _is_math(inner: str, after: str) -> bool:
    """Whether two dollars enclose a formula; "$5 or $6" and "$2 + $3" are money."""
    if not (inner[0].isspace() or inner[-1].isspace()):
        return True
    return not after[:1].isdigit() and not inner.rstrip().endswith(
        ("to", "or", "and", "+", "-", "/")
    )


def _latex(text: str) -> str:
    if "\\\\" in text and "\\begin" not in text and "\\cr" not in text:
        # over-escaped: \\frac for \frac
        text = re.sub(r"\\\\(?=[A-Za-z({\[$%])", r"\\", text)
    if "\\over" in text:
        text = _OVERLINE.sub(r"\1", text)
        text = _OVER.sub(r"\\frac{\1}{\2}", text)
    if "\\choose" in text:
        text = _CHOOSE.sub(r"\\binom{\1}{\2}", text)
    text = _SUBSCRIPTS.sub(r"_{\1}", text)
    text = text.replace("\\(", " ").replace("\\)", " ")
    if "\\begin" not in text:
        text = text.replace("\\[", " ").replace("\\]", " ")
    out: list[str] = []
    braces: list[bool] = []  # for each open brace: does it stay?
    unwrap = False  # the next brace belongs to a wrapper
    pieces = _split(text)
    for piece, after in zip(pieces, [*pieces[1:], ""], strict=True):
        if piece[0] == "{":
            braces.append(not unwrap)
            out.append("" if unwrap else "{")
            unwrap = False
            continue
        if piece[0] == "}":
            keep = braces.pop() if braces else False
            out.append("}" if keep else "")
            continue
        if unwrap and piece.isspace():
            continue
        unwrap = False
        if piece[0] != "\\" or len(piece) == 1:
            out.append(piece)
            continue
        name = piece[1:].rstrip(" ")
        if name in WRAPPERS:
            unwrap = True
        elif name in SILENT:
            pass
        elif name in SPACING:
            out.append(" ")
        elif name in SYMBOLS:
            out.append(SYMBOLS[name])
            if name in ("circ", "degree", "frac") or (
                name == "pi" and not re.match(r"[A-Za-z]{3}", after)
            ):
                continue  # the space belongs to the command: in "2\\pi m" the m is not a unit
            if piece.endswith(" "):
                out.append(" ")
        elif name == "{":
            out.append("⦃")
        elif name == "}":
            out.append("⦄")
        elif name in (",", ";", ":", "", ">", "/", "~"):
            out.append(" " if name != "/" else "")
        elif name == "!":
            pass
        elif name == "%":
            out.append("%")
        elif name == "$":
            out.append("¤")
        elif name in ("&", "#", "_"):
            out.append(name)
        elif name == "|":
            out.append("‖")
        else:
            out.append(piece)
    text = "".join(out).replace("~", " ")
    return text.replace("(.", "(0.") if "(." in text else text


def _split(text: str) -> list[str]:
    """Commands, braces and the text between them."""
    pieces: list[str] = []
    at = 0
    for match in _COMMAND.finditer(text):
        if match.start() > at:
            pieces.append(text[at : match.start()])
        pieces.append(match.group())
        at = match.end()
    if at < len(text):
        pieces.append(text[at:])
    return pieces


def fold(text: str) -> str:
    """The form in which texts are compared: without case, outer quotes, article or final full stop."""
    text = text.casefold()
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).replace("△", "triangle ").replace("∠", "angle ")
    if not text.isalnum():
        lined = "\n" in text[:4]
        text = _SPACES.sub(" ", text).strip()
        if not text.isascii():
            text = _LINKS.sub(r"\1", text)
        while True:
            before = text
            if text[-2:] != "..":  # "12..." goes on
                text = text.rstrip(".,;: ") or text
            if text[-1:] == "!" and text[-2:-1].isalpha():
                text = text[:-1]
            if len(text) > 1 and text[0] in "\"'" and text[-1] == text[0]:
                text = text[1:-1].strip()
            if text == before:
                break
        article = _ARTICLE.match(text)
        if article and not lined:  # "A\nred" is a letter and a text
            text = text[article.end() :]
    return text
