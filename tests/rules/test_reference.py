"""The reference pages have one row for each setting, code and metric, and no other rows."""

import re

from forestay.core.ports.tasks import NAMES
from forestay.ops.metrics.counts import Counts
from forestay.ops.metrics.metrics import Metrics
from forestay.protocol.codes import CloseCode, ErrorCode
from forestay.settings.secrets import PREFIX, variable_of
from forestay.settings.settings import Settings, load
from tests.support.readings import readings
from tests.support.repository import ROOT, codes, rows

# Cells for a setting without a default.
EMPTY = ("", "—", "empty", "none", "unset")


def test_every_setting_has_a_row() -> None:
    """docs/settings.md lists each environment variable that the gateway reads, and no other."""
    assert set(_settings()) == {variable_of(name) for name in Settings.model_fields}


def test_the_default_shown_is_the_default_used() -> None:
    """A setting's row shows its real default, written as a user would set it."""
    shown = {variable: "" if default in EMPTY else default for variable, default in _settings().items()}
    assert load(shown).model_dump() == load({}).model_dump()


def test_every_error_code_has_a_row() -> None:
    """docs/protocol.md lists each error code and no other, in the tables about codes."""
    assert {code for code in _codes() if not code.isdigit()} == {code.value for code in ErrorCode}


def test_every_close_code_has_a_row() -> None:
    """docs/protocol.md lists each close code of ours, and may list others that a client can get."""
    assert {str(code.value) for code in CloseCode} <= _codes()


def test_every_metric_has_a_row() -> None:
    """docs/operating.md lists each metric of /metrics and no other."""
    listed = {code.split("{")[0] for row in rows("docs/operating.md") for code in codes(row[0])}
    assert {code for code in listed if code.startswith("forestay_")} == _metrics()


def test_every_task_is_named() -> None:
    """docs/operating.md names each background task: the name is a label, and the reason of a probe."""
    page = (ROOT / "docs/operating.md").read_text(encoding="utf-8")
    assert set(NAMES) <= set(re.findall(r"`(\w+)`", page))


def _settings() -> dict[str, str]:
    """The defaults on the page by variable. A row is about the first variable in its first cell."""
    return {
        variables[0]: (codes(row[1]) or [row[1]])[0]
        for row in rows("docs/settings.md")
        if (variables := codes(row[0])) and variables[0].startswith(PREFIX)
    }


def _codes() -> set[str]:
    """The codes in the protocol's tables."""
    return {code for row in rows("docs/protocol.md", r"(error |close )?codes?") for code in codes(row[0])}


def _metrics() -> set[str]:
    """The names after `# TYPE` in the metrics."""
    text, _ = Metrics(Counts(), readings(0, 0)).render("text/plain")
    return set(re.findall(r"^# TYPE (forestay_\w+)", text.decode(), re.MULTILINE))
