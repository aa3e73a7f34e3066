"""One event stream: the rooms of its address, from its request to its end."""

from collections.abc import Callable, Mapping, Sequence

from forestay_client import endings, paths, sentences
from forestay_client.codes import after_close
from forestay_client.endings import Ending, lost
from forestay_client.http import Answer, ask
from forestay_client.messages import Position
from forestay_client.options import Options
from forestay_client.sentences import Sentence
from forestay_client.sockets import Closed
from forestay_client.sse import Comment, Data, Events, Retry


class Line:
    def __init__(self, rooms: Sequence[str], token: str) -> None:
        self.rooms = set(rooms)
        self.anchored = not rooms
        """Whether it has the anchor, because it has no room."""
        self.unanswered = set(rooms)
        """Those that have no answer yet."""
        self.token = token
        self.user: str | None = None
        """Known from the welcome on."""
        self.connection: str | None = None
        self.over = False
        """Whether it is not listened to any more."""
        self._names = list(rooms)
        self._answer: Answer | None = None

    async def open(self, url: str, options: Options, positions: Mapping[str, Position | None]) -> None:
        """Ask for it. Raises Closed where it is refused, and what `ask` raises."""
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "text/event-stream"}
        if last := paths.event_id([positions.get(room) for room in self._names]):
            headers["Last-Event-ID"] = last
        answer = await ask(paths.stream(url, self._names), options, headers)
        if answer.status_code != 200 or not answer.headers.get("Content-Type", "").startswith("text/event-stream"):
            await answer.read()
            raise Closed(endings.refused(answer, self.token))
        self._answer = answer

    def answered(self, room: str) -> bool:
        """Take the answer for a room of the address. False where there was one before, or none is due."""
        due = room in self.unanswered
        self.unanswered.discard(room)
        return due

    async def read(self, hear: Callable[["Line", Sentence], None]) -> Ending:
        """Hear everything until the end; how it ended. A sign of life is heard as a `pong`."""
        events, retry = Events(), 0.0
        if self._answer is None:
            return lost("")
        try:
            async for part in self._answer.chunks():
                for each in events.feed(part):
                    match each:
                        case Data(text):
                            said = sentences.read(text)
                            if said.get("type") == "close":
                                return self._ended(said, retry)
                            hear(self, said)
                        case Retry(after):
                            retry = after
                        case Comment():
                            hear(self, {"type": "pong"})
        except (OSError, EOFError, ValueError):
            return lost("")
        finally:
            self._answer.close()
        return lost("")

    def _ended(self, said: Sentence, retry: float) -> Ending:
        payload = sentences.payload(said)
        code = int(payload["code"])
        # What ends before it has begun is a refusal, which says when to come back.
        after = 0.0 if self.user is not None else retry
        return Ending(code, str(payload.get("reason", "")), after_close(code), after)
