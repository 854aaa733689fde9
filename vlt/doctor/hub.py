"""The Hugging Face Hub: whether it may be used, answers, and accepts the token."""

from __future__ import annotations

import os
from collections.abc import Iterator

from vlt.doctor.asked import get
from vlt.doctor.finding import Finding, broken, ok, warning

OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
LOG_IN = "`hf auth login`, or set HF_TOKEN"


def offline() -> list[str]:
    """The environment variables that are set and forbid using the Hub."""
    return [v for v in OFFLINE if os.environ.get(v, "").upper() in ("1", "ON", "YES", "TRUE")]


def hub(*, needed: bool = False) -> Iterator[Finding]:
    """One line; the token is sent only to the Hub's own address, and is never shown.

    `needed`: something still has to be fetched from it.
    """
    from huggingface_hub import get_token
    from huggingface_hub.constants import ENDPOINT

    if names := offline():
        says = (
            f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} set, so nothing is fetched"
        )
        yield warning("Hub", says, f"unset {' '.join(names)} if models or data are to be fetched")
        return
    token = get_token()
    reply = get(f"{ENDPOINT}/api/whoami-v2", token)
    if reply.status == 0:
        do = (
            "check the network, the proxy (HTTPS_PROXY) and HF_ENDPOINT; the cache still works with "
            "HF_HUB_OFFLINE=1"
        )
        trouble = broken if needed else warning
        yield trouble("Hub", f"{ENDPOINT} cannot be reached ({reply.trouble})", do)
    elif reply.status in (401, 403) and token:
        yield broken("Hub", f"{ENDPOINT} refuses the token ({reply.status})", LOG_IN)
    elif reply.status in (401, 403):
        says = f"{ENDPOINT} answers; no token, so no gated models and no `vlt push`"
        yield warning("Hub", says, LOG_IN)
    elif reply.status != 200:
        do = "check HF_ENDPOINT" if os.environ.get("HF_ENDPOINT") else "try again later"
        yield warning("Hub", f"{ENDPOINT} answers with status {reply.status}", do)
    else:
        name = reply.value.get("name") if isinstance(reply.value, dict) else None
        who = f"logged in as {name}" if token and name else "no token: public models and data only"
        yield ok("Hub", f"{ENDPOINT} answers; {who}")
