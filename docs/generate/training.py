"""What a training runs with: what vlt sets, what it refuses, and the paper's values with where they stand."""

from __future__ import annotations

from docs.generate.markdown import NOTE, code, prose, table
from vlt.train.method import BUILT_IN, Method, find_method
from vlt.train.trl_fields import fields
from vlt.train.trl_settings import EXECUTION


def page() -> str:
    """A section for each method."""
    text = f"{NOTE}# Training settings\n\n"
    text += (
        "`settings` of a training are fields of TRL's config. What you do not set is TRL's default, but "
        "for what stands under *vlt sets*; `vlt train METHOD --explain` prints all of it for a run.\n\n"
        "In every method vlt sets, for how a run is carried out: "
        + ", ".join(code(f"{name}={value}") for name, value in EXECUTION.items())
        + ".\n"
    )
    for name in BUILT_IN:
        text += _method(find_method(name))
    return text


def _method(method: Method) -> str:
    text = f"\n## {method.name}\n\n{prose(method.about)} Settings: TRL's {code(method.config[2])}. "
    text += f"Trained on {' or '.join(method.takes)}s, which {code(method.made_by)} makes.\n"
    if method.always:
        text += (
            "\nvlt sets: " + ", ".join(code(f"{n}={v}") for n, v in method.always.items()) + ".\n"
        )
    if method.without_images:
        rows = [(code(n), prose(why)) for n, why in method.without_images.items()]
        text += "\nRefused with images:\n\n" + table(("setting", "because it"), rows)
    if method.paper:
        known = fields(method.config)
        rows = []
        for setting, (value, source) in method.paper.items():
            default = code(known[setting].default) if setting in known else ""
            rows.append((code(setting), code(_plain(value)), default, prose(source)))
        text += "\nPublished values:\n\n" + table(("setting", "published", "TRL", "where"), rows)
    return text


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
