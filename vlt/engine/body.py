"""The JSON body of a chat completion, assembled from bytes.

Images are most of a request. Each is encoded to base64 once and inserted as bytes: a JSON encoder
would copy and escape it again. `prefix` is what all requests of a run share.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from vlt.engine import LoadImage
from vlt.errors import UserError
from vlt.request import Message, Sampling

# The first bytes of encoded images; the store accepts no other formats.
_KINDS = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"RIFF", "image/webp"),
    (b"BM", "image/bmp"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
)


def prefix(model: str, sampling: Sampling) -> bytes:
    """`{"model": ..., "temperature": ...` without the closing brace.

    Temperature and top_p are always included, since servers take their defaults from the model's
    generation_config and those differ. Fields in `extra` override them: null leaves a field out
    (`temperature=null`, for models that reject it), and `max_completion_tokens` replaces `max_tokens`.
    """
    fields: dict[str, Any] = {
        "model": model,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
    }
    if sampling.top_k is not None:
        fields["top_k"] = sampling.top_k
    if sampling.stop:
        fields["stop"] = list(sampling.stop)
    fields.update(sampling.extra)
    if fields.get("max_completion_tokens") is not None and "max_tokens" not in sampling.extra:
        del fields["max_tokens"]
    fields = {name: value for name, value in fields.items() if value is not None}
    return orjson.dumps(fields)[:-1]


def structure(sampling: Sampling, response_format: Mapping[str, Any] | None) -> bytes:
    """`,"response_format":{...}`, to append to a prefix; empty if `extra` has a response_format."""
    if response_format is None or "response_format" in sampling.extra:
        return b""
    return b',"response_format":' + orjson.dumps(response_format)


def body(
    head: bytes, messages: Sequence[Message], n: int, seed: int | None, load_image: LoadImage
) -> bytes:
    """The whole body; `head` is a `prefix`. Raises what `load_image` raises, and
    UserError for an image of an unknown format."""
    parts = [head]
    if n > 1:
        parts.append(b',"n":%d' % n)
    if seed is not None:
        parts.append(b',"seed":%d' % seed)
    parts.append(b',"messages":[')
    for i, message in enumerate(messages):
        if i:
            parts.append(b",")
        if isinstance(message["content"], str):
            parts.append(orjson.dumps(message))
            continue
        parts.append(b'{"role":%s,"content":[' % orjson.dumps(message["role"]))
        for j, block in enumerate(message["content"]):
            if j:
                parts.append(b",")
            if block["type"] == "image":
                image = load_image(block["image"])
                mime = _mime(image, block["image"])
                parts.append(b'{"type":"image_url","image_url":{"url":"data:%s;base64,' % mime)
                parts.append(base64.b64encode(image))
                parts.append(b'"}}')
            else:
                parts.append(orjson.dumps(block))
        parts.append(b"]}")
    parts.append(b"]}")
    return b"".join(parts)


def _mime(image: bytes, name: str) -> bytes:
    """Its MIME type; it was decoded when it entered the store, so the first bytes are enough."""
    for start, kind in _KINDS:
        if image.startswith(start):
            return kind.encode()
    raise UserError(
        f"image {name} is not a PNG, JPEG, GIF, WebP, BMP or TIFF; import its source again"
    )
