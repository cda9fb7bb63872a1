"""Errors that a user can act on: each message is one clear sentence without a traceback."""


class UnbabbleError(Exception):
    """Base of every error that Unbabble raises on purpose."""


class InputError(UnbabbleError):
    """A recording or file that cannot be used, and why."""


class UsageError(UnbabbleError):
    """A request that makes no sense as it was typed (unknown model, contradictory options)."""


class OutputError(UnbabbleError):
    """A result that cannot be written, and why."""


class MissingExtraError(UnbabbleError):
    """A feature whose optional libraries are not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs the extra '{extra}': pip install 'unbabble[{extra}]'.")
        self.extra = extra
