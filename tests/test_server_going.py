"""A server that is shutting down: it accepts no connections, and never answers those it has."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.stub import Stub
from tests.test_openai_engine import answers, ask, engine
from vlt.engine import endpoint
from vlt.request import Completion


class Silent:
    """Accepts connections and reads requests, but never replies. `leave` stops accepting."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.held: list[socket.socket] = []
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return  # the door is closed
            self.held.append(connection)

    def leave(self) -> None:
        """Stop accepting connections; existing ones stay open."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def end(self) -> None:
        """Close what it holds."""
        for connection in self.held:
            connection.close()


@pytest.fixture
def silent() -> Iterator[Silent]:
    server = Silent()
    yield server
    server.end()


def test_what_it_holds_is_asked_of_another(silent: Silent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "SILENCE_SECONDS", 0.3)
    threading.Timer(1.0, silent.leave).start()
    with Stub() as stub:
        asked = engine(f"http://127.0.0.1:{silent.port}/v1", stub.url, concurrency=4)
        # With the default of 600 seconds for a request, the test itself would run out of time.
        found = answers(asked, [ask(str(i)) for i in range(20)])
        assert stub.stats()["requests"] == 20
    assert len(silent.held) >= 4
    assert [type(result) for result in found] == [Completion] * 20


def test_one_that_is_only_slow_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "SILENCE_SECONDS", 0.1)
    with Stub(latency_ms=1500) as stub:
        found = answers(engine(stub.url), [ask(str(i)) for i in range(8)])
        assert stub.stats()["requests"] == 8
    assert [type(result) for result in found] == [Completion] * 8


def test_a_run_that_is_ended_meanwhile_ends(
    silent: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that is given up and cancelled at once must not continue."""
    monkeypatch.setattr(endpoint, "SILENCE_SECONDS", 0.2)

    async def both() -> None:
        server = endpoint.Endpoint(f"http://127.0.0.1:{silent.port}/v1", 4, None, 600.0)
        asking = asyncio.create_task(server.ask(b"{}", "m"))
        while not silent.held:
            await asyncio.sleep(0.01)
        server._abandoned.add(asking)
        asking.cancel()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await server.close()

    asyncio.run(both())
