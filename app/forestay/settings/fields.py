"""How the text of a variable becomes a value: lists, secrets, and texts that may be left out."""

from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import NoDecode

from forestay.core.rules.durations import parse_duration

MIN_SECRET_BYTES: Final = 32
"""Bytes: the length of an HMAC key for HS256. A random secret of this length cannot be guessed."""


def _split(value: object) -> object:
    return [part for part in value.replace(",", " ").split() if part] if isinstance(value, str) else value


def lower_words(value: object) -> object:
    """The words of a text in lower case, separated by spaces or commas. Another value stays as it is."""
    return _split(_lower(value))


def _empty_is_unset(value: object) -> object:
    return None if value == "" else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _duration(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


def _folder(value: Path | None) -> Path | None:
    if value is not None and not value.is_dir():
        raise ValueError("no such folder; check the path and the mount")
    return value


def _long_enough(value: SecretStr | None) -> SecretStr | None:
    if value is not None and len(value.get_secret_value().encode()) < MIN_SECRET_BYTES:
        raise ValueError(f"shorter than {MIN_SECRET_BYTES} bytes; make one with: openssl rand -base64 48")
    return value


WordList = Annotated[list[str], NoDecode, BeforeValidator(_split)]
"""Words, separated by spaces or commas."""
Unset = BeforeValidator(_empty_is_unset)
"""Lets the empty text stand for None."""
Text = Annotated[str | None, Unset]
SecretText = Annotated[SecretStr | None, Unset]
Secret = Annotated[SecretStr | None, Unset, AfterValidator(_long_enough)]
"""A random key that is long enough not to be guessed."""
Folder = Annotated[Path | None, Unset, AfterValidator(_folder)]
Duration = Annotated[float, BeforeValidator(_duration)]
"""Seconds. The text has units, as `1h30m`, or none."""
AnyCase = BeforeValidator(_lower)
"""For a choice among words in lower case."""
AnyCaseUpper = BeforeValidator(_upper)
"""For a choice among words in upper case."""
