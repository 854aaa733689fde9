"""A release's metadata: extras, pins, and the same version everywhere."""

from __future__ import annotations

import ast
import os
import re
import sys
import tomllib
from datetime import date
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import vlt

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
NEEDED = [(extra, Requirement(text)) for extra, texts in EXTRAS.items() for text in texts]
INSTALLED = {"dev"} | {e for text in EXTRAS["dev"] for e in Requirement(text).extras}
"""What `make install` brings, and CI tests with."""
PINS = {
    canonicalize_name(line.partition("==")[0]): line.partition("==")[2].strip()
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    if "==" in line
}


def installed(name: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None


@pytest.mark.parametrize(("extra", "needs"), NEEDED, ids=lambda value: str(value))
def test_what_an_extra_needs(extra: str, needs: Requirement) -> None:
    """It names what there is: an extra of vlt's or of a package that is a dependency, or a package that
    is pinned and, where it is installed, can be imported."""
    if needs.name == PROJECT["name"]:
        assert needs.extras <= set(EXTRAS)
        return
    found = installed(needs.name)
    if needs.extras:
        assert found, f"{needs.name} is a dependency"
        offered = {canonicalize_name(e) for e in found.metadata.get_all("Provides-Extra") or []}
        assert {canonicalize_name(e) for e in needs.extras} <= offered
        return
    if extra == "vllm":  # an environment of its own: see tests/real_vllm
        return
    if pin := PINS.get(canonicalize_name(needs.name)):
        assert needs.specifier.contains(pin), f"{needs} and {pin} in constraints.txt"
    else:
        assert extra not in INSTALLED, f"{needs.name} of [{extra}] has no pin in constraints.txt"
    if found is None:
        in_ci = os.environ.get("CI") and extra in INSTALLED
        assert not in_ci, f"{needs.name} is not installed; CI installs [dev]"
        return
    tops = [top for top, of in metadata.packages_distributions().items() if found.name in of]
    names = [top for top in tops if top.isidentifier() and not top.startswith("_")]
    # Stubs have no module, and a plug-in of a type checker none of its own name.
    assert any(map(find_spec, names)) or re.search("stubs|^types-", needs.name.lower()), names


def test_every_dependency_is_pinned_in_its_range() -> None:
    for text in PROJECT["dependencies"]:
        needs = Requirement(text)
        pin = PINS.get(canonicalize_name(needs.name))
        assert pin, f"{needs.name} has no version in constraints.txt"
        assert needs.specifier.contains(pin), f"{needs} and {pin}"


def test_what_is_imported_is_a_dependency() -> None:
    """Or one of an extra: what another package happens to bring may go with its next release."""
    named = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    named |= {canonicalize_name(needs.name) for _, needs in NEEDED}
    offered = metadata.packages_distributions()
    unnamed = {
        (module, str(file.relative_to(ROOT)))
        for folder in ("vlt", "datagen", "filters", "train", "recipes")
        for file in sorted((ROOT / folder).rglob("*.py"))
        for module in imported(file)
        if not {canonicalize_name(d) for d in offered.get(module, [module])} & named
    }
    assert not unnamed


def imported(file: Path) -> set[str]:
    """Packages of others that a file imports; pydantic_core is pydantic's, which pins its version."""
    tree = ast.walk(ast.parse(file.read_text("utf-8")))
    modules = {
        name
        for node in tree
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module]
        )
        if name and not getattr(node, "level", 0)
    }
    packages = {module.partition(".")[0] for module in modules}
    return packages - set(sys.stdlib_module_names) - {"vlt", "pydantic_core"}


def test_the_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert citation["version"] == vlt.__version__
    released = re.search(r"^## (\S+) \((\d{4}-\d\d-\d\d)\)$", changes, re.M)
    assert released, "no release in the changelog"
    assert released[1] == vlt.__version__
    assert citation["date-released"] == date.fromisoformat(released[2])
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["license"] == PROJECT["license"]
