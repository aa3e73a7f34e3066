"""The chat's backend: it serves the page, knows who is signed in, and gives each page a token in its user's name.

It takes no part in the chat: all messages go from the pages to the gateway and from there to the pages.
"""

import os
import secrets
import time
from pathlib import Path
from typing import Annotated

import jwt
import uvicorn
from fastapi import Body, Cookie, FastAPI, HTTPException, Response
from fastapi.responses import PlainTextResponse
from fastapi.staticfiles import StaticFiles

# Read, write, presence and history where people talk; read and write where it is told who is typing.
RIGHTS = {"chat.*": "rwph", "typing.*": "rw"}
TOKEN_SECONDS = 600

app = FastAPI()
# By the id in the cookie. An application of yours has its own log-in here.
users: dict[str, str] = {}

Session = Annotated[str, Cookie()]
Name = Annotated[str, Body(embed=True, min_length=1, max_length=30, pattern=r"^[\w .'-]*\w[\w .'-]*$")]


@app.post("/session", status_code=204)
def sign_in(name: Name, response: Response) -> None:
    session = secrets.token_urlsafe()
    # Two people may have the same name, and are two users all the same.
    users[session] = f"{name.strip()}~{secrets.token_hex(3)}"
    response.set_cookie("session", session, httponly=True, samesite="strict")


@app.get("/session")
def find_session(session: Session = "") -> dict[str, str | None]:
    """What the page has to know to begin. `user` is null where nobody is signed in."""
    return {"user": users.get(session), "gateway": os.environ["FORESTAY_URL"]}


@app.delete("/session", status_code=204)
def sign_out(response: Response, session: Session = "") -> None:
    users.pop(session, None)
    response.delete_cookie("session")


@app.post("/token", response_class=PlainTextResponse)
def token(session: Session = "") -> str:
    """A token for the user who is signed in."""
    user = users.get(session)
    if user is None:
        raise HTTPException(401, "sign in first")
    claims = {"sub": user, "exp": int(time.time()) + TOKEN_SECONDS, "rooms": RIGHTS}
    return jwt.encode(claims, os.environ["FORESTAY_JWT_SECRET"], "HS256")


app.mount("/forestay", StaticFiles(directory=os.environ["FORESTAY_PAGE_FILES"]))
app.mount("/", StaticFiles(directory=Path(__file__).parent / "page", html=True))

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
