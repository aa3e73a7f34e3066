"""A subscriber of the bus that is made of functions."""

from collections.abc import Callable
from dataclasses import dataclass

from forestay.protocol.message import Message


def _ignore(*_: object) -> None:
    """Ignores a call that the test does not check."""


@dataclass(slots=True)
class FunctionSubscriber:
    """Calls the functions that it is given."""

    on_confirmed: Callable[[], object] = _ignore
    on_message: Callable[[Message], object] = _ignore
    on_doubt: Callable[[], object] = _ignore

    def confirmed(self) -> None:
        self.on_confirmed()

    def received(self, message: Message) -> None:
        self.on_message(message)

    def doubted(self) -> None:
        self.on_doubt()
