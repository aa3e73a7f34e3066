"""Says who a client is, for the events that the application gets, and for facts."""

from forestay.core.fanout.connection import Connection
from forestay.core.ports.hook_events import Caller
from forestay.core.ports.observer import Client
from forestay.core.rules.access import Identity


def caller_of(connection: Connection) -> Caller:
    """The client of `connection`."""
    return caller(connection.identity, connection.id, connection.wire.name)


def client_of(connection: Connection) -> Client:
    """The client of `connection`, for those who observe."""
    return Client(connection.id, connection.identity.user, connection.wire.name)


def caller(identity: Identity, connection: str | None, wire: str) -> Caller:
    """A client with this identity. `connection`: its id; None where there is none. `wire`: see Caller."""
    return Caller(identity.user, identity.claims or b"{}", connection, wire)
