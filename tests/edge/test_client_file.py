"""The client file of Socket.IO, which pages load from the gateway that they connect to."""

import random
from pathlib import Path

import aiohttp
import pytest

from forestay.pod.inputs import prepare
from forestay.pod.tasks import Supervisor
from forestay.settings.settings import SettingsError, load
from tests.support.gateway import SECRET, gateway


async def test_the_client_file_is_served_below_the_path_of_socketio(tmp_path: Path) -> None:
    """A page gets the file of the settings as JavaScript, and asks for it again without loading it twice."""
    file = tmp_path / "client.js"
    file.write_text("/* é */ io = 1;")
    async with gateway(socketio=True, socketio_client=file, path_prefix="/chat") as pod:
        file.write_text("changed while the pod runs")
        url = f"http://127.0.0.1:{pod.port}/chat/socket.io/socket.io.js"
        async with aiohttp.ClientSession() as http:
            async with http.get(url, headers={"Origin": "https://page.example"}) as answer:
                assert (answer.status, await answer.text()) == (200, "/* é */ io = 1;")
                assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
                assert answer.headers["Access-Control-Allow-Origin"] == "https://page.example"
                tag = answer.headers["ETag"]
            for known, status in ((tag, 304), (f'"other", W/{tag}', 304), ("*", 304), ('"other"', 200)):
                async with http.get(url, headers={"If-None-Match": known}) as answer:
                    assert (answer.status, answer.headers["ETag"]) == (status, tag)
            async with http.head(url) as answer:
                assert (answer.status, await answer.read()) == (200, b"")
            async with http.post(url) as answer:
                assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


async def test_no_client_file_is_served_where_none_is_given() -> None:
    """The path has nothing, and the answer names where clients connect."""
    async with gateway(socketio=True) as pod, aiohttp.ClientSession() as http:
        answer = await http.get(f"http://127.0.0.1:{pod.port}/socket.io/socket.io.js")
        assert answer.status == 404


def test_a_client_file_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    """The message names the setting and the file."""
    file = tmp_path / "client.js"
    file.touch()
    settings = load({"FORESTAY_JWT_SECRET": SECRET, "FORESTAY_SOCKETIO_CLIENT": str(file)})
    file.unlink()
    with pytest.raises(SettingsError, match=r"FORESTAY_SOCKETIO_CLIENT: cannot read .*client.js: No such file"):
        prepare(settings, Supervisor(random.uniform))
