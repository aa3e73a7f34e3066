"""Protocol version 1 as a stream of server-sent events, over plain HTTP."""
