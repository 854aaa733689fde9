"""Stands in for `vllm serve` as TRL's client asks it: python -m vllm.entrypoints.cli.main serve MODEL ...

It notes each request in VLLM_CALLS, and answers with the tokens that the stand-in engine writes. Like vLLM it
takes one group for the weights, and no second one. VLLM_REFUSES lets it end at once; VLLM_LOADS is the time
that it takes to load, in seconds, and VLLM_SECONDS that of an answer. VLLM_REAL is the command line of a real
vLLM, which then takes its place, with VLLM_REAL_ARGUMENTS besides its own.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from vllm import WRITTEN, note

NOTED = ("VLLM_SERVER_DEV_MODE", "VLLM_API_KEY", "CUDA_VISIBLE_DEVICES")


class Served:
    """What the server knows, and answers."""

    def __init__(self, model: str, arguments: argparse.Namespace):
        self.model, self.arguments = model, arguments
        self.lock = threading.Lock()
        self.grouped = self.updating = False

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """(HTTP status, JSON)"""
        with self.lock:
            if path not in ("/health", "/v1/models"):
                note("asked", server=os.getpid(), path=path, body=body)
        match path:
            case "/health" | "/reset_prefix_cache" | "/reset_encoder_cache":
                return 200, {"success": True}
            case "/v1/models":
                return 200, {"data": [{"id": self.model}]}
            case "/server_info" if os.environ.get("VLLM_SERVER_DEV_MODE") == "1":
                config = self.arguments.weight_transfer_config
                modes = {"logprobs_mode": self.arguments.logprobs_mode}
                return 200, {
                    "vllm_config": {"weight_transfer_config": config, "model_config": modes}
                }
            case "/get_world_size":
                return 200, {"world_size": self.arguments.tensor_parallel_size}
            case "/init_weight_transfer_engine":
                again, self.grouped = self.grouped, True
                return (500, {"error": "unhandled cuda error"}) if again else (200, {})
            case "/start_weight_update" | "/finish_weight_update":
                self.updating = path.startswith("/start")
                return 200, {}
            case "/update_weights":
                return (200, {}) if self.grouped and self.updating else (500, {})
            case "/v1/chat/completions/render" if self.arguments.enable_scale_out:
                parts = body["messages"][0]["content"]
                found = [{"offset": i, "length": 1} for i in range(len(parts))]
                return 200, {"features": {"mm_placeholders": {"image": found}}}
            case "/inference/v1/generate" if self.arguments.enable_scale_out:
                return 200, {"choices": choices(body["sampling_params"])}
        return 404, {"detail": "Not Found"}


def choices(sampling: dict[str, Any]) -> list[dict[str, Any]]:
    """As the stand-in engine: every second answer is cut, the others stop."""
    time.sleep(float(os.environ.get("VLLM_SECONDS", "0")))
    found = []
    for i in range(sampling["n"]):
        last = WRITTEN[-1] if i % 2 else sampling["stop_token_ids"][0]
        tokens = [*WRITTEN[: sampling["max_tokens"] - 1], last]
        content = [
            {"token": f"token_id:{token}", "logprob": -1.0, "top_logprobs": []} for token in tokens
        ]
        found.append({"token_ids": tokens, "logprobs": {"content": content}})
    return found


class Handler(BaseHTTPRequestHandler):
    """HTTP/1.1 with keep-alive."""

    protocol_version = "HTTP/1.1"
    served: Served

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        status, found = self.served.answer(self.path.partition("?")[0], body)
        words = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(words)))
        self.end_headers()
        self.wfile.write(words)

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    """Serve until SIGTERM."""
    if real := os.environ.get("VLLM_REAL"):
        note("serve", pid=os.getpid(), arguments=sys.argv[1:])
        line = f'exec {real} "$@" {os.environ["VLLM_REAL_ARGUMENTS"]}'
        os.execvp("sh", ["sh", "-c", line, "vllm", *sys.argv[1:]])
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("model")
    parser.add_argument("--served-model-name")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--weight-transfer-config", type=json.loads)
    parser.add_argument("--logprobs-mode", default="raw_logprobs")
    parser.add_argument("--max-logprobs", type=int, default=20)
    parser.add_argument("--enable-scale-out", action="store_true")
    parser.add_argument("--tensor-parallel-size", type=int, default=1)
    parser.add_argument("--model-impl", default="auto")
    parser.add_argument("--max-model-len", type=int)
    parser.add_argument("--gpu-memory-utilization", type=float, default=0.9)
    given = parser.parse_args()
    environment = {name: os.environ.get(name) for name in NOTED}
    note("serve", pid=os.getpid(), arguments=vars(given), environment=environment)
    if os.environ.get("VLLM_REFUSES"):
        sys.exit("ValueError: no such model")
    time.sleep(float(os.environ.get("VLLM_LOADS", "0")))
    Handler.served = Served(given.served_model_name, given)
    ThreadingHTTPServer((given.host, given.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
