"""The dashboard's backend: it publishes the numbers of a shop four times a second, and gives tokens to those who look.

Each message is the whole state, so a page that has the last one has everything. The room keeps the last thirty seconds.
"""

import asyncio
import logging
import os
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import jwt
import uvicorn
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from fastapi.staticfiles import StaticFiles

ROOM = "shop.numbers"
RATE = 4.0
TOKEN_SECONDS = 600
CITIES = "Bergen Cádiz Dublin Gdańsk Genoa Ghent Hamburg Lisbon Marseille Nantes Odense Porto Riga Split Tallinn Turku"


def shop() -> Iterator[dict[str, object]]:
    """The state of a shop, again and again. Your application reads its own here."""
    regions = [{"city": city, "visitors": 400, "orders": 40, "revenue": 1800, "ms": 90} for city in CITIES.split()]
    while True:
        for region in regions:
            for name, value in region.items():
                if isinstance(value, int):
                    region[name] = max(1, round(value * random.uniform(0.97, 1.031)))
        yield {"at": time.time(), "regions": regions}


async def publish() -> None:
    """Publishes each state. One that cannot be published is not tried again, for the next one is newer."""
    headers = {"Authorization": f"Bearer {os.environ['FORESTAY_API_KEY']}"}
    async with httpx.AsyncClient(headers=headers, timeout=5) as api:
        for state in shop():
            try:
                path = f"{os.environ['FORESTAY_API']}/rooms/{ROOM}/messages"
                (await api.post(path, json={"payload": state})).raise_for_status()
            except httpx.HTTPError as error:
                logging.getLogger("dashboard").warning("numbers were not published: %r", error)
            await asyncio.sleep(1 / RATE)


@asynccontextmanager
async def publishing(_: FastAPI) -> AsyncIterator[None]:
    task = asyncio.create_task(publish())
    yield
    task.cancel()


app = FastAPI(lifespan=publishing)


@app.get("/gateway")
def gateway() -> dict[str, str]:
    return {"url": os.environ["FORESTAY_URL"], "room": ROOM}


@app.post("/token", response_class=PlainTextResponse)
def token() -> str:
    """Everybody may see the numbers here; your application decides. Nobody may write: the right `w` is missing."""
    claims = {"sub": "viewer", "exp": int(time.time()) + TOKEN_SECONDS, "rooms": {ROOM: "rh"}}
    return jwt.encode(claims, os.environ["FORESTAY_JWT_SECRET"], "HS256")


app.mount("/forestay", StaticFiles(directory=os.environ["FORESTAY_PAGE_FILES"]))
app.mount("/", StaticFiles(directory=Path(__file__).parent / "page", html=True))

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
