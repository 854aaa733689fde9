"""The Batch API of the stub server: files and batches in memory.

A batch's requests are answered when it is created; it says so after it was looked at
`batch_polls` times. With `batch_status` expired, the first half of its requests is answered.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.stub_server import Server

_BOUNDARY = re.compile(rb"boundary=\"?([^\s\";]+)", re.I)


class Batches:
    """Files and batches by their ids."""

    def __init__(self, server: Server):
        self.server = server
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}

    def handle(self, head: bytes, path: str, body: bytes) -> tuple[int, bytes]:
        """(HTTP status, body) of one request."""
        post, parts = head.startswith(b"POST"), path.split("/")[2:]
        if parts == ["files"] and post:
            return self._json({"id": self.add_file(_uploaded(head, body)), "object": "file"})
        if parts[0] == "files" and parts[-1] == "content":
            return 200, self.files[parts[1]]
        if parts == ["batches"] and post:
            return self._json(self.create(json.loads(body)))
        if parts == ["batches"]:
            listed = list(self.batches.values())
            return self._json({"object": "list", "data": listed, "has_more": False})
        if parts[0] == "batches" and len(parts) == 2:
            return self._json(self.look(parts[1]))
        return 404, b'{"error":{"message":"no such thing"}}'

    def add_file(self, content: bytes) -> str:
        """Keep a file; returns its id."""
        name = f"file-{len(self.files)}"
        self.files[name] = content
        return name

    def create(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Answer a file's requests."""
        lines = [json.loads(line) for line in self.files[asked["input_file_id"]].splitlines()]
        status = self.server.settings["batch_status"]
        answered = {"completed": len(lines), "expired": len(lines) // 2}.get(status, 0)
        good, bad = [], []
        for line in lines[:answered]:
            outcome, code, reply = self.server.complete(b"", json.dumps(line["body"]).encode())
            self.server.outcomes[outcome] += 1
            response = {"status_code": code, "body": json.loads(reply)}
            result = {"custom_id": line["custom_id"], "response": response, "error": None}
            (good if code == 200 else bad).append(json.dumps(result).encode())
        batch = {
            "id": f"batch-{len(self.batches)}",
            "object": "batch",
            "endpoint": asked["endpoint"],
            "completion_window": asked["completion_window"],
            "input_file_id": asked["input_file_id"],
            "metadata": asked["metadata"],
            "created_at": 1,
            "status": "in_progress",
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
            "looks": 0,
            "output": self.add_file(b"\n".join(good)),
            "errors_file": self.add_file(b"\n".join(bad)),
        }
        self.batches[batch["id"]] = batch
        return batch

    def look(self, name: str) -> dict[str, Any]:
        """The batch; it completes when it has been polled often enough."""
        batch, settings = self.batches[name], self.server.settings
        batch["looks"] += 1
        if batch["looks"] >= settings["batch_polls"]:
            batch["status"] = settings["batch_status"]
            if batch["status"] != "failed":
                batch["output_file_id"] = batch["output"]
                batch["error_file_id"] = batch["errors_file"]
            else:
                problem = {"code": "invalid", "message": "the file is not valid"}
                batch["errors"] = {"object": "list", "data": [problem]}
        return batch

    def _json(self, value: Any) -> tuple[int, bytes]:
        return 200, json.dumps(value).encode()


def _uploaded(head: bytes, body: bytes) -> bytes:
    """The file of a multipart form."""
    found = _BOUNDARY.search(head)
    assert found
    for part in body.split(b"--" + found[1]):
        about, _, content = part.partition(b"\r\n\r\n")
        if b"filename=" in about:
            return content.removesuffix(b"\r\n")
    raise AssertionError("no file in the form")
