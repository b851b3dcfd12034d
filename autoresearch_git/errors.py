"""The one error that a user is meant to see. Everything else that escapes is a bug of ours."""


class AutoresearchError(Exception):
    """What happened (`message`, one line) and what to type or do next (`hint`, one line)."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
