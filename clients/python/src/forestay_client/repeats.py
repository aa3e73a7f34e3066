"""What two connections say in the same words is one message: for rooms whose messages have no positions."""

from forestay_client.messages import Message

LIMIT = 1000
"""Messages that are remembered, and that are looked at once there is one connection again."""


class Repeats:
    """Lives for a move: begins with the second connection, and outlives the first by so many messages."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[object, int]] = {}
        """Who told it, and how often more than the other."""
        self._left = LIMIT

    @property
    def over(self) -> bool:
        """Whether nothing more is to be expected."""
        return not self._left or not self._told

    def took(self, teller: object, message: Message, *, alone: bool) -> bool:
        """Whether another connection told this already; if not, it is remembered, unless there is no other any more."""
        if alone:
            self._left -= 1
        words = repr((message.sender, message.timestamp, message.payload))
        first, times = self._told.get(words, (teller, 0))
        if first is not teller:
            del self._told[words]
            if times > 1:
                self._told[words] = (first, times - 1)
            return True
        if not alone:
            self._told[words] = (teller, times + 1)
            if len(self._told) > LIMIT:
                del self._told[next(iter(self._told))]
        return False
