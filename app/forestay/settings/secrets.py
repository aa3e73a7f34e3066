"""Finds secrets: each in its variable, in a file that a variable names, or in a folder with one file for each."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

PREFIX: Final = "FORESTAY_"

SECRETS: Final = (
    "bus_url",
    "bus_secret",
    "bus_secret_previous",
    "jwt_secret",
    "jwt_secret_previous",
    "jwt_public_key",
    "api_key",
    "api_key_previous",
    "hooks_secret",
    "hooks_secret_previous",
    "webhooks_secret",
    "webhooks_secret_previous",
)
"""Settings that can also come from a file. Their values are never repeated in an error."""

FOLDER: Final = "secrets_dir"
"""The setting that names the folder. The file of `jwt_secret` in it is `jwt-secret`. Other files are ignored."""


def variable_of(name: str) -> str:
    """The environment variable of the setting `name`."""
    return PREFIX + name.upper()


def places_of(name: str, source: Mapping[str, str]) -> dict[str, Path | None]:
    """Where `source` has the secret `name`: the name of each place, and its file; None for the variable itself."""
    variable = variable_of(name)
    places: dict[str, Path | None] = {}
    if source.get(variable):
        places[variable] = None
    if path := source.get(f"{variable}_FILE"):
        places[f"{variable}_FILE"] = Path(path)
    if folder := source.get(variable_of(FOLDER)):
        path_there = Path(folder) / name.replace("_", "-")
        if path_there.exists():
            places[f"{path_there.name} in {variable_of(FOLDER)}"] = path_there
    return places


def read_secret(name: str, source: Mapping[str, str]) -> str | None:
    """The secret `name`, without white space around it; None where there is none. Raises ValueError."""
    places = places_of(name, source)
    if len(places) > 1:
        raise ValueError(f"{' and '.join(places)} are both set; keep one")
    for place, path in places.items():
        if path is None:
            return source[place]
        try:
            return path.read_text(encoding="utf-8").strip()
        except OSError as error:
            message = f"{place}: cannot read {path}: {error.strerror}; check the path and the mount"
            raise ValueError(message) from None
        except UnicodeDecodeError:
            raise ValueError(f"{place}: {path} is not text; write the secret as UTF-8") from None
    return source.get(variable_of(name))
