"""Settings of webhooks: where the receiver is, how requests are signed, and how long events wait."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from forestay.settings.fields import Duration, Unset
from forestay.settings.receivers import SigningSecret, checked_address, checked_authority


class Webhooks(BaseModel):
    """How the application's backend is told what happens."""

    webhooks_url: Annotated[str | None, Unset, AfterValidator(checked_address)] = Field(
        None, description="address that gets webhooks, http or https; unset: there are none"
    )
    webhooks_secret: SigningSecret = Field(
        None, description="key that signs webhooks, as Standard Webhooks writes it: whsec_ and base64 of 24 to 64 bytes"
    )
    webhooks_secret_previous: SigningSecret = Field(
        None, description="the key before, which signs them too, while the keys are turned"
    )
    webhooks_ca: Annotated[Path | None, Unset, AfterValidator(checked_authority)] = Field(
        None, description="PEM file with the authority of the receiver's certificate"
    )
    webhooks_timeout: Duration = Field(
        10, gt=0, le=300, description="seconds that the receiver has to answer a request"
    )
    webhooks_batch: int = Field(
        100, ge=1, le=1000, description="events of one request; 1: each request is one event, and not a list"
    )
    webhooks_attempts: int = Field(
        20, ge=1, le=1000, description="how often an event is sent before it becomes a dead letter"
    )
    webhooks_backlog: int = Field(
        100_000, ge=1, description="events that wait for the receiver; beyond that the oldest are dropped"
    )
    webhooks_backlog_bytes: int = Field(
        64 * 2**20, ge=2**20, description="bytes of the events that wait; beyond that the oldest are dropped"
    )
