"""A request to connect that is refused."""

from forestay.protocol.codes import Refusal


class Refused(Exception):
    """A request to connect that is refused, with the HTTP status of the response."""

    def __init__(self, status: int, refusal: Refusal, user: str | None = None) -> None:
        """`user`: who the caller is, where the signature of its token was verified."""
        super().__init__(refusal.message)
        self.status = status
        self.refusal = refusal
        self.user = user
