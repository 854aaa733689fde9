"""A Ray cluster: its nodes, version mismatches, and whether every node sees the workspace's disk."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlt.cluster.connection import connected
from vlt.doctor.finding import Finding, broken, ok, warning
from vlt.errors import UserError
from vlt.plural import plural

SECONDS = 60.0
"""How long to wait for a node: Ray may have to start a process there."""
SAME = (
    *("vlt", "ray", "torch", "transformers", "trl", "accelerate", "datasets", "pyarrow", "duckdb"),
    *("deepspeed", "peft", "vllm"),
)
"""Packages that need the same version on all nodes, or on none; besides Python."""
NEEDED = ("vlt", "torch", "transformers", "trl", "accelerate", "datasets", "pyarrow", "duckdb")
"""Of these, the required ones."""
NOT_THERE = "not installed"


@dataclass(frozen=True)
class Node:
    """A node of the cluster and what it reported."""

    name: str
    """Its address; with its id if several nodes share it."""
    cores: int = 0
    gpus: int = 0
    versions: Mapping[str, str | None] = field(default_factory=dict)
    """Of Python and of SAME; None: not installed."""
    reads: bool = False
    """Whether it sees a file that this process has just written in the workspace."""
    trouble: str = ""
    """Why it reported nothing."""


def cluster(workspace: Path) -> Iterator[Finding]:
    """The cluster that VLT_RAY names. A small file is written in the workspace, or in the nearest existing
    folder above it, and removed."""
    try:
        ray = connected()
    except UserError as error:
        says, _, do = str(error).partition("; ")
        yield broken("Ray", says, do)
        return
    folder = workspace.absolute()
    while not folder.is_dir():
        folder = folder.parent
    token = folder / f".vlt-doctor-{secrets.token_hex(8)}"
    trouble = ""
    try:
        token.write_text(token.name)
    except OSError as error:
        trouble = error.strerror or str(error)
    try:
        nodes = asked(ray, token)
    finally:
        token.unlink(missing_ok=True)
    yield from findings(nodes, folder, trouble)


def asked(ray: Any, token: Path, seconds: float = SECONDS) -> list[Node]:
    """Each node that is alive, with what a task on it reported."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    alive = [node for node in ray.nodes() if node["Alive"]]
    addresses = [node["NodeManagerAddress"] for node in alive]
    look = ray.remote(num_cpus=0, max_retries=0)(_look())
    tasks = {}
    for node in alive:
        here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        tasks[node["NodeID"]] = look.options(scheduling_strategy=here).remote(str(token), SAME)
    ray.wait(list(tasks.values()), num_returns=len(tasks), timeout=seconds)
    found = []
    for node in alive:
        address, known = node["NodeManagerAddress"], node["Resources"]
        name = f"{address} ({node['NodeID'][:6]})" if addresses.count(address) > 1 else address
        cores, gpus = int(known.get("CPU", 0)), int(known.get("GPU", 0))
        try:
            said = ray.get(tasks[node["NodeID"]], timeout=0)
        except ray.exceptions.GetTimeoutError:
            found.append(Node(name, cores, gpus, trouble=f"did not answer within {seconds:g} s"))
        except ray.exceptions.RayError as error:
            # Ray may know of a task's end before it marks the node.
            known_alive = any(n["Alive"] for n in ray.nodes() if n["NodeID"] == node["NodeID"])
            lost = isinstance(error, ray.exceptions.NodeDiedError) or not known_alive
            words = " ".join(str(error).split())[:200]
            trouble = "was lost during the check" if lost else f"cannot run tasks ({words})"
            found.append(Node(name, cores, gpus, trouble=trouble))
        else:
            found.append(Node(name, cores, gpus, said["versions"], said["reads"]))
    return found


def findings(nodes: Sequence[Node], folder: Path, unwritten: str = "") -> Iterator[Finding]:
    """The findings about these nodes; `unwritten`: why nothing could be written in `folder`."""
    cores, gpus = sum(n.cores for n in nodes), sum(n.gpus for n in nodes)
    size = f"{plural(len(nodes), 'node')}, {plural(cores, 'core')}, {plural(gpus, 'GPU')}"
    yield ok("Ray", size)
    for node in nodes:
        has = f"{node.name}: {plural(node.cores, 'core')}, {plural(node.gpus, 'GPU')}"
        if node.trouble:
            do = (
                "see `ray status`, or restart Ray on it (`ray stop; ray start --address=HOST:PORT`)"
            )
            yield broken("node", f"{node.name} {node.trouble}", do)
        else:
            yield ok("node", f"{has}, Python {node.versions['python']}")
    answered = [node for node in nodes if not node.trouble]
    if answered:
        yield from _versions(answered)
        yield from _disk(answered, folder, unwritten)


def _versions(nodes: Sequence[Node]) -> Iterator[Finding]:
    wrong = False
    for package in ("python", *SAME):
        by_version = defaultdict(list)
        for node in nodes:
            by_version[node.versions.get(package) or NOT_THERE].append(node.name)
        if len(by_version) > 1:
            wrong = True
            each = [f"{version} on {_names(names)}" for version, names in by_version.items()]
            do = "install the same version on every node (with constraints.txt, or one image)"
            yield broken("versions", f"{package} differs: {'; '.join(each)}", do)
        elif package in NEEDED and NOT_THERE in by_version:
            wrong = True
            yield broken(
                "versions", f"{package} is on no node", "`pip install 'vlt-loop[ray]'` on each"
            )
    if not wrong:
        there = [f"{p} {v}" for p in SAME[:5] if (v := nodes[0].versions.get(p))]
        yield ok("versions", f"the same on all nodes: {', '.join(there)}")


def _disk(nodes: Sequence[Node], folder: Path, unwritten: str) -> Iterator[Finding]:
    if unwritten:
        do = "name a writable workspace with -w, and check again"
        yield warning("shared disk", f"{str(folder)!r} cannot be written ({unwritten})", do)
        return
    blind = [node.name for node in nodes if not node.reads]
    if blind:
        do = (
            "put the workspace on a disk that all nodes mount at the same path (NFS, Lustre, GPFS), and "
            "name it with -w"
        )
        who = f"{_names(blind)} {'does' if len(blind) == 1 else 'do'}"
        yield broken("shared disk", f"{who} not see {str(folder)!r}", do)
    else:
        yield ok("shared disk", f"all nodes see {str(folder)!r}")


def _names(names: Sequence[str]) -> str:
    most = 4
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _look() -> Callable[[str, Sequence[str]], dict[str, Any]]:
    """The task: a nested function is pickled with its code, so it runs without vlt on the node."""

    def look(token: str, packages: Sequence[str]) -> dict[str, Any]:
        import importlib.metadata
        import importlib.util
        import pathlib
        import platform
        import time

        versions: dict[str, str | None] = {"python": platform.python_version()}
        for package in packages:
            try:
                versions[package] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                versions[package] = None
        if importlib.util.find_spec(
            "vlt"
        ):  # the distribution has another name, or is not installed
            import vlt

            versions["vlt"] = vlt.__version__
        file, end = pathlib.Path(token), time.monotonic() + 10
        while not (reads := file.is_file() and file.read_text() == file.name):
            if time.monotonic() > end:  # NFS has refreshed its cache by now
                break
            time.sleep(0.5)
        return {"versions": versions, "reads": reads}

    return look
