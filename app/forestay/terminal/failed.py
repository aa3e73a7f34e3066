"""Says that a command failed, why, and with which exit status."""


class Failed(Exception):
    """A command failed. The message says why, and `status` is the exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status
