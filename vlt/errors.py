"""Errors that a user can cause: one sentence that names the thing, the value and what to do next."""

from __future__ import annotations


class UserError(Exception):
    """Printed without a traceback; the command ends with `exit_code` (1 failed, 2 wrong usage)."""

    def __init__(self, sentence: str, exit_code: int = 1):
        super().__init__(sentence)
        self.exit_code = exit_code


class UsageError(UserError):
    """The command was called with an invalid option, name or setting."""

    def __init__(self, sentence: str):
        super().__init__(sentence, exit_code=2)
