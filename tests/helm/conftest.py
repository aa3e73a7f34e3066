"""Runs one Helm for all tests of the chart."""

from collections.abc import Iterator

import pytest

from helm.rendering import close


@pytest.fixture(scope="session", autouse=True)
def _helm() -> Iterator[None]:
    yield
    close()
