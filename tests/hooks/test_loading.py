"""A module of hooks is loaded and checked at the start: what is wrong ends it, with the place and what to do."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from forestay.core.ports.hook_events import Caller, JoinEvent
from forestay.core.ports.hooks import Allow, HookFailed
from forestay.core.rules.hooks import Hook
from forestay.hooks.loading import HookModule, HookModuleError, load
from forestay.hooks.python_form import PythonHooks

JOIN = JoinEvent(Caller("alice"), "a")
GOOD = "from forestay.hooks import Allow\nasync def join(event):\n    return Allow()\n"


def written(tmp_path: Path, text: str, name: str = "hooks.py") -> str:
    file = tmp_path / name
    file.write_text(text)
    return str(file)


def problems(named: str) -> list[str]:
    """What is wrong with the module."""
    with pytest.raises(HookModuleError) as failed:
        load(named)
    return failed.value.problems


def test_the_functions_of_a_module_are_found(tmp_path: Path) -> None:
    """Those that are hooks. Others, and what it imports, are its own business."""
    text = GOOD + "from forestay.hooks import Refuse as leave_it\nasync def _broadcasts(x, y): ...\ndef helper(): ...\n"
    assert list(load(written(tmp_path, text)).functions) == [Hook.JOIN]


def test_a_module_can_import_what_lies_beside_it(tmp_path: Path) -> None:
    """As a ConfigMap with several files does."""
    written(tmp_path, "LIMIT = 3\n", "limits_beside.py")
    assert load(written(tmp_path, "from limits_beside import LIMIT\n" + GOOD)).functions


def test_a_module_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that is installed in the image."""
    (tmp_path / "shop").mkdir()
    written(tmp_path / "shop", "", "__init__.py")
    written(tmp_path / "shop", GOOD, "rules.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load("shop.rules").functions


def test_decorated_functions_and_callable_objects_are_hooks(tmp_path: Path) -> None:
    """Where what is called is async."""
    text = (
        "import functools\n"
        "def logged(function):\n"
        "    @functools.wraps(function)\n"
        "    def call(event):\n"
        "        return function(event)\n"
        "    return call\n"
        "@logged\n"
        "async def join(event): ...\n"
        "class Broadcast:\n"
        "    async def __call__(self, event): ...\n"
        "broadcast = Broadcast()\n"
    )
    assert set(load(written(tmp_path, text)).functions) == {Hook.JOIN, Hook.BROADCAST}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("x = 1\ndef join(event): ...\n", 2, ["join is not async", "async def join(event)"]),
        ("async def join(): ...\n", 1, ["does not take one argument"]),
        ("async def join(event, room): ...\n", 1, ["does not take one argument"]),
        ("async def join(*, event): ...\n", 1, ["does not take one argument"]),
        ("async def joins(event): ...\n", 1, ["joins is no hook", "did you mean join", "begin its name with _"]),
        ("\n\nasync def on_broadcast(event): ...\n", 3, ["did you mean broadcast"]),
        ("async def Connect(event): ...\n", 1, ["did you mean connect"]),
        ("def (\n", 1, ["correct this line"]),
        ("import os\nraise RuntimeError('no database')\n", 2, ["RuntimeError", "no database", "correct it there"]),
        ("import sys\nsys.exit(3)\n", 2, ["SystemExit"]),
        ("class Panic(BaseException): ...\nraise Panic\n", 2, ["Panic"]),
        ("import json\njson.loads('{')\n", None, ["JSONDecodeError"]),
        ("import no_such_library\n", 1, ["no_such_library", "install it"]),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, line: int | None, words: list[str]) -> None:
    """The file, the line, and the remedy."""
    named = written(tmp_path, text)
    [problem] = problems(named)
    if line is not None:
        assert problem.startswith(f"{named}:{line}: ")
    for word in words:
        assert word in problem


def test_a_hook_that_is_no_function_is_named(tmp_path: Path) -> None:
    """It has no line, so the file is named."""
    [problem] = problems(written(tmp_path, "join = 3\n"))
    assert "join is of type int" in problem


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    """One line each."""
    assert len(problems(written(tmp_path, "def join(event): ...\nasync def call(): ...\n"))) == 2


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("/nowhere/hooks.py", ["no such file", "check the mount"]),
        ("no_such_module_here", ["no such module", "path of a file"]),
        ("..hooks", ["a relative name", "whole name of a module"]),
        ("json", ["has no hook", "connect, join"]),
        ("/tmp", ["a folder"]),
    ],
)
def test_a_module_that_is_not_there_is_named(named: str, words: list[str]) -> None:
    """With what to give in its place."""
    [problem] = problems(named)
    for word in (named, *words):
        assert word in problem


ODD = """
class Panic(BaseException): ...

class Unreadable(Exception):
    def __str__(self):
        raise SystemExit(1)
"""


@pytest.mark.parametrize(
    "raised",
    [
        *("KeyError('user')", "SystemExit(1)", "KeyboardInterrupt", "AssertionError"),
        *("Panic('a library in Rust')", "BaseExceptionGroup('all', [SystemExit()])", "Unreadable"),
    ],
)
async def test_what_a_hook_raises_names_its_line(tmp_path: Path, raised: str) -> None:
    """The cause for the log: what was raised, and where in the module. Nothing of it ends the pod."""
    named = written(tmp_path, f"async def join(event):\n    raise {raised}\n{ODD}")
    with pytest.raises(HookFailed, match=rf"{raised.partition('(')[0]}: .*\({re.escape(named)}:2\)") as failed:
        await PythonHooks(load(named)).ask(JOIN)
    assert failed.value.failure == "raised"


async def test_a_hook_is_called_with_its_event(tmp_path: Path) -> None:
    """And its answer is what the form returns."""
    form = PythonHooks(load(written(tmp_path, GOOD)))
    assert isinstance(await form.ask(JOIN), Allow)
    await form.close()


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("return 1", {Hook.JOIN}),
        ("return [x for x in event.rooms]", {Hook.JOIN}),
        ("return await event", set()),
        ("async with event: pass", set()),
        ("async for each in event: pass", set()),
        ("return [each async for each in event]", set()),
        ("def later():\n        return asyncio.sleep(1)\n    return later()", {Hook.JOIN}),
    ],
)
def test_it_is_known_which_hooks_never_wait(tmp_path: Path, body: str, found: set[Hook]) -> None:
    """Those without `await` in their code: they need no task."""
    module = load(written(tmp_path, f"import asyncio\nasync def join(event):\n    {body}\n"))
    assert module.immediate == found


async def test_a_hook_that_is_cancelled_is_no_failure_of_its_own(tmp_path: Path) -> None:
    """The cancellation goes on to where it came from."""
    form = PythonHooks(load(written(tmp_path, "import asyncio\nasync def join(event):\n    await asyncio.sleep(60)\n")))
    task = asyncio.create_task(form.ask(JOIN))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def check(tmp_path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """`forestay check` with these settings."""
    environ = {f"FORESTAY_{name.upper()}": value for name, value in variables.items()}
    command = [sys.executable, "-m", "forestay", "check"]
    secret = {"FORESTAY_JWT_SECRET": "x" * 40, "PATH": "", "PYTHONPATH": ":".join(sys.path)}
    return subprocess.run(command, cwd=tmp_path, env=secret | environ, capture_output=True, text=True, check=False)


def test_check_refuses_what_the_start_refuses(tmp_path: Path) -> None:
    """With the variable, the place and the remedy, and with status 2."""
    done = check(tmp_path, hooks_module=written(tmp_path, "def join(event): ...\n"))
    assert done.returncode == 2
    assert re.search(r"FORESTAY_HOOKS_MODULE: .*hooks\.py:1: join is not async; write: async def join", done.stderr)


def test_check_warns_of_hooks_that_are_never_asked(tmp_path: Path) -> None:
    """A function that no setting and no room asks is most often a mistake."""
    text = GOOD + "async def connect(event): ...\nasync def call(event): ...\n"
    done = check(tmp_path, hooks_module=written(tmp_path, text), hooks_ask="call")
    warnings = [line for line in done.stdout.splitlines() if "never asked" in line]
    assert (done.returncode, len(warnings)) == (0, 2)
    assert "FORESTAY_HOOKS_ASK leaves it out" in warnings[0]
    assert 'hooks = ["join"]' in warnings[1]


@pytest.mark.parametrize(
    ("settings", "rooms", "words"),
    [
        ({"hooks_url": "http://app/hooks", "hooks_secret": "whsec_" + "A" * 32}, "", ["both set", "take one"]),
        ({"hooks_ask": "connect join"}, "", ["join belong to rooms", "policy"]),
        ({}, '[[rooms]]\npattern = "a"\nhooks = ["broadcast"]\n', ["async def broadcast(event)"]),
        ({}, '[[rooms]]\npattern = "a"\nhooks = ["connect"]\n', ["'hooks' is a list of join, broadcast, leave"]),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    tmp_path: Path, settings: dict[str, str], rooms: str, words: list[str]
) -> None:
    """Each with the names of the settings that it is about."""
    if rooms:
        settings |= {"rooms_file": written(tmp_path, rooms, "rooms.toml")}
    done = check(tmp_path, hooks_module=written(tmp_path, GOOD), **settings)
    assert done.returncode == 2
    for word in words:
        assert word in done.stderr


def test_rooms_with_hooks_need_somebody_who_is_asked(tmp_path: Path) -> None:
    """Else nobody would decide, and nobody would notice."""
    rooms = written(tmp_path, '[[rooms]]\npattern = "a"\nhooks = ["join"]\n', "rooms.toml")
    done = check(tmp_path, rooms_file=rooms)
    assert done.returncode == 2
    assert "neither FORESTAY_HOOKS_MODULE nor FORESTAY_HOOKS_URL is set" in done.stderr


def test_a_url_needs_its_secret(tmp_path: Path) -> None:
    """Questions are signed."""
    done = check(tmp_path, hooks_url="http://app/hooks")
    assert done.returncode == 2
    assert "FORESTAY_HOOKS_SECRET" in done.stderr


def test_the_module_keeps_its_file_for_the_log(tmp_path: Path) -> None:
    """That is what causes name."""
    module: HookModule = load(written(tmp_path, GOOD))
    assert module.file == str(tmp_path / "hooks.py")
