"""What is answered when the next stream is there: that rooms are left, and that a token holds."""

from collections.abc import Callable, Mapping

from forestay_client.sentences import Sentence


class StreamChanges:
    def __init__(self, tell: Callable[[Sentence], None]) -> None:
        """`tell`: called with the answers."""
        self._tell = tell
        self._waiting: list[Sentence] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def token(self) -> str | None:
        """The one that the next stream has to be opened with, if it is another one."""
        return next((str(said["payload"]["token"]) for said in self._waiting if said["type"] == "auth"), None)

    def add(self, said: Sentence) -> None:
        """Answer a `leave` or an `auth` then."""
        self._waiting.append(said)

    def settle(self, refusal: Mapping[str, object] | None = None) -> None:
        """The next stream is there, or a token was refused."""
        settled, self._waiting = self._waiting, []
        for said in settled:
            if said["type"] == "leave":
                self._tell({"type": "left", "room": said["room"], "id": said["id"]})
            elif refusal is None:
                self._tell({"type": "ack", "id": said["id"], "payload": {}})
            else:
                self._tell({"type": "error", "id": said["id"], "payload": refusal})
