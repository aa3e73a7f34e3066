"""The backend of the cursors: it gives each browser a name, a colour and a number, and tokens that say so."""

import itertools
import os
import secrets
import time
from pathlib import Path
from typing import Annotated, NamedTuple

import jwt
import uvicorn
from fastapi import Cookie, FastAPI, Response
from fastapi.responses import PlainTextResponse
from fastapi.staticfiles import StaticFiles

ROOM = "board.main"
TOKEN_SECONDS = 600
ANIMALS = "Badger Crane Dolphin Eagle Falcon Gull Heron Ibis Kestrel Lynx Marten Newt Otter Puffin Raven"
# White text can be read on all of them.
COLOURS = "#17589f #b3261e #7a5200 #1b6e3c #6a3fa0 #a0346e #0b6b75 #4d5b66"


class Guest(NamedTuple):
    user: str
    info: dict[str, object]
    """Everybody in the room sees it. `number` is what stands for the guest in a binary message."""


app = FastAPI()
# By the id in the cookie. An application of yours has its own log-in here.
guests: dict[str, Guest] = {}
numbers = itertools.cycle(range(1, 65536))


def new_guest() -> Guest:
    number = next(numbers)
    info = {"number": number, "name": secrets.choice(ANIMALS.split()), "colour": COLOURS.split()[number % 8]}
    return Guest(f"guest-{secrets.token_hex(4)}", info)


@app.get("/gateway")
def gateway() -> dict[str, str]:
    return {"url": os.environ["FORESTAY_URL"], "room": ROOM}


@app.post("/token", response_class=PlainTextResponse)
def token(response: Response, guest: Annotated[str, Cookie()] = "") -> str:
    if guest not in guests:
        guest = secrets.token_urlsafe()
        guests[guest] = new_guest()
        response.set_cookie("guest", guest, httponly=True, samesite="strict")
    claims = {"sub": guests[guest].user, "info": guests[guest].info, "rooms": {ROOM: "rwp"}}
    return jwt.encode(claims | {"exp": int(time.time()) + TOKEN_SECONDS}, os.environ["FORESTAY_JWT_SECRET"], "HS256")


app.mount("/forestay", StaticFiles(directory=os.environ["FORESTAY_PAGE_FILES"]))
app.mount("/", StaticFiles(directory=Path(__file__).parent / "page", html=True))

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
