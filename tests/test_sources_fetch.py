"""Images by URL: what is fetched, and what a row's author must not make us request."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.imported import make_items
from tests.pictures import png
from vlt.datagen.sources.fetch import fetch_image
from vlt.datagen.sources.record import BadRow
from vlt.images.store import ImageStore
from vlt.workspace.store import Store


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    failures = 0

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.split("?")[0].strip("/")
        if path == "again":
            type(self).failures += 1
            path = "busy" if type(self).failures < 3 else "1.png"
        if path.startswith("to/"):
            self._answer(302, b"", {"Location": path[3:] if "://" in path else f"/{path[3:]}"})
        elif path == "round":
            self._answer(302, b"", {"Location": "/round"})
        elif path == "busy":
            self._answer(503, b"")
        elif path == "big":
            self.send_response(200)
            self.end_headers()
            for _ in range(40):
                self.wfile.write(b"\0" * (1 << 20))
        elif path == "slow":
            self.send_response(200)
            self.end_headers()
            for _ in range(100):
                self.wfile.write(b"\0")
                time.sleep(0.1)
        elif path == "short":
            self.send_response(200)
            self.send_header("Content-Length", "5000")
            self.end_headers()
            self.wfile.write(png(1)[:100])
            self.close_connection = True
        elif path.endswith(".png"):
            self._answer(200, png(int(path[:-4])))
        else:
            self._answer(404, b"<html>no</html>")

    def _answer(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:
            return  # the client had enough, as it should


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_images_are_fetched(url: str) -> None:
    assert fetch_image(f"{url}/3.png?size=big", private=True) == png(3)
    assert fetch_image(f"{url}/to/to/4.png", private=True) == png(4)
    assert fetch_image(f"{url}/again", private=True) == png(1)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/nothing", "image URL answers 404"),
        ("/round", "image URL is redirected too often"),
        ("/big", "image behind the URL is too big"),
        ("/busy", "image URL does not answer: 503"),
        ("/short", "image URL does not answer"),
        ("/slow", "image URL is too slow"),
        ("/to/file:///etc/passwd", "image URL is not http or https"),
        ("/to/http://[broken", "image URL is broken"),
    ],
)
def test_what_cannot_be_fetched(
    url: str, path: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vlt.datagen.sources.fetch.WHOLE", 3.0)
    started = time.monotonic()
    with pytest.raises(BadRow) as caught:
        fetch_image(url + path, private=True)
    assert caught.value.reason.startswith(reason)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1/x.png",
        "http://localhost/x.png",
        "http://2130706433/x.png",
        "http://10.1.2.3/x.png",
        "http://192.168.0.1/x.png",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/x.png",
        "http://[::ffff:127.0.0.1]/x.png",
        "http://0.0.0.0/x.png",
        "http://224.0.0.1/x.png",
    ],
)
def test_private_addresses_are_not_asked(address: str) -> None:
    with pytest.raises(BadRow, match="private address"):
        fetch_image(address)


def test_a_redirect_to_a_private_address_is_not_followed(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first host counts as public; where it sends us does not."""
    port = url.rsplit(":", 1)[1]
    monkeypatch.setattr(
        "vlt.datagen.sources.fetch._is_public", lambda address: address == "127.0.0.1"
    )
    assert fetch_image(f"{url}/2.png") == png(2)
    with pytest.raises(BadRow, match="private address"):
        fetch_image(f"{url}/to/http://127.0.0.2:{port}/2.png")


def test_rows_with_urls(url: str, tmp_path: Path, workspace: Path) -> None:
    lines = [
        {"image": f"{url}/{name}", "question": f"q {name}", "answer": "1"}
        for name in ("1.png", "nothing", "2.png")
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    store = Store(workspace)
    made, _ = make_items(store, str(file), private_urls=True)
    with ImageStore(store.images_folder) as images:
        got = [images.read(row["images"][0]) for row in made.table().to_pylist()]
    assert got == [png(1), png(2)]
    assert made.manifest.failed == {"image URL answers 404": 1}
