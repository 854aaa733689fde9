"""An OpenAI-compatible server that answers at once, deterministically, and with faults on demand.

    python tests/stub_server.py --port 8123 --latency-ms 20 --p429 0.02

An answer is a function of the request's key and the choice's index; the key is the [[...]] marker
in the body, else a hash of the body. Faults are fractions of requests, drawn by hash of (key,
attempt), so a run can be repeated. `GET /stats` counts, `POST /config` changes settings (JSON),
`POST /reset` forgets the counts. It is a bare asyncio.Protocol, to cost less than what it measures.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import re
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.stub_batches import Batches

FAULTS = ("429", "500", "reset", "hang", "truncated", "empty", "abort")
SETTINGS: dict[str, Any] = {
    **{f"p{fault}": 0.0 for fault in FAULTS},
    "fail_first_only": False,  # a key fails at its first attempt only
    "latency_ms": 0.0,
    "retry_after": 0.05,
    "out_words": 60,
    "model": "stub",
    "api_key": None,  # any other key is refused with 401
    "only_model": False,  # any model but `model` is refused with 404
    "honours_n": True,
    "reasoning_content": False,  # set apart what stands in <think>
    "always": {},  # marker -> HTTP status that its requests always get
    "finish_reason": "stop",
    "batch_polls": 2,  # how often a batch is looked at until it has ended
    "batch_status": "completed",  # or failed, expired, cancelled
}
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.I)
_AUTH = re.compile(rb"\r\nauthorization:\s*bearer\s+(\S+)", re.I)
_N = re.compile(rb'"n":\s*(\d+)')
_MODEL = re.compile(rb'"model":\s*"([^"]*)"')
_SEED = re.compile(rb'"seed":\s*(\d+)')
_TEXT = (
    "the image shows a bar chart where each value is read from the axis so we compare first "
    "second third angle length area total sum difference therefore because given"
)
_WORDS = _TEXT.split()
_REASONS = {200: b"OK", 400: b"Bad Request", 429: b"Too Many Requests", 500: b"Server Error"}


class Server:
    """Settings and counts of one server."""

    def __init__(self, settings: dict[str, Any]):
        self.settings = {**SETTINGS, **settings}
        self.reset()
        self.batches = Batches(self)

    def reset(self) -> None:
        """Forget what was asked."""
        self.attempts = Counter[str]()
        self.answered = Counter[str]()
        self.outcomes = Counter[str]()
        self.choices = self.in_flight = self.most_in_flight = 0
        self.first = self.last = None

    def stats(self) -> dict[str, Any]:
        """What was asked so far."""
        return {
            "requests": self.attempts.total(),
            "keys": len(self.attempts),
            "answered": self.answered.total(),
            "answered_again": self.answered.total() - len(self.answered),
            "outcomes": self.outcomes,
            "choices": self.choices,
            "most_in_flight": self.most_in_flight,
            "first": self.first,
            "last": self.last,
        }

    def outcome(self, key: str, attempt: int) -> str:
        """ok, or the fault that this attempt meets."""
        settings = self.settings
        if settings["fail_first_only"] and attempt:
            return "ok"
        digest = hashlib.blake2b(f"{key}@{attempt}".encode(), digest_size=6).digest()
        at = int.from_bytes(digest, "little") / 2**48
        for fault in FAULTS:
            if at < settings[f"p{fault}"]:
                return fault
            at -= settings[f"p{fault}"]
        return "ok"

    def complete(self, head: bytes, body: bytes) -> tuple[str, int, bytes]:
        """(outcome, HTTP status, body) of one chat completion."""
        settings = self.settings
        self.last = time.time()
        self.first = self.first or self.last
        if settings["api_key"]:
            given = _AUTH.search(head)
            if not given or given[1].decode() != settings["api_key"]:
                return "401", 401, _error("Incorrect API key provided", "invalid_api_key")
        model = found[1].decode() if (found := _MODEL.search(body)) else ""
        if settings["only_model"] and model != settings["model"]:
            return "404", 404, _error(f"The model `{model}` does not exist.", "model_not_found")
        start = body.find(b"[[")
        if start >= 0:
            key = body[start + 2 : body.find(b"]]", start)].decode()
        else:
            key = hashlib.blake2b(body, digest_size=8).hexdigest()
        attempt = self.attempts[key]
        self.attempts[key] += 1
        if status := settings["always"].get(key):
            return str(status), status, _error("this one never works", None)
        outcome = self.outcome(key, attempt)
        if outcome == "429":
            return outcome, 429, _error("slow down", "rate_limit")
        if outcome == "500":
            return outcome, 500, _error("injected", None)
        n = int(found[1]) if (found := _N.search(body)) else 1
        n = n if settings["honours_n"] else 1
        seed = int(found[1]) if (found := _SEED.search(body)) else 0
        choices = [] if outcome == "empty" else [self.choice(key, seed + i, i) for i in range(n)]
        if outcome == "abort":
            choices = [{**c, "finish_reason": "abort", "message": {"content": ""}} for c in choices]
        if outcome == "ok":
            self.answered[key] += 1
            self.choices += n
        words = settings["out_words"] * n
        usage = {"prompt_tokens": 300, "completion_tokens": words, "total_tokens": 300 + words}
        reply = {"id": key, "object": "chat.completion", "created": 1, "model": model}
        text = json.dumps({**reply, "choices": choices, "usage": usage}).encode()
        return outcome, 200, text[: len(text) // 2] if outcome == "truncated" else text

    def choice(self, key: str, seed: int, index: int) -> dict[str, Any]:
        """One choice; the same for the same key and seed."""
        reasoning, answer = text_of(key, seed, self.settings["out_words"])
        message = {"role": "assistant", "content": f"<think>{reasoning}</think> {answer}"}
        if self.settings["reasoning_content"]:
            message = {"role": "assistant", "content": answer, "reasoning_content": reasoning}
        finish = self.settings["finish_reason"]
        return {"index": index, "finish_reason": finish, "message": message}


def text_of(key: str, seed: int, words: int) -> tuple[str, str]:
    """(reasoning, answer) for a key and a seed."""
    digest = hashlib.blake2b(f"{key}#{seed}".encode(), digest_size=8).digest()
    state = start = int.from_bytes(digest, "little")
    chosen = []
    for _ in range(words):
        state = (state * 6364136223846793005 + 1442695040888963407) & (2**64 - 1)
        chosen.append(_WORDS[(state >> 33) % len(_WORDS)])
    return " ".join(chosen), f"<answer>{'ABCD'[start & 3]}</answer>"


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive; one request at a time, as clients of this kind send them."""

    def __init__(self, server: Server):
        self.server = server
        self.buffer = bytearray()
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        self.transport = None

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self.buffer[: end + 2])
        length = int(found[1]) if (found := _LENGTH.search(head)) else 0
        if len(self.buffer) < end + 4 + length:
            return
        body = bytes(self.buffer[end + 4 : end + 4 + length])
        self.buffer.clear()
        self.route(head, body)

    def route(self, head: bytes, body: bytes) -> None:
        server, path = self.server, head.split(b" ", 2)[1].decode()
        if path == "/v1/chat/completions":
            self.complete(head, body)
        elif path == "/v1/models":
            model = {"id": server.settings["model"], "object": "model"}
            self.send(200, json.dumps({"object": "list", "data": [model]}).encode())
        elif path == "/stats":
            self.send(200, json.dumps(server.stats()).encode())
        elif path == "/attempts":
            self.send(200, json.dumps(server.attempts).encode())
        elif path == "/config":
            server.settings.update(json.loads(body))
            self.send(200, b"{}")
        elif path == "/reset":
            server.reset()
            self.send(200, b"{}")
        elif path.startswith(("/v1/files", "/v1/batches")):
            self.send(*server.batches.handle(head, path.partition("?")[0], body))
        elif path == "/health":
            self.send(200, b"")
        else:
            self.send(404, b'{"detail":"Not Found"}')

    def complete(self, head: bytes, body: bytes) -> None:
        server = self.server
        outcome, status, reply = server.complete(head, body)
        server.outcomes[outcome] += 1
        if outcome == "hang":
            return
        if outcome == "reset":
            self.transport.abort()
            return
        if latency := server.settings["latency_ms"] / 1000:
            server.in_flight += 1
            server.most_in_flight = max(server.most_in_flight, server.in_flight)
            asyncio.get_running_loop().call_later(latency, self.later, status, reply)
        else:
            self.send(status, reply)

    def later(self, status: int, reply: bytes) -> None:
        self.server.in_flight -= 1
        self.send(status, reply)

    def send(self, status: int, body: bytes) -> None:
        if self.transport is None:
            return
        more = (
            b"Retry-After: %g\r\n" % self.server.settings["retry_after"] if status == 429 else b""
        )
        self.transport.write(
            b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s"
            % (status, _REASONS.get(status, b"Other"), len(body), more, body)
        )


def _error(message: str, code: str | None) -> bytes:
    return json.dumps({"error": {"message": message, "type": "stub", "code": code}}).encode()


async def serve(server: Server, port: int, host: str = "127.0.0.1") -> None:
    """Until SIGTERM or SIGINT; prints the port on the first line."""
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: Connection(server), host, port, backlog=4096)
    print(listener.sockets[0].getsockname()[1], flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
    listener.close()


def main() -> None:
    """Every number or text among SETTINGS is an option."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    for name, default in SETTINGS.items():
        kind = str if default is None else type(default)
        kind = json.loads if kind in (bool, dict) else kind
        parser.add_argument("--" + name.replace("_", "-"), type=kind, default=default)
    settings = vars(parser.parse_args())
    port = settings.pop("port")
    asyncio.run(serve(Server(settings), port))


if __name__ == "__main__":
    main()
