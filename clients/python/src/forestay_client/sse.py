"""Reads an event stream: its data, its comments, and when to come back. This module has no socket."""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Data:
    """What an event says."""

    text: str


@dataclass(frozen=True, slots=True)
class Retry:
    """When to come back, in seconds."""

    after: float


class Comment:
    """A sign of life."""


class Events:
    """Takes a stream apart, in whatever pieces it comes."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._data: list[str] = []

    def feed(self, part: bytes) -> Iterator[Data | Retry | Comment]:
        """What is complete with `part`."""
        # No `splitlines`: JSON may have the other ends of lines that it knows.
        *lines, self._rest = (self._rest + self._decode.decode(part)).split("\n")
        for line in lines:
            field, colon, text = line.removesuffix("\r").partition(":")
            text = text.removeprefix(" ")
            if field == "data":
                self._data.append(text)
            elif field == "retry" and text.isascii() and text.isdigit():
                yield Retry(int(text) / 1000)
            elif not field and colon:
                yield Comment()
            elif not field and self._data:
                data, self._data = "\n".join(self._data), []
                yield Data(data)
