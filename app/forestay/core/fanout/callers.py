"""Says who a connection is, for the events that the application gets."""

from forestay.core.fanout.connection import Connection
from forestay.core.ports.hook_events import Caller


def caller_of(connection: Connection) -> Caller:
    """The client of `connection`."""
    identity = connection.identity
    return Caller(identity.user, identity.claims or b"{}", connection.id, connection.wire.name)
