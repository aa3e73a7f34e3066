"""The states of a connection that is read: what becomes of the bytes that come, and what ends the state.

state         bytes      until
OPENING       are kept   `begin`
READING       are read   a message whose answer has to wait, more messages than a turn has, or the end
WORKING       are kept   the answer is made
FULL          are kept   the client has taken what was written
RESTING       are kept   the next turn of the loop
DISCARDING    dropped    the client hangs up, or the close timeout is over
OVER          dropped    nothing: the client was told that the connection is gone

What is kept is read before the client is told that the connection is lost. A client that has only closed its side also
gets its answers.
"""

from enum import Enum, auto


class State(Enum):
    """See above."""

    OPENING = auto()
    READING = auto()
    WORKING = auto()
    FULL = auto()
    RESTING = auto()
    DISCARDING = auto()
    OVER = auto()
