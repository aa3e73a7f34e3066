"""The keys of development: made once, the same for all, and for nobody else."""

import asyncio
import stat
from pathlib import Path

import pytest

from forestay.settings.dev_keys import NAMES, NoDevKeysError, dev_key, folder


def place(tmp_path: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path / "state")}


def test_a_key_is_made_once(tmp_path: Path) -> None:
    """Each name has its own key, which stays, and only its owner may read the file and look into the folder."""
    environ = place(tmp_path)
    keys = {name: dev_key(name, environ) for name in NAMES}
    assert keys == {name: dev_key(name, environ) for name in NAMES}
    assert len(set(keys.values())) == len(NAMES)
    assert all(len(key) >= 64 for key in keys.values())
    assert stat.S_IMODE(folder(environ).stat().st_mode) == 0o700
    files = sorted(folder(environ).iterdir())
    assert [file.name for file in files] == ["api-key", "jwt-secret"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


async def test_all_who_make_a_key_at_once_get_the_same(tmp_path: Path) -> None:
    """Of many at the same time one makes it, and the others read what that one has made, whole."""
    keys = await asyncio.gather(*(asyncio.to_thread(dev_key, "jwt_secret", place(tmp_path)) for _ in range(16)))
    assert len(set(keys)) == 1


def test_a_key_that_is_no_secret_is_refused(tmp_path: Path) -> None:
    """One that others can read, one that is cut and one behind a link are refused, and none is overwritten."""
    environ = place(tmp_path)
    dev_key("jwt_secret", environ)
    file = folder(environ) / "jwt-secret"
    file.chmod(0o644)
    with pytest.raises(NoDevKeysError, match="others can read or change this key; remove it"):
        dev_key("jwt_secret", environ)
    file.chmod(0o600)
    file.write_text("short\n")
    with pytest.raises(NoDevKeysError, match="too short; remove it"):
        dev_key("jwt_secret", environ)
    file.unlink()
    elsewhere = tmp_path / "elsewhere"
    file.symlink_to(elsewhere)
    with pytest.raises(NoDevKeysError, match="jwt-secret"):
        dev_key("jwt_secret", environ)
    assert not elsewhere.exists()


def test_a_folder_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    """The error has the path and the reason. A relative folder does not count."""
    (tmp_path / "state").write_text("a file")
    with pytest.raises(NoDevKeysError, match=r"state/forestay/dev/jwt-secret: .+; make the folder writable"):
        dev_key("jwt_secret", place(tmp_path))
    assert folder({"XDG_STATE_HOME": "state"}) == Path.home() / ".local/state/forestay/dev"
