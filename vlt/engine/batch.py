"""The OpenAI Batch API: requests uploaded in files, answered within a day, at half the price.

The open batches are recorded in the journal (through `BatchLedger`), with the samples in
each: a run that was killed while it waited finds them again and requests nothing twice. A batch is
recorded before it is created and carries the record's token, so one that was being created at the
moment of the kill is found by its token.
"""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Protocol, TypeVar

import orjson

from vlt.engine import LoadImage
from vlt.engine.api_key import key_to_send
from vlt.engine.body import body, prefix, structure
from vlt.engine.reply import Choice, Refused, Reply, TryAgain, read_reply
from vlt.errors import UserError
from vlt.request import Completion, Failure, Request, seed_of

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types import Batch

REQUESTS_A_BATCH = 50_000
BYTES_A_BATCH = 150 << 20
"""OpenAI's limit is 200 MB."""
FIRST_POLL_SECONDS, LAST_POLL_SECONDS = 1.0, 60.0
ENDED = ("completed", "failed", "expired", "cancelled")

T = TypeVar("T")
Sample = tuple[bytes, int]
"""(request key, sample)"""


@dataclass(frozen=True)
class OpenBatch:
    """A batch that was sent and whose answers have not been read."""

    token: str
    id: str | None
    """The server's id for it; None if we were killed before we received it."""
    samples: frozenset[Sample]


class BatchLedger(Protocol):
    """The record of open batches; vlt.workspace.journal.Journal implements it."""

    def open_batch(self, token: str, server: str, samples: Iterable[Sample]) -> None:
        """The batch is about to be created."""
        ...

    def name_batch(self, token: str, id: str) -> None:
        """The batch was created."""
        ...

    def end_batch(self, token: str) -> None:
        """All its answers were read, or it was never created."""
        ...

    def batches(self, server: str) -> list[tuple[str, str | None, list[Sample]]]:
        """(token, id, samples) of the open batches."""
        ...


class BatchEngine:
    """Implements vlt.engine.Engine; draws all requests, sends them, and waits."""

    def __init__(
        self,
        model: str,
        base_url: str,
        *,
        load_image: LoadImage,
        ledger: BatchLedger,
        tell: Callable[[str], None] | None = None,
    ):
        """`tell` is called with the progress of the batches, one line at a time."""
        self.model, self.url = model, base_url.rstrip("/")
        self._load_image, self._ledger, self._tell = load_image, ledger, tell
        self._server = f"{self.url} {model}"
        self._opened: OpenAI | None = None

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion | Failure]:
        """See vlt.engine.Engine; all requests are drawn before the first answer arrives."""
        underway = self._found_again()
        covered = {sample for batch in underway for sample in batch.samples}
        wanted: set[Sample] = set()
        chunk = _Chunk()
        for request in requests:
            wanted |= {(request.key, sample) for sample in request.samples}
            missing = [s for s in request.samples if (request.key, s) not in covered]
            for samples in _runs(missing):
                try:
                    chunk.add(request.key, samples, self._body(request, samples))
                except (OSError, LookupError, UserError) as error:
                    yield Failure(request.key, samples, f"an image cannot be read: {error}")
                    wanted -= {(request.key, sample) for sample in samples}
                if chunk.full:
                    underway.append(self._send(chunk))
                    chunk = _Chunk()
        if chunk.samples:
            underway.append(self._send(chunk))
        for batch, ended in self._as_they_end(underway):
            yield from self._answers(batch, ended, wanted)
            self._ledger.end_batch(batch.token)

    def close(self) -> None:
        """Close the connections; open batches stay open."""
        if self._opened:
            self._opened.close()
            self._opened = None

    @property
    def _client(self) -> OpenAI:
        if self._opened is None:
            from openai import OpenAI

            key = key_to_send() or "none"
            self._opened = OpenAI(base_url=self.url, api_key=key, max_retries=6)
        return self._opened

    def _body(self, request: Request, samples: tuple[int, ...]) -> bytes:
        seed = seed_of(request.key, request.sampling.seed, samples[0])
        head = prefix(self.model, request.sampling)
        head += structure(request.sampling, request.response_format)
        return body(head, request.messages, len(samples), seed, self._load_image)

    def _found_again(self) -> list[OpenBatch]:
        """The open batches of this server and model; those that were never created are removed."""
        batches = [
            OpenBatch(token, id, frozenset(samples))
            for token, id, samples in self._ledger.batches(self._server)
        ]
        if any(batch.id is None for batch in batches):
            listed = self._call(lambda client: list(client.batches.list(limit=100)))
            ids = {(found.metadata or {}).get("vlt"): found.id for found in listed}
            for batch in batches:
                if batch.id is None and batch.token in ids:
                    self._ledger.name_batch(batch.token, ids[batch.token])
                elif batch.id is None:
                    self._ledger.end_batch(batch.token)
            batches = [
                OpenBatch(b.token, b.id or ids[b.token], b.samples)
                for b in batches
                if b.id or b.token in ids
            ]
        return batches

    def _send(self, chunk: _Chunk) -> OpenBatch:
        token = uuid.uuid4().hex
        chunk.file.seek(0)
        upload = ("requests.jsonl", chunk.file)
        sent = self._call(lambda client: client.files.create(file=upload, purpose="batch"))
        self._ledger.open_batch(token, self._server, chunk.samples)
        batch = self._call(
            lambda client: client.batches.create(
                input_file_id=sent.id,
                endpoint="/v1/chat/completions",
                completion_window="24h",
                metadata={"vlt": token},
            )
        )
        self._ledger.name_batch(token, batch.id)
        chunk.file.close()
        return OpenBatch(token, batch.id, frozenset(chunk.samples))

    def _as_they_end(self, batches: list[OpenBatch]) -> Iterator[tuple[OpenBatch, Batch]]:
        waiting, pause = list(batches), FIRST_POLL_SECONDS
        while waiting:
            done = requests = 0
            for batch in list(waiting):
                assert batch.id
                state = self._state(batch.id)
                if state.status in ENDED:
                    waiting.remove(batch)
                    yield batch, state
                elif state.request_counts:
                    done += state.request_counts.completed
                    requests += state.request_counts.total
            if waiting:
                if self._tell:
                    self._tell(f"{len(waiting)} batches under way, {done:,}/{requests:,} requests")
                time.sleep(pause)
                pause = min(LAST_POLL_SECONDS, pause * 1.5)

    def _state(self, id: str) -> Batch:
        return self._call(lambda client: client.batches.retrieve(id))

    def _answers(
        self, batch: OpenBatch, ended: Batch, wanted: set[Sample]
    ) -> Iterator[Completion | Failure]:
        """The results of a batch; answers that are not needed now are yielded too, to be journaled."""
        left = batch.samples & wanted
        for file in (ended.output_file_id, ended.error_file_id):
            for line in self._lines(file) if file else ():
                key, samples = _read_id(line["custom_id"])
                try:
                    reply = self._reply(line)
                except (TryAgain, Refused) as error:
                    if failed := tuple(s for s in samples if (key, s) in left):
                        yield Failure(key, failed, error.reason)
                        left -= {(key, s) for s in failed}
                    continue
                prompts = 1
                for sample, choice in zip(samples, reply.choices, strict=False):
                    if isinstance(choice, Choice):
                        yield Completion(key, sample, *choice, prompts)
                        prompts = 0
                    elif (key, sample) in left:
                        yield Failure(key, (sample,), choice.reason)
                    left -= {(key, sample)}
        why = f"the batch {ended.status} without an answer"
        if ended.errors and ended.errors.data:
            why = f"the batch {ended.status}: {ended.errors.data[0].message}"
        for key, sample in sorted(left):
            yield Failure(key, (sample,), why)

    def _lines(self, file: str) -> Iterator[dict[str, Any]]:
        content = self._call(lambda client: client.files.content(file))
        for line in content.iter_lines():
            if line.strip():
                yield orjson.loads(line)

    def _reply(self, line: dict[str, Any]) -> Reply:
        response = line.get("response") or {}
        status = response.get("status_code") or 0
        if not status:
            raise Refused(str((line.get("error") or {}).get("message") or "no answer"))
        raw = orjson.dumps(response.get("body"))
        return read_reply(status, {}, raw, self.url, self.model, proved=True)

    def _call(self, call: Callable[[OpenAI], T]) -> T:
        """One API call; the client itself retries. Raises UserError if it fails."""
        import openai

        try:
            return call(self._client)
        except openai.OpenAIError as error:
            words = " ".join(str(error).split())[:300]
            raise UserError(
                f"{self.url} does not accept batches ({words}); leave out --batch, or run the same "
                "command again to continue"
            ) from error


class _Chunk:
    """The request file of a batch that is being filled."""

    def __init__(self) -> None:
        self.file: IO[bytes] = tempfile.TemporaryFile(prefix="vlt-batch-")  # noqa: SIM115
        self.samples: list[Sample] = []
        self._requests = 0

    def add(self, key: bytes, samples: tuple[int, ...], content: bytes) -> None:
        """Add one request, with the name that its answer will carry."""
        name = f"{key.hex()}-{samples[0]}-{len(samples)}"
        self.file.write(
            b'{"custom_id":"%s","method":"POST","url":"/v1/chat/completions","body":%s}\n'
            % (name.encode(), content)
        )
        self.samples += [(key, sample) for sample in samples]
        self._requests += 1

    @property
    def full(self) -> bool:
        """Whether the batch is at the server's limits."""
        return self._requests >= REQUESTS_A_BATCH or self.file.tell() >= BYTES_A_BATCH


def _runs(samples: list[int]) -> Iterator[tuple[int, ...]]:
    """Runs of consecutive samples: 0 1 4 -> (0, 1), (4,)."""
    run: list[int] = []
    for sample in samples:
        if run and sample != run[-1] + 1:
            yield tuple(run)
            run = []
        run.append(sample)
    if run:
        yield tuple(run)


def _read_id(name: str) -> tuple[bytes, tuple[int, ...]]:
    key, first, count = name.split("-")
    return bytes.fromhex(key), tuple(range(int(first), int(first) + int(count)))
