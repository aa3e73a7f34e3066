"""Finds the handler of a request by its path: exact paths, and templates in which one part is a name."""

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from aiohttp import web

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class _Template(NamedTuple):
    before: str
    after: str
    handler: Handler

    def fits(self, path: str) -> bool:
        """Whether `path` is this one, with a name of one part in it. A slash in a name is written as %2F."""
        before, after = self.before, self.after
        if len(path) < len(before) + len(after) or not (path.startswith(before) and path.endswith(after)):
            return False
        return "/" not in path[len(before) : len(path) - len(after)]


class Routes:
    """The handlers of a port."""

    def __init__(self, handlers: Mapping[str, Handler], elsewhere: Handler) -> None:
        """`handlers`: by path, like `/ws`, or by template, like `/rooms/{room}/messages`. `elsewhere`: of the rest."""
        self._exact = {path: handler for path, handler in handlers.items() if "{" not in path}
        self._templates: list[_Template] = []
        for path, handler in handlers.items():
            if "{" in path:
                before, _, rest = path.partition("{")
                self._templates.append(_Template(before, rest.partition("}")[2], handler))
        self._elsewhere = elsewhere

    def find(self, request: web.BaseRequest) -> Handler:
        """The handler of `request`."""
        handler = self._exact.get(request.rel_url.path)
        if handler is None:
            # As it was sent: the path without its percent-encoding could have a slash more.
            path = request.rel_url.raw_path
            handler = next((one.handler for one in self._templates if one.fits(path)), self._elsewhere)
        return handler
