"""An OpenAI-compatible server on loopback that serves the miniature's real models.

    python -m tests.miniature_server NAME=DIRECTORY [NAME=DIRECTORY ...]

Prints its port. What came in while a batch ran is the next batch, as an inference server would do.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from vlt.engine.local import LocalEngine
from vlt.request import Completion, Failure, Request, Sampling


class Served:
    """One model: requests wait in a queue, and all that wait are answered together."""

    def __init__(self, directory: str):
        self.images: dict[str, bytes] = {}
        self.engine = LocalEngine(directory, load_image=self.images.__getitem__)
        self.queue: asyncio.Queue[tuple[Request, asyncio.Future[Any]]] = asyncio.Queue()
        self.asked = 0

    async def work(self) -> None:
        """Answer batches forever."""
        while True:
            waiting = [await self.queue.get()]
            await asyncio.sleep(0.02)
            while not self.queue.empty():
                waiting.append(self.queue.get_nowait())
            by_key = {request.key: future for request, future in waiting}
            results: dict[bytes, list[Completion | Failure]] = {key: [] for key in by_key}
            requests = [request for request, _ in waiting]
            for result in await asyncio.to_thread(lambda r=requests: list(self.engine.complete(r))):
                results[result.key].append(result)
            for key, future in by_key.items():
                future.set_result(results[key])

    async def ask(self, body: dict[str, Any]) -> list[Completion | Failure]:
        """The n completions of one request."""
        self.asked += 1
        sampling = Sampling(
            temperature=body.get("temperature", 1.0),
            top_p=body.get("top_p", 1.0),
            max_tokens=body.get("max_tokens", 64),
            seed=body.get("seed"),
        )
        messages = [{**m, "content": self._content(m["content"])} for m in body["messages"]]
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        key = self.asked.to_bytes(16)
        request = Request(key, messages, tuple(range(body.get("n") or 1)), sampling)
        await self.queue.put((request, future))
        found: list[Completion | Failure] = await future
        return found

    def _content(self, content: Any) -> Any:
        if isinstance(content, str):
            return content
        blocks = []
        for block in content:
            if block["type"] == "image_url":
                data = base64.b64decode(block["image_url"]["url"].split(",", 1)[1])
                sha = hashlib.sha256(data).hexdigest()
                self.images[sha] = data
                blocks.append({"type": "image", "image": sha})
            else:
                blocks.append(block)
        return blocks


def application(models: dict[str, str]) -> web.Application:
    """/v1/models, /v1/chat/completions, and /asked: how many requests came."""
    served = {name: Served(directory) for name, directory in models.items()}

    async def start(app: web.Application) -> None:
        app["work"] = [asyncio.create_task(model.work()) for model in served.values()]

    async def list_models(_: web.Request) -> web.Response:
        return web.json_response(
            {"object": "list", "data": [{"id": name, "object": "model"} for name in served]}
        )

    async def chat(request: web.Request) -> web.Response:
        body = await request.json()
        if body["model"] not in served:
            error = {"message": f"The model `{body['model']}` does not exist.", "code": 404}
            return web.json_response({"error": error}, status=404)
        results = await served[body["model"]].ask(body)
        if isinstance(results[0], Failure):
            return web.json_response({"error": {"message": results[0].reason}}, status=400)
        done = sorted((r for r in results if isinstance(r, Completion)), key=lambda c: c.sample)
        tokens = sum(c.completion_tokens for c in done)
        choices = [
            {
                "index": c.sample,
                "finish_reason": c.finish_reason,
                "message": {"role": "assistant", "content": c.response},
            }
            for c in done
        ]
        usage = {
            "prompt_tokens": done[0].prompt_tokens,
            "completion_tokens": tokens,
            "total_tokens": done[0].prompt_tokens + tokens,
        }
        return web.json_response(
            {
                "id": "x",
                "object": "chat.completion",
                "model": body["model"],
                "choices": choices,
                "usage": usage,
            }
        )

    async def asked(_: web.Request) -> web.Response:
        return web.json_response({name: model.asked for name, model in served.items()})

    app = web.Application(client_max_size=64 << 20)
    app.on_startup.append(start)
    app.router.add_get("/v1/models", list_models)
    app.router.add_post("/v1/chat/completions", chat)
    app.router.add_get("/asked", asked)
    return app


@contextmanager
def serving(models: dict[str, Path]) -> Iterator[str]:
    """The base URL of a server of its own process, stopped at the end."""
    arguments = [f"{name}={directory}" for name, directory in models.items()]
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.miniature_server", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    try:
        assert child.stdout is not None
        port = child.stdout.readline().strip()
        assert port.isdigit(), "the server did not start"
        yield f"http://127.0.0.1:{port}"
    finally:
        child.terminate()
        child.wait(timeout=30)


async def main() -> None:
    """Serve until terminated."""
    models = dict(argument.split("=", 1) for argument in sys.argv[1:])
    runner = web.AppRunner(application(models), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
