"""Parses the text of a scrape."""

import re
from collections.abc import Mapping
from typing import Any

import aiohttp
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

TEXT = "text/plain"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"

_LABEL = re.compile(r'(\w+)="([^"]*)"')


class Scrape:
    """The samples of one scrape, by name and labels."""

    def __init__(self, body: bytes, content_type: str) -> None:
        self.text = body.decode()
        parse = openmetrics if content_type.startswith("application/openmetrics-text") else prometheus
        self._samples = {_key(one.name, one.labels): one for family in parse(self.text) for one in family.samples}

    def __getitem__(self, series: str) -> float:
        """The value of a series, written as in a query: `name` or `name{label="value"}`."""
        name, _, labels = series.partition("{")
        return float(self._samples[_key(name, dict(_LABEL.findall(labels)))].value)

    @property
    def series(self) -> set[str]:
        return set(self._samples)

    @property
    def names(self) -> set[str]:
        """The names of the series, without labels."""
        return {one.name for one in self._samples.values()}

    def exemplars(self, name: str) -> list[Mapping[str, str]]:
        """The labels of the exemplars of the series `name`."""
        return [one.exemplar.labels for one in self._samples.values() if one.name == name and one.exemplar]


async def scrape(port: int, accept: str = TEXT) -> Scrape:
    """Scrapes the internal port `port`."""
    async with aiohttp.request("GET", f"http://127.0.0.1:{port}/metrics", headers={"Accept": accept}) as response:
        assert response.status == 200
        return Scrape(await response.read(), response.headers["Content-Type"])


def _key(name: str, labels: Mapping[str, Any]) -> str:
    return name + (
        "{" + ",".join(f'{label}="{value}"' for label, value in sorted(labels.items())) + "}" if labels else ""
    )
