"""Calls to the Hub with retries, and its refusals as UserErrors."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

from vlt.errors import UsageError, UserError

ATTEMPTS = 6
FIRST_ATTEMPTS = 2
WAIT = 1.0
"""Seconds before the second attempt; twice as long before each further one."""
PASSING = (408, 409, 412, 425, 429)
"""Statuses below 500 that are worth a retry."""
Result = TypeVar("Result")
Say = Callable[[str], None]


def check_repo(repo: str) -> None:
    """Raises UsageError for what cannot be a repository's name."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", repo):
        raise UsageError(f"{repo!r} is not a repository name of the Hub; write user/name")


def open_repo(api: Any, repo: str, repo_type: str, *, private: bool, say: Say) -> None:
    """Create the repository unless it exists.

    Raises UserError if it should be private but exists and is public: nothing may be published by mistake.
    """
    persistently(
        lambda: api.create_repo(repo, repo_type=repo_type, private=private, exist_ok=True),
        repo,
        say,
        first=True,
    )
    if private:
        found = persistently(lambda: api.repo_info(repo, repo_type=repo_type), repo, say)
        if found.private is False:
            raise UserError(
                f"{repo!r} already exists and is public, so nothing was sent; make it private in its "
                "settings on the Hub, name another, or leave out --private"
            )


def persistently(call: Callable[[], Result], repo: str, say: Say, *, first: bool = False) -> Result:
    """The call's result, with retries for temporary network errors.

    If the `first` call cannot connect, the machine is most likely offline: it is retried only once.
    Raises UserError with the Hub's message for what a retry cannot fix.
    """
    from huggingface_hub.errors import (  # type: ignore[attr-defined]
        HfHubHTTPError,
        HTTPError,
        OfflineModeIsEnabled,
    )

    for attempt in range(1, ATTEMPTS + 1):
        try:
            return call()
        except HfHubHTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            if 400 <= status < 500 and status not in PASSING:
                raise UserError(_refusal(repo, status, error)) from error
            trouble: Exception = error
        except OfflineModeIsEnabled:
            raise UserError(
                f"HF_HUB_OFFLINE is set, so {repo!r} cannot be reached; unset it"
            ) from None
        except (HTTPError, OSError) as error:
            trouble = error
            if first and attempt == FIRST_ATTEMPTS:
                raise UserError(
                    f"the Hub cannot be reached for {repo!r} ({_one_line(error)}); check the connection"
                ) from error
        if attempt == ATTEMPTS:
            raise UserError(
                f"the Hub cannot be reached for {repo!r} ({_one_line(trouble)}); run the same command to "
                "continue"
            ) from trouble
        say(f"{type(trouble).__name__}; trying again ({attempt} of {ATTEMPTS - 1})")
        time.sleep(WAIT * 2 ** (attempt - 1))
    raise AssertionError("the last attempt returns or raises")


def _refusal(repo: str, status: int, error: Exception) -> str:
    from huggingface_hub.errors import RepositoryNotFoundError

    if isinstance(error, RepositoryNotFoundError):  # the Hub says 401 of it to who is not logged in
        return (
            f"the Hub has no {repo!r}, or it is private; correct the name, or log in with "
            "`hf auth login`"
        )
    if status in (401, 403):
        return f"the Hub denies access to {repo!r} ({status}); log in with `hf auth login`, or set HF_TOKEN"
    return f"the Hub refuses {repo!r} ({status}: {_one_line(error)})"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
