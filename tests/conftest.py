"""Small real workspaces for the tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Nothing in a test may reach for the Hub or a proxy, and small models gain nothing from threads.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["NO_PROXY"] = "*"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a developer's own keys and workspace out of the tests."""
    for name in ("VLT_WORKSPACE", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A started Chromium; without one the tests are skipped, but never in CI."""
    from tests.watched import browsing

    with browsing() as started:
        yield started


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A running `vlt view` over a filled workspace (tests.viewed.Site)."""
    from tests.viewed import fill, serving

    workspace = tmp_path_factory.mktemp("view") / "workspace"
    fill(workspace)
    with serving(workspace) as running:
        yield running


@pytest.fixture(scope="module")
def stub_server() -> Iterator[Any]:
    """A running server that replies as it is told (tests.stub.Stub)."""
    from tests.stub import Stub

    with Stub() as started:
        yield started


@pytest.fixture
def stub(stub_server: Any) -> Any:
    """That server with its default settings, and no requests yet."""
    from tests.stub_server import SETTINGS

    stub_server.reset()
    stub_server.configure(**SETTINGS)
    return stub_server


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """The folder of a workspace that does not exist yet."""
    return tmp_path / "workspace"
