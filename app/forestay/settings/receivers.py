"""Checks the settings that webhooks and hooks over HTTP share: the address, its authority, and the key that signs."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, SecretStr

from forestay.outbound.receiver import check_address, trust
from forestay.outbound.signature import parse_secret
from forestay.settings.fields import Unset


def checked_address(value: str | None) -> str | None:
    """`value`, if requests can be sent there. Raises ValueError."""
    return None if value is None else check_address(value)


def _secret(value: SecretStr | None) -> SecretStr | None:
    if value is not None:
        parse_secret(value.get_secret_value())
    return value


def checked_authority(value: Path | None) -> Path | None:
    """`value`, if it is a file of authorities. Raises ValueError."""
    if value is not None:
        trust(value)
    return value


SigningSecret = Annotated[SecretStr | None, Unset, AfterValidator(_secret)]
"""A key that signs requests, as Standard Webhooks writes it."""
