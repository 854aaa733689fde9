"""The characters and LaTeX commands that have a plain spelling; see `clean`."""

from __future__ import annotations

import re

SUPER = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿ"
SUB = "₀₁₂₃₄₅₆₇₈₉₊₋₍₎"
UP = str.maketrans(SUPER, "0123456789+-()n")
DOWN = str.maketrans(SUB, "0123456789+-()")
SUPER_RUN = re.compile(f"[{SUPER}]+")
SUB_RUN = re.compile(f"[{SUB}]+")
VULGAR = re.compile("[¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞]")

# Characters that NFKC would spoil or not unify, replaced first.
CHARACTERS = str.maketrans(
    {
        **dict.fromkeys("−–‐‑‒﹣－⁻", "-"),
        "—": "-",
        **dict.fromkeys("×⋅·∙•⨯✕∗", "*"),
        **dict.fromkeys("  \u2002\u2003\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "),
        **dict.fromkeys("\u200b\u200c\u200d\ufeff\u2060\u00ad\u200e\u200f", ""),
        **dict.fromkeys("º˚∘", "°"),
        **dict.fromkeys("“”„‟″＂", '"'),
        **dict.fromkeys("‘’‚‛′＇", "'"),
        "«": '"',
        "»": '"',
        "⁄": "/",
        "∕": "/",
        "÷": "/",
        "∶": ":",
        "＄": "¤",
        "﹩": "¤",
        "⩽": "≤",
        "⩾": "≥",
        "≦": "≤",
        "≧": "≥",
        "≃": "≈",
        "µ": "μ",
        "Ω": "Ω",
        "٫": ".",
        "٬": ",",
        "。": ".",
        "、": ",",
        "ø": "∅",
        "⟨": "(",
        "⟩": ")",
        "∛": "\\sqrt[3]",
        "∜": "\\sqrt[4]",
        "√": "\\sqrt",
        **dict.fromkeys("⟶⇒➔➜➡⟹", "→"),
        **dict.fromkeys("↔⇔", "↔"),
        **dict.fromkeys("∽～〜˜", "~"),
        "≌": "≅",
        "⟂": "⊥",
        "⌊": "floor(",
        "⌈": "ceil(",
        **dict.fromkeys("⌋⌉", ")"),
        **{chr(0x2460 + i): f"({i + 1})" for i in range(20)},
    }
)

SYMBOLS = {
    "pi": "π", "infty": "∞", "infin": "∞", "pm": "±", "mp": "∓", "times": "*", "cdot": "*",
    "ast": "*", "star": "*", "div": "/", "le": "≤", "leq": "≤", "leqslant": "≤", "leqq": "≤",
    "ge": "≥", "geq": "≥", "geqslant": "≥", "geqq": "≥", "ne": "≠", "neq": "≠", "lt": "<",
    "gt": ">", "approx": "≈", "simeq": "≈", "cup": "∪", "cap": "∩", "in": "∈", "circ": "°",
    "degree": "°", "degrees": "°", "emptyset": "∅", "varnothing": "∅", "angle": "∠",
    "measuredangle": "∠", "triangle": "△", "lbrace": "⦃", "rbrace": "⦄", "lvert": "|",
    "rvert": "|", "vert": "|", "mid": "|", "langle": "(", "rangle": ")", "colon": ":",
    "pounds": "£", "euro": "€", "minus": "-", "ldots": "…", "dots": "…", "cdots": "…",
    "Omega": "Ω", "mu": "μ", "lbrack": "[", "rbrack": "]", "lparen": "(", "rparen": ")",
    "land": " and ", "lor": " or ", "wedge": " and ", "vee": " or ", "tfrac": "\\frac",
    "dfrac": "\\frac", "cfrac": "\\frac", "percent": "%", "textdegree": "°", "celsius": "°C",
    "prime": "'", "to": "→", "rightarrow": "→", "longrightarrow": "→", "Rightarrow": "→",
    "implies": "→", "mapsto": "→", "leftrightarrow": "↔", "Leftrightarrow": "↔", "iff": "↔",
    "parallel": "∥", "perp": "⊥", "bot": "⊥", "cong": "≅", "sim": "∼", "subset": "⊂", "subseteq": "⊆",
    "lfloor": "floor(", "lceil": "ceil(", "rfloor": ")", "rceil": ")", "bmod": " mod ", "mod": " mod ",
    "therefore": "", "because": "", "hbar": "ħ",
    "odot": "⊙",
}  # fmt: skip
# Commands that only change the appearance. Those of the second kind take a braced argument, which
# is kept.
SILENT = frozenset(
    "left right big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr middle displaystyle "
    "textstyle scriptstyle limits nolimits it bf rm sf tt em normalsize large Large small".split()
)
SPACING = frozenset("quad qquad space thinspace medspace thickspace enspace hfill newline".split())
WRAPPERS = frozenset(
    "text textbf textit textrm textsf texttt textnormal mathrm mathbf mathit mathsf mathtt mathbb "
    "mathcal mathfrak boldsymbol bm operatorname mbox hbox emph underline uline boxed fbox ensuremath "
    "displaylines textsc unit".split()
)
