"""Settings that limit what clients may cost."""

from typing import Annotated

from pydantic import BaseModel, Field

from forestay.core.cluster.user_limit import UserLimitPolicy
from forestay.settings.fields import AnyCase, Duration


class Limits(BaseModel):
    """The most that a client, a user and a pod may use."""

    max_connections: int = Field(10_000, ge=1, description="connections of this pod; above that upgrades get 503")
    max_connections_per_user: int = Field(0, ge=0, description="connections of one user on all pods; 0: no limit")
    user_limit_policy: Annotated[UserLimitPolicy, AnyCase] = Field(
        UserLimitPolicy.REJECT,
        description="what gets 4409 above that limit: the newest (reject) or the oldest (replace)",
    )
    handshakes: int = Field(4096, ge=1, description="upgrades in progress at the same time; above that 503")
    max_message_bytes: int = Field(65536, ge=128, le=16 * 2**20, description="bytes of one message; above that 1009")
    json_depth: int = Field(
        512, ge=8, le=900, description="nested arrays and objects of one message; common parsers allow more"
    )
    compression: bool = Field(False, description="compress messages of rooms for WebSocket clients that offer it")
    compression_min_bytes: int = Field(
        1024, ge=1, le=2**20, description="bytes of the smallest message that is compressed"
    )
    message_rate: float = Field(200, ge=0, description="messages per second and connection; 0: no limit")
    message_burst: float = Field(400, ge=1, description="messages that may come at once, above the rate")
    message_bytes_rate: float = Field(
        2**20, ge=0, description="bytes of messages per second and connection; 0: no limit"
    )
    message_timeout: Duration = Field(
        10, gt=0, description="seconds from the first byte of a message to the last one; above that 4408"
    )
    rooms_per_connection: int = Field(100, ge=1, description="rooms of one connection")
    user_new_rooms: int = Field(
        5000, ge=0, description="new rooms with history that a user's publishes make in an hour, on a pod; 0: no limit"
    )
    user_keys: int = Field(
        60_000, ge=0, description="keys that a user's publishes use in five minutes, on a pod; 0: no limit"
    )
