"""Packages: whether they are installed, and how their versions compare with those vlt is tested with."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.resources import files
from typing import TYPE_CHECKING

from vlt.doctor.finding import Finding, broken, ok, warning
from vlt.plural import plural

if TYPE_CHECKING:
    from packaging.requirements import Requirement

DISTRIBUTION = "vlt-loop"
SHOWN = ("torch", "transformers", "trl", "datasets")
"""Named in the line that reports no differences."""
Installed = Callable[[str], str | None]


def tested() -> dict[str, str]:
    """Package -> the version that vlt is tested with (constraints.txt, which is part of the package)."""
    lines = (files("vlt") / "constraints.txt").read_text("utf-8").split()
    pairs = (line.partition("==") for line in lines)
    return {_plain(name): number for name, _, number in pairs}


def needed() -> list[Requirement]:
    """What vlt itself needs, by its metadata; empty if it is not installed."""
    from packaging.requirements import Requirement

    try:
        listed = [Requirement(text) for text in requires(DISTRIBUTION) or []]
    except PackageNotFoundError:
        return []
    return [each for each in listed if each.marker is None or each.marker.evaluate({"extra": ""})]


def installed(name: str) -> str | None:
    """The installed version, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def packages(there: Installed = installed) -> Iterator[Finding]:
    """What is missing, what is outside the supported range, and what differs from the tested versions."""
    known, wanted = tested(), needed()
    names = [_plain(each.name) for each in wanted] or [*SHOWN, "accelerate", "pyarrow", "duckdb"]
    found = {name: number for name in names if (number := there(name)) is not None}
    for each in wanted:
        name = _plain(each.name)
        if name not in found:
            if name != "torchvision":  # which `torchvision` below checks in detail
                yield broken("package", f"{name} is not installed", f"`pip install '{each}'`")
        elif not each.specifier.contains(found[name].partition("+")[0], prereleases=True):
            says = f"{name} {found[name]} is not a version that vlt supports ({each.specifier})"
            yield broken("package", says, f"`pip install '{each}'`")
    differing = [
        name
        for name, number in found.items()
        if name in known and number.partition("+")[0] != known[name]
    ]
    if differing:
        says = (
            f"{len(differing)} of {plural(len(found), 'package')} differ from the tested versions: "
        )
        says += ", ".join(f"{name} {found[name]} (tested: {known[name]})" for name in differing)
        pinned = " ".join(f"{name}=={known[name]}" for name in differing)
        yield warning("versions", says, f"if something fails, `pip install {pinned}`")
    elif found:
        some = ", ".join(f"{name} {found[name]}" for name in SHOWN if name in found)
        yield ok("versions", f"{plural(len(found), 'package')}, all as tested ({some})")


def torchvision(there: Installed = installed) -> Iterator[Finding]:
    """It must be installed and match torch; checked by metadata alone, since its import takes seconds."""
    from packaging.requirements import Requirement

    found, torch = there("torchvision"), there("torch")
    if found is None:
        says = "not installed; Qwen2.5-VL's processor and most others need it"
        yield broken("torchvision", says, "`pip install torchvision`, from the index of your torch")
        return
    try:
        listed = [Requirement(text) for text in requires("torchvision") or []]
    except PackageNotFoundError:
        listed = []
    wants = next((each.specifier for each in listed if each.name == "torch"), None)
    if torch and wants and not wants.contains(torch.partition("+")[0], prereleases=True):
        says = f"{found} is for torch {wants}, but torch {torch} is installed"
        yield broken("torchvision", says, "install a matching pair from one index")
    else:
        yield ok("torchvision", f"{found}, for torch {torch}")


def extra(package: str, what: str, extra_of: str = "") -> Iterator[Finding]:
    """A package that some part of a recipe needs."""
    if importlib.util.find_spec(package) is None:
        install = f"vlt-loop[{extra_of}]" if extra_of else package
        yield broken("package", f"{what} needs {package}", f"`pip install '{install}'`")


def _plain(name: str) -> str:
    """The normalized name: typing_extensions and typing-extensions are the same."""
    return name.lower().replace("_", "-")
