"""The ways in which the cluster does not answer: counted and waited out, and never a reason to stop serving."""

from enum import StrEnum


class Cause(StrEnum):
    """Why there was no answer; the values are labels."""

    ABSENT = "absent"
    """No account of a pod or no client for the cluster is here: nobody could be asked."""
    DENIED = "denied"
    """401 or 403: waiting for a moment changes nothing."""
    THROTTLED = "throttled"
    """429."""
    FAILED = "failed"
    """Any other status."""
    UNREACHABLE = "unreachable"
    """Refused, broken off or too slow."""
    GARBAGE = "garbage"
    """An answer that cannot be read."""


class Unanswered(Exception):
    def __init__(self, cause: Cause, why: str, retry_after: float | None = None) -> None:
        """`why`: for a log. `retry_after`: seconds that the server asked us to wait."""
        super().__init__(why)
        self.cause = cause
        self.retry_after = retry_after
