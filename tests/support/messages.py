"""Messages that differ in a few fields."""

from forestay.protocol.message import Message


def changed(message: Message, **fields: object) -> Message:
    """A copy of `message` with other values in some fields."""
    made = message.copy()
    for name, value in fields.items():
        assert hasattr(made, name)
        setattr(made, name, value)
    return made
