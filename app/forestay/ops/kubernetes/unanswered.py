"""Lists the ways in which the cluster does not answer. None of them is a reason to stop serving."""

from enum import StrEnum


class Cause(StrEnum):
    """Why there was no answer; the values are labels."""

    ABSENT = "absent"
    """The pod has no service account, or the client library is not installed: no request was made."""
    DENIED = "denied"
    """401 or 403: a short wait changes nothing."""
    THROTTLED = "throttled"
    """429."""
    FAILED = "failed"
    """Any other status."""
    UNREACHABLE = "unreachable"
    """The connection was refused or broke, or the answer was too late."""
    GARBAGE = "garbage"
    """An answer that cannot be read."""


class Unanswered(Exception):
    def __init__(self, cause: Cause, why: str, retry_after: float | None = None) -> None:
        """`why`: text for the log. `retry_after`: seconds that the server asked us to wait."""
        super().__init__(why)
        self.cause = cause
        self.retry_after = retry_after
