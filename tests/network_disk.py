"""A disk that hosts share, for real: GlusterFS on loopback, mounted once for each host.

Every mount is a client of its own: what one writes, another reads from the server, and locks are the
server's. It needs Debian's glusterfs-server and glusterfs-client, and root, which may mount.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

from tests.processes import wait_for
from vlt.engine.vllm_server import free_port

SERVER = """
volume disk
  type storage/posix
  option directory {folder}
end-volume
volume locks
  type features/locks
  subvolumes disk
end-volume
volume server
  type protocol/server
  option transport-type tcp
  option transport.socket.bind-address {address}
  option transport.socket.listen-port {port}
  option auth.addr.locks.allow *
  subvolumes locks
end-volume
"""
CLIENT = """
volume client
  type protocol/client
  option transport-type tcp
  option remote-host {address}
  option remote-port {port}
  option remote-subvolume locks
end-volume
"""
SECONDS = 30


def lacks() -> str:
    """Why there can be no network disk here; "" if there can."""
    if not all(map(shutil.which, ("glusterfsd", "glusterfs", "unshare"))):
        return "no GlusterFS here: make shared-disk"
    allowed = subprocess.run(["unshare", "-u", "-m", "true"], capture_output=True, check=False)
    if allowed.returncode or not os.access("/dev/fuse", os.W_OK):
        return "nothing may be mounted here"
    return ""


def volumes(folder: Path, address: str, port: int) -> tuple[Path, Path]:
    """What `glusterfsd -f` takes to serve `folder/disk` at this address, and `glusterfs -f` to mount it."""
    disk, server, client = folder / "disk", folder / "server.vol", folder / "client.vol"
    disk.mkdir(parents=True)
    server.write_text(SERVER.format(folder=disk, address=address, port=port))
    client.write_text(CLIENT.format(address=address, port=port))
    return server, client


class NetworkDisk(AbstractContextManager["NetworkDisk"]):
    """The disk of several hosts, each with a mount of its own and its own name."""

    def __init__(self, folder: Path, hosts: Sequence[str]):
        """`folder` is on a local disk."""
        self._folder, self._hosts = folder, list(hosts)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        server, self._client = volumes(self._folder, "127.0.0.1", free_port())
        try:
            self._start("server", "glusterfsd", "-N", "-f", server)
            for host in self._hosts:
                self.mount(host)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_ended: object) -> None:
        for host in self._hosts:
            self.lose(host)
        server = self._running.pop("server")
        server.kill()
        server.wait()

    def at(self, host: str) -> Path:
        """Where this host sees the disk."""
        return self._folder / host

    def on(self, host: str) -> list[str]:
        """What starts a command on this host: it has the host's name."""
        return ["unshare", "-u", "sh", "-c", f'hostname {host}; exec "$@"', "sh"]

    def mount(self, host: str) -> None:
        """Mount the disk on this host, and wait until it is there."""
        place = self.at(host)
        place.mkdir(exist_ok=True)
        self._start(host, "glusterfs", "-N", "-f", self._client, place)
        wait_for(lambda: os.path.ismount(place) and os.listdir(place) is not None, SECONDS)

    def lose(self, host: str) -> None:
        """The host is gone: its client is killed, and the server drops its locks."""
        if client := self._running.pop(host, None):
            client.kill()
            client.wait()
            # Mostly the mount has gone with its client, and there is nothing to unmount.
            subprocess.run(["umount", "-l", self.at(host)], check=False, capture_output=True)

    def _start(self, name: str, *command: object) -> None:
        words = [*map(str, command), "-l", str(self._folder / f"{name}.log")]
        self._running[name] = subprocess.Popen(words)
