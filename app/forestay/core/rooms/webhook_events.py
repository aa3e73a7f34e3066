"""Makes the events that the application's backend is told about rooms and users, where their policies say so."""

from msgspec import Raw

from forestay.core.ports.runtime import Runtime
from forestay.core.rules.policies import Policies, Webhook
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName, user_online
from forestay.protocol.timestamps import Stamps
from forestay.protocol.webhooks import EventType, WebhookEvent, encode_event, field, message_data


class WebhookEvents:
    """Events as JSON. The bus and the registry keep them in the same step as what they tell of."""

    def __init__(self, runtime: Runtime, policies: Policies) -> None:
        self._new_id = runtime.new_id
        self._stamps = Stamps(runtime.clock)
        self._policies = policies
        self.users = Webhook.ONLINE in policies.personal.webhooks or Webhook.OFFLINE in policies.personal.webhooks
        """Whether it is told that users come online or go offline."""

    def message(self, message: Message) -> bytes:
        """The event of a message that is about to be published. The policy of its room has Webhook.MESSAGE."""
        return self._event(EventType.MESSAGE, message_data(message))

    def presence(self, room: RoomName, *, here: bool) -> bytes | None:
        """The event for the case that `room` becomes occupied, or with `here=False` vacated; None where none is told.

        The room of the connections of a user stands for that user, who comes online or goes offline.
        """
        webhooks = self._policies.of(room).webhooks
        if not webhooks:
            return None
        user = user_online(room)
        if user is not None:
            if (Webhook.ONLINE if here else Webhook.OFFLINE) not in webhooks:
                return None
            return self._event(EventType.USER_ONLINE if here else EventType.USER_OFFLINE, {"user": field(user)})
        if (Webhook.OCCUPIED if here else Webhook.VACATED) not in webhooks:
            return None
        return self._event(EventType.ROOM_OCCUPIED if here else EventType.ROOM_VACATED, {"room": field(room)})

    def _event(self, type: EventType, data: dict[str, Raw]) -> bytes:
        return encode_event(WebhookEvent(f"evt_{self._new_id()}", type, self._stamps.now(), data))
