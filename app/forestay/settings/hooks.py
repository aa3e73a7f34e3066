"""Settings of hooks: where the application's rules are, what they are asked, and what happens where they fail."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field
from pydantic_settings import NoDecode

from forestay.core.rules.hooks import OF_CONNECTIONS, Hook
from forestay.settings.fields import AnyCase, Duration, Text, Unset, lower_words
from forestay.settings.receivers import SigningSecret, checked_address, checked_authority


class OnFailure(StrEnum):
    """What happens where a hook fails."""

    REFUSE = "refuse"
    ALLOW = "allow"


def _of_connections(value: list[Hook]) -> list[Hook]:
    others = [hook for hook in value if hook not in OF_CONNECTIONS]
    if others:
        raise ValueError(
            f"{', '.join(others)} belong to rooms: write hooks = [...] in a room's policy; "
            f"here are {', '.join(OF_CONNECTIONS)}"
        )
    return list(dict.fromkeys(value))


class HookSettings(BaseModel):
    """How the application is asked."""

    hooks_module: Text = Field(
        None, description="module of Python with the application's hooks: the path of a .py file, or an importable name"
    )
    hooks_url: Annotated[str | None, Unset, AfterValidator(checked_address)] = Field(
        None, description="address that is asked, http or https, where the hooks are no module"
    )
    hooks_secret: SigningSecret = Field(
        None,
        description="key that signs questions: whsec_ and base64 of 24 to 64 bytes, as Standard Webhooks writes it",
    )
    hooks_secret_previous: SigningSecret = Field(
        None, description="the key before, which signs them too, while the keys are turned"
    )
    hooks_ca: Annotated[Path | None, Unset, AfterValidator(checked_authority)] = Field(
        None, description="PEM file with the authority of the certificate at the address that is asked"
    )
    hooks_ask: Annotated[list[Hook], NoDecode, BeforeValidator(lower_words), AfterValidator(_of_connections)] = Field(
        list(OF_CONNECTIONS), description="hooks that are about no room: connect, call and disconnect, or some of them"
    )
    hooks_timeout: Duration = Field(2, gt=0, le=60, description="seconds that a hook may take")
    hooks_concurrency: int = Field(64, ge=1, le=100_000, description="hooks of one pod under way; more are refused")
    hooks_on_failure: Annotated[OnFailure, AnyCase] = Field(
        OnFailure.REFUSE, description="what happens where a hook fails: refuse what it was asked about, or allow it"
    )
