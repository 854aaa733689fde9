"""A small Hugging Face Hub on loopback: as much of its HTTP API as the real clients use.

    with HubServer(folder) as hub:
        run(..., env=hub.environment(cache))

Repositories are lists of commits; LFS objects are files by sha256. `trouble` makes the next
requests fail, to see what a broken connection loses. As a process of its own it prints its address and
serves until its standard input ends:

    python -m tests.hub_server FOLDER
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_loopback"
REPO = r"(?P<repo>[\w.-]+/[\w.-]+)"


@dataclass
class File:
    """A file of a commit; `lfs` says that it is kept as a large one."""

    sha256: str
    size: int
    lfs: bool

    @property
    def oid(self) -> str:
        return hashlib.sha1(self.sha256.encode()).hexdigest()


@dataclass
class Repo:
    """A repository with its commits, the first of them empty."""

    kind: str
    name: str
    private: bool
    commits: list[tuple[str, dict[str, File]]] = field(default_factory=list)

    def commit(self, files: dict[str, File]) -> str:
        seed = f"{self.kind}{self.name}{len(self.commits)}{sorted(files)}"
        sha = hashlib.sha1(seed.encode()).hexdigest()
        self.commits.append((sha, files))
        return sha

    def at(self, revision: str) -> tuple[str, dict[str, File]] | None:
        if revision == "main":
            return self.commits[-1]
        return next((c for c in self.commits if c[0] == revision), None)


class HubServer:
    """The server, in a thread of this process."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.repos: dict[tuple[str, str], Repo] = {}
        self.requests: Counter[str] = Counter()
        self.uploads: list[str] = []
        """The sha256 of every large object that was really sent."""
        self.lock = threading.Lock()
        self._trouble: list[tuple[re.Pattern[str], int | str, int]] = []
        server = self

        class Handler(_Handler):
            hub = server

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.http.shutdown()
        self.http.server_close()

    def environment(self, cache: Path) -> dict[str, str]:
        """The environment with which a client's process uses this server as the Hub."""
        return client_environment(self.url, cache)

    def trouble(self, pattern: str, what: int | str, times: int = 1) -> None:
        """The next `times` requests whose "METHOD path" matches get a status, or "drop"."""
        with self.lock:
            self._trouble.append((re.compile(pattern), what, times))

    def next_trouble(self, line: str) -> int | str | None:
        with self.lock:
            for place, (pattern, what, times) in enumerate(self._trouble):
                if pattern.search(line):
                    left = [(pattern, what, times - 1)] if times > 1 else []
                    self._trouble[place : place + 1] = left
                    return what
        return None

    def blob(self, sha256: str) -> Path:
        return self.folder / sha256

    def keep(self, data: bytes, *, lfs: bool) -> File:
        """Store bytes as a blob."""
        sha256 = hashlib.sha256(data).hexdigest()
        self.blob(sha256).write_bytes(data)
        return File(sha256, len(data), lfs)

    def make(self, kind: str, name: str, files: dict[str, bytes]) -> str:
        """Create a repository beforehand; returns its commit."""
        repo = self.repos[kind, name] = Repo(kind, name, private=False)
        return repo.commit(
            {path: self.keep(data, lfs=is_large(path)) for path, data in files.items()}
        )

    def read(self, kind: str, name: str, path: str) -> bytes:
        """A file, as in the newest commit."""
        return self.blob(self.repos[kind, name].commits[-1][1][path].sha256).read_bytes()


def client_environment(url: str, cache: Path) -> dict[str, str]:
    """The environment with which a client's process uses the server at `url` as the Hub."""
    return {
        "HF_ENDPOINT": url,
        "HF_HUB_OFFLINE": "0",
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(cache),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "*",
    }


def is_large(path: str) -> bool:
    return path.endswith((".parquet", ".safetensors", ".png", ".jpg", ".arrow", ".zip"))


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        self.query = parse_qs(parts.query)
        path = unquote(parts.path)
        line = f"{self.command} {path}"
        trouble = self.hub.next_trouble(line)
        length = int(self.headers.get("Content-Length") or 0)
        if trouble == "drop":
            self.rfile.read(min(length, 1000))
            self.close_connection = True
            return
        self.body = b""
        if self.command == "PUT" and not trouble and "Content-Length" in self.headers:
            self.length = length  # an object is written as it comes, and never held
        elif "chunked" in self.headers.get("Transfer-Encoding", ""):
            self.body = self._chunks()
        else:
            self.body = self.rfile.read(length)
        if trouble:
            self._send(int(trouble), {"error": "trouble"})
            return
        for method, pattern, serve in _ROUTES:
            matched = re.fullmatch(pattern, path)
            if self.command in method and matched:
                with self.hub.lock:
                    self.hub.requests[serve.__name__] += 1
                serve(self, **matched.groupdict())
                return
        self._send(404, {"error": f"no route for {line}"})

    def _chunks(self) -> bytes:
        out = b""
        while size := int(self.rfile.readline().strip() or b"0", 16):
            out += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return out

    def _send(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _repo(self, kind: str, name: str) -> Repo | None:
        repo = self.hub.repos.get((kind, name))
        allowed = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if repo is None or (repo.private and not allowed):
            self._send(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
            return None
        return repo

    def _at(self, kind: str, name: str, revision: str) -> tuple[str, dict[str, File]] | None:
        repo = self._repo(kind, name)
        found = repo.at(revision) if repo else None
        if repo and found is None:
            self._send(404, {"error": "Invalid rev"}, {"X-Error-Code": "RevisionNotFound"})
        return found

    def whoami(self) -> None:
        self._send(200, {"name": "user", "type": "user", "orgs": []})

    def validate_yaml(self) -> None:
        self._send(200, {"errors": [], "warnings": []})

    def create(self) -> None:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._send(401, {"error": "Invalid username or password."})
            return
        asked = json.loads(self.body)
        name = f"{asked.get('organization') or 'user'}/{asked['name']}"
        kind = asked.get("type", "model")
        url = f"{self.hub.url}/{'datasets/' if kind == 'dataset' else ''}{name}"
        if (kind, name) in self.hub.repos:
            self._send(409, {"error": "You already created this repo", "url": url})
            return
        repo = Repo(kind, name, bool(asked.get("private")) or asked.get("visibility") == "private")
        repo.commit({})
        self.hub.repos[kind, name] = repo
        self._send(200, {"url": url, "name": name, "id": name})

    def info(self, kind: str, repo: str, revision: str = "main") -> None:
        if found := self._at(kind, repo, revision):
            sha, files = found
            siblings = [{"rfilename": path} for path in files]
            private = self.hub.repos[kind, repo].private
            answer = {"id": repo, "sha": sha, "private": private, "siblings": siblings, "tags": []}
            self._send(200, {**answer, "downloads": 0, "likes": 0, "gated": False})

    def refs(self, kind: str, repo: str) -> None:
        if found := self._at(kind, repo, "main"):
            branch = {"name": "main", "ref": "refs/heads/main", "targetCommit": found[0]}
            self._send(200, {"branches": [branch], "converts": [], "tags": []})

    def tree(self, kind: str, repo: str, revision: str, path: str | None = None) -> None:
        found = self._at(kind, repo, revision)
        if not found:
            return
        _, files = found
        path = (path or "").strip("/")
        inside = {p: f for p, f in files.items() if not path or p.startswith(f"{path}/")}
        if path and not inside:
            self._send(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
            return
        rest = {p: p[len(path) :].strip("/") for p in inside}
        deep = self.query.get("recursive", ["false"])[0].lower() in ("true", "1")
        entries = [_entry(p, f) for p, f in inside.items() if deep or "/" not in rest[p]]
        depth = max((r.count("/") for r in rest.values()), default=0) if deep else 1
        folders = {
            "/".join(filter(None, [path, *r.split("/")[: level + 1]]))
            for r in rest.values()
            for level in range(min(depth, r.count("/")))
        }
        self._send(200, [_folder(f) for f in sorted(folders)] + entries)

    def paths_info(self, kind: str, repo: str, revision: str) -> None:
        found = self._at(kind, repo, revision)
        if not found:
            return
        _, files = found
        if "json" in (self.headers.get("Content-Type") or ""):
            asked = json.loads(self.body)["paths"]
        else:
            asked = parse_qs(self.body.decode()).get("paths", [])
        asked = [asked] if isinstance(asked, str) else asked
        answer = []
        for path in asked:
            if path in files:
                answer.append(_entry(path, files[path]))
            elif any(p.startswith(f"{path}/") for p in files):
                answer.append(_folder(path))
        self._send(200, answer)

    def preupload(self, kind: str, repo: str, revision: str) -> None:
        if found := self._at(kind, repo, revision):
            files = [
                {
                    "path": f["path"],
                    "uploadMode": "lfs"
                    if is_large(f["path"]) or f["size"] > 10 << 20
                    else "regular",
                    "shouldIgnore": False,
                    "oid": found[1][f["path"]].oid if f["path"] in found[1] else None,
                }
                for f in json.loads(self.body)["files"]
            ]
            self._send(200, {"files": files})

    def batch(self, repo: str, prefix: str = "") -> None:
        if not self._repo("dataset" if prefix else "model", repo):
            return
        objects = []
        for asked in json.loads(self.body)["objects"]:
            answer: dict[str, Any] = {"oid": asked["oid"], "size": asked["size"]}
            if not self.hub.blob(asked["oid"]).exists():
                href = f"{self.hub.url}/lfs/{asked['oid']}"
                verify = f"{self.hub.url}/lfs-verify"
                answer["actions"] = {"upload": {"href": href}, "verify": {"href": verify}}
            objects.append(answer)
        self._send(200, {"transfer": "basic", "objects": objects})

    def upload(self, oid: str) -> None:
        part = self.hub.folder / f"{oid}.{threading.get_ident()}.part"
        digest, left = hashlib.sha256(), self.length
        with open(part, "wb") as out:
            while left and (piece := self.rfile.read(min(left, 1 << 20))):
                digest.update(piece)
                out.write(piece)
                left -= len(piece)
        if digest.hexdigest() != oid:
            part.unlink()
            self._send(400, {"error": "checksum mismatch"})
            return
        with self.hub.lock:
            self.hub.uploads.append(oid)
        part.replace(self.hub.blob(oid))
        self._send(200, b"")

    def verify(self) -> None:
        there = self.hub.blob(json.loads(self.body)["oid"]).exists()
        self._send(200 if there else 404, {})

    def commit(self, kind: str, repo: str, revision: str) -> None:
        found = self._at(kind, repo, revision)
        if not found:
            return
        files = dict(found[1])
        for line in filter(None, self.body.splitlines()):
            step = json.loads(line)
            value = step["value"]
            if step["key"] == "file":
                data = base64.b64decode(value["content"])
                files[value["path"]] = self.hub.keep(data, lfs=False)
            elif step["key"] == "lfsFile":
                if not self.hub.blob(value["oid"]).exists():
                    self._send(400, {"error": f"LFS object {value['oid']} was never uploaded"})
                    return
                size = self.hub.blob(value["oid"]).stat().st_size
                files[value["path"]] = File(value["oid"], size, lfs=True)
            elif step["key"] == "deletedFile":
                del files[value["path"]]
        sha = self.hub.repos[kind, repo].commit(files)
        prefix = "datasets/" if kind == "dataset" else ""
        url = f"{self.hub.url}/{prefix}{repo}/commit/{sha}"
        self._send(200, {"commitUrl": url, "commitOid": sha, "success": True})

    def resolve(self, repo: str, revision: str, path: str, prefix: str = "") -> None:
        found = self._at("dataset" if prefix else "model", repo, revision)
        if not found:
            return
        sha, files = found
        if path not in files:
            self._send(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
            return
        blob, size = self.hub.blob(files[path].sha256), files[path].size
        headers = {
            "X-Repo-Commit": sha,
            "ETag": f'"{files[path].sha256 if files[path].lfs else files[path].oid}"',
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
        }
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if asked and self.command == "GET":
            start, end = int(asked[1]), min(int(asked[2] or size - 1), size - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{size}"
            self._send_file(206, blob, start, end + 1, headers)
        else:
            self._send_file(200, blob, 0, size, headers)

    def _send_file(
        self, status: int, blob: Path, start: int, end: int, headers: dict[str, str]
    ) -> None:
        """A part of a blob, in pieces."""
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        if self.command == "HEAD":
            return
        with open(blob, "rb") as opened:
            opened.seek(start)
            while start < end and (piece := opened.read(min(1 << 20, end - start))):
                self.wfile.write(piece)
                start += len(piece)


def _entry(path: str, file: File) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "oid": file.oid, "size": file.size, "path": path}
    if file.lfs:
        entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": 134}
    return entry


def _folder(path: str) -> dict[str, Any]:
    return {
        "type": "directory",
        "oid": hashlib.sha1(path.encode()).hexdigest(),
        "size": 0,
        "path": path,
    }


KIND = r"/api/(?P<kind>dataset|model)s/"
AT = r"(?P<revision>[^/]+)"
_ROUTES: list[tuple[tuple[str, ...], str, Callable[..., None]]] = [
    (("GET",), r"/api/whoami-v2", _Handler.whoami),
    (("POST",), r"/api/validate-yaml", _Handler.validate_yaml),
    (("POST",), r"/api/repos/create", _Handler.create),
    (("GET",), KIND + REPO, _Handler.info),
    (("GET",), KIND + REPO + "/revision/" + AT, _Handler.info),
    (("GET",), KIND + REPO + "/refs", _Handler.refs),
    (("GET",), KIND + REPO + "/tree/" + AT + r"(?P<path>/.*)?", _Handler.tree),
    (("POST",), KIND + REPO + "/paths-info/" + AT, _Handler.paths_info),
    (("POST",), KIND + REPO + "/preupload/" + AT, _Handler.preupload),
    (("POST",), KIND + REPO + "/commit/" + AT, _Handler.commit),
    (
        ("POST",),
        r"/(?P<prefix>datasets/)?" + REPO + r"\.git/info/lfs/objects/batch",
        _Handler.batch,
    ),
    (("PUT",), r"/lfs/(?P<oid>[0-9a-f]{64})", _Handler.upload),
    (("POST",), r"/lfs-verify", _Handler.verify),
    (
        ("GET", "HEAD"),
        r"/(?P<prefix>datasets/)?" + REPO + "/resolve/" + AT + r"/(?P<path>.+)",
        _Handler.resolve,
    ),
]


def main() -> None:
    """Serve from the folder that is named until the standard input ends."""
    with HubServer(Path(sys.argv[1])) as hub:
        print(hub.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
