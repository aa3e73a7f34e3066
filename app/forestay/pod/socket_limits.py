"""Says what one WebSocket may use, and one message of it, as the settings have it."""

from forestay.edge.websocket.open_sockets import BYTES_PER_FRAGMENT, FRAGMENTS, MessageLimits
from forestay.edge.websocket.websocket import SocketLimits
from forestay.settings.settings import Settings


def socket_limits(settings: Settings) -> SocketLimits:
    """Return the limits of a WebSocket, native or of Socket.IO."""
    return SocketLimits(settings.max_message_bytes, settings.send_buffer_bytes, settings.close_timeout)


def message_limits(settings: Settings) -> MessageLimits:
    """Return what one message of a WebSocket client may take."""
    return MessageLimits(settings.message_timeout, FRAGMENTS + settings.max_message_bytes // BYTES_PER_FRAGMENT)
