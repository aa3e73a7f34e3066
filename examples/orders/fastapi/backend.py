"""A shop that tells its customers what becomes of their orders: tokens, publishing, webhooks and hooks, on FastAPI."""

import asyncio
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import httpx
import jwt
import uvicorn
from fastapi import BackgroundTasks, Body, Cookie, Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import PlainTextResponse
from fastapi.staticfiles import StaticFiles
from standardwebhooks import Webhook, WebhookVerificationError

STATES = ("received", "packed", "shipped")
ATTEMPTS = 5
TOKEN_SECONDS = 600

app = FastAPI()
api = httpx.AsyncClient(headers={"Authorization": f"Bearer {os.environ['FORESTAY_API_KEY']}"}, timeout=5)


class User(NamedTuple):
    id: str
    name: str


def orders_of(user: str) -> str:
    """The room with the orders of a user."""
    return f"orders.{user}"


# By the id in the cookie. An application of yours has its own log-in, and a database, here.
sessions: dict[str, User] = {}


def signed_in(session: Annotated[str, Cookie()] = "") -> User:
    """The user of a request; without one it is refused."""
    if session not in sessions:
        raise HTTPException(401, "sign in first")
    return sessions[session]


@app.post("/session", status_code=204)
def sign_in(name: Annotated[str, Body(embed=True, min_length=1, max_length=30)], response: Response) -> None:
    session = secrets.token_urlsafe()
    sessions[session] = User(secrets.token_hex(6), name)
    response.set_cookie("session", session, httponly=True, samesite="strict")


@app.get("/session")
def find_session(session: Annotated[str, Cookie()] = "") -> dict[str, str | None]:
    """What the page has to know to begin. `name` is null where nobody is signed in."""
    user = sessions.get(session)
    return {"name": user and user.name, "room": user and orders_of(user.id), "gateway": os.environ["FORESTAY_URL"]}


# Tokens: who somebody is, and what that user may do.


@app.post("/token", response_class=PlainTextResponse)
def token(user: Annotated[User, Depends(signed_in)]) -> str:
    claims = {
        "sub": user.id,
        "exp": int(time.time()) + TOKEN_SECONDS,
        "rooms": {orders_of(user.id): "rh", "shop.online": "rh", "shop.questions": "rwh"},
        "info": {"name": user.name},
    }
    return jwt.encode(claims, os.environ["FORESTAY_JWT_SECRET"], "HS256")


# Publishing: what happens is told to those whom it concerns.


async def publish(room: str, payload: object) -> None:
    """Publishes a message, again where it is not known to be published. With the same key it is published once.

    Raises HTTPStatusError where the gateway refuses it, and what else prevented it last.
    """
    key = secrets.token_hex(8)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            url = f"{os.environ['FORESTAY_API']}/rooms/{room}/messages"
            answer = await api.post(url, json={"payload": payload}, headers={"Idempotency-Key": key})
        except httpx.TransportError:
            if attempt == ATTEMPTS:
                raise
        else:
            if answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR or attempt == ATTEMPTS:
                answer.raise_for_status()
                return
        await asyncio.sleep(0.2 * 2**attempt)


async def fulfil(user: str, order: dict[str, str]) -> None:
    for state in STATES:
        await publish(orders_of(user), order | {"state": state})
        await asyncio.sleep(1)


# What the gateway sends is signed, each kind with its own key. Anybody else could send it, too.


def signed_with(secret: str) -> Callable[[Request], Awaitable[dict[str, Any]]]:
    """What verifies a request, and returns its body. The key is in the variable of this name."""
    webhook = Webhook(os.environ[secret])

    async def verify(request: Request) -> dict[str, Any]:
        try:
            body: dict[str, Any] = webhook.verify(await request.body(), dict(request.headers))
        except WebhookVerificationError:
            raise HTTPException(401, "the signature is wrong") from None
        return body

    return verify


# Webhooks: what happens at the gateway is told to the backend.

# In memory, as the sessions are: an application of yours keeps both where a restart does not lose them.
online: set[str] = set()
# By user: the newest event that is known. Events may come twice, and in any order.
newest: dict[str, str] = {}


@app.post("/webhooks", status_code=204)
async def hear(batch: Annotated[dict[str, Any], Depends(signed_with("FORESTAY_WEBHOOKS_SECRET"))]) -> None:
    """Tells the pages how many users are online."""
    for event in batch["data"]["events"]:
        user = event["data"]["user"]
        if event["sequence"] > newest.get(user, ""):
            newest[user] = event["sequence"]
            (online.add if event["type"] == "user.online" else online.discard)(user)
    # If this fails, the answer is 500, and the events come again.
    await publish("shop.online", {"online": len(online)})


# Hooks: the gateway asks the backend what may happen, and hands over what clients call.


@app.post("/hooks")
async def decide(
    question: Annotated[dict[str, Any], Depends(signed_with("FORESTAY_HOOKS_SECRET"))], later: BackgroundTasks
) -> dict[str, Any]:
    """Answers at once: the client waits for it, and the gateway for two seconds at most."""
    match question:
        case {"type": "broadcast", "data": {"payload": {"text": str(text)}, "claims": claims}}:
            if "://" in text:
                return {"allow": False, "code": "no_links", "message": "Links are not allowed here."}
            # The name comes from the token: no page can write in another one.
            return {"payload": {"text": text[:500], "name": claims["info"]["name"]}}
        case {"type": "call", "data": {"method": "orders.create", "payload": {"item": str(item)}, "user": user}}:
            if not 1 <= len(item) <= 100:
                return {"allow": False, "code": "bad_item", "message": "An item has 1 to 100 characters."}
            order = {"id": secrets.token_hex(4), "item": item}
            later.add_task(fulfil, user, order)
            return {"result": order}
        case _:
            return {"allow": False, "code": "unknown", "message": "The shop does not do that."}


app.mount("/forestay", StaticFiles(directory=os.environ["FORESTAY_PAGE_FILES"]))
app.mount("/", StaticFiles(directory=Path(__file__).parents[1] / "page", html=True))

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
