"""The scenario runner, tested with a simple client: correct steps pass, and others fail with a reason."""

import re
import sys
from pathlib import Path

import pytest

from clients.conformance import matching, runner
from clients.conformance.runner import Outcome
from clients.conformance.scenario import VERBS, WEBSOCKET, Malformed, Scenario, read, scenarios
from forestay.protocol.codes import ABNORMAL_CLOSURE, CloseCode, Verdict, verdict
from tests.support.repository import blocks, codes, rows

NAIVE = (sys.executable, str(Path(__file__).with_name("naive_adapter.py")))
README = "clients/conformance/README.md"
ALL = {scenario.name: scenario for scenario in scenarios()}


async def play(name: str) -> Outcome:
    return await runner.run(ALL[name], NAIVE)


@pytest.mark.parametrize("name", ["join", "publish", "publish-refused-forbidden"])
async def test_what_a_client_does_right_holds(name: str) -> None:
    """A scenario passes if the client does what it shows."""
    assert await play(name) == Outcome(runner.Verdict.HOLDS)


async def test_a_difference_is_shown_where_it_is() -> None:
    """A message that differs fails the scenario, with the field and the received value."""
    outcome = await play("resync-slow")
    assert outcome.verdict is runner.Verdict.FAILS
    assert "payload: should be 10, is 9" in outcome.words
    assert '"reason": "slow"' in outcome.words


async def test_what_does_not_come_is_waited_for_and_named() -> None:
    """A missing event fails the scenario after a timeout, with the step that it belongs to."""
    outcome = await play("close-comes-back-1001")
    assert outcome.verdict is runner.Verdict.FAILS
    assert re.search(r"step \d+: expect = .*'connecting'", outcome.words)
    assert "accept = 2" not in outcome.words


async def test_what_must_not_come_fails(tmp_path: Path) -> None:
    """After `never` the event fails the scenario."""
    outcome = await _written(
        tmp_path,
        'given = "chatting"',
        '{never = {on = "message", payload = "<any>"}}, {say = {type = "broadcast", room = "chat.a", payload = 1}},'
        '{say = {type = "resync", room = "chat.a", payload = {reason = "slow"}}},'
        '{expect = {on = "resync", room = "chat.a"}}',
    )
    assert outcome.verdict is runner.Verdict.FAILS
    assert "came, and must not" in outcome.words


async def test_an_unexpected_message_fails(tmp_path: Path) -> None:
    """A message that the scenario does not mention fails it, from the client and from the SDK."""
    heard = await _written(
        tmp_path,
        'given = "chatting"',
        '{say = {type = "broadcast", room = "chat.a", payload = 1}}, {pass_ms = 200}',
    )
    scenario = await _written(
        tmp_path, "", '{tell = {do = "publish", room = "chat.a", payload = 1, as = "p"}}, {pass_ms = 200}'
    )
    assert "knows nothing of it" in heard.words
    assert "'broadcast'" in scenario.words


async def test_a_feature_that_an_sdk_lacks_is_told_by_name() -> None:
    """An event `unsupported` is reported by its feature, as neither a failure nor a success."""
    assert await play("network-online") == Outcome(runner.Verdict.UNSUPPORTED, "network")


async def test_a_scenario_for_other_sdks_is_not_played() -> None:
    """A scenario for clients that cannot see the handshake's status is not played to one that can."""
    assert (await play("handshake-unseen")).verdict is runner.Verdict.NOT_MEANT


async def test_an_adapter_that_ends_fails() -> None:
    """An adapter that exits is reported as such, and not as a slow one."""
    outcome = await runner.run(ALL["join"], (sys.executable, "-c", "pass"))
    assert outcome.words.startswith("the adapter ended")


@pytest.mark.parametrize("step", ["{shout = 1}", '{expect = {on = "x"}, loudly = true}'])
def test_an_unknown_step_is_refused(tmp_path: Path, step: str) -> None:
    """An unknown verb is an error in the scenario, and not a step that always passes."""
    path = tmp_path / "odd.toml"
    path.write_text(f'title = "odd"\nsteps = [{step}]')
    with pytest.raises(Malformed, match=r"odd\.toml"):
        list(read(path))


def test_variables_take_the_first_value_and_hold_to_it() -> None:
    """`<id>` takes the first value and must match later ones; a failed match sets no variable."""
    known: matching.Known = {}
    assert matching.differences({"id": "<id>", "n": 1}, {"id": "7", "n": 2}, known) == ["n: should be 1, is 2"]
    assert known == {}
    assert matching.differences({"id": "<id>", "gone": "<absent>"}, {"id": "7", "more": 1}, known) == []
    assert matching.differences({"id": "<id>"}, {"id": "8"}, known) == ["id: should be '7', is '8'"]
    assert matching.filled({"id": "<id>", "none": "<null>"}, known) == {"id": "7", "none": None}


def test_the_page_has_every_verb(tmp_path: Path) -> None:
    """The README explains exactly the verbs of the runner, and its example is a valid scenario."""
    explained = [word.split(" =")[0] for row in rows(README, "verb") for word in codes(row[0])]
    assert sorted(explained) == sorted(VERBS)
    [example] = blocks(README, "toml")
    (tmp_path / "example.toml").write_text(example)
    [scenario] = read(tmp_path / "example.toml")
    assert scenario.title == ALL["resume"].title


def test_the_page_names_what_is_not_played_over_streams() -> None:
    """The README's table has exactly the scenarios that are for WebSockets alone, each with its reason."""
    named = [name for row in rows(README, "Scenario") for name in codes(row[0])]
    alone = {one.name.removesuffix(f"-{'-'.join(map(str, one.case.values()))}") for one in scenarios() if _alone(one)}
    assert sorted(named) == sorted(alone)


def _alone(scenario: Scenario) -> bool:
    return scenario.over == (WEBSOCKET,) and "transports" not in scenario.options


def test_every_close_code_is_played() -> None:
    """Each close code of the page is in the scenario of its verdict."""
    listed = {int(code) for row in rows("docs/protocol.md", r"close codes?") for code in codes(row[0])}
    assert listed >= set(CloseCode)
    played = {
        Verdict.RECONNECT: _codes_of("close-comes-back") | {ABNORMAL_CLOSURE},
        Verdict.RENEW_TOKEN: _codes_of("close-4401"),
        Verdict.STOP: _codes_of("close-stops"),
    }
    assert {code: [one for one in played if code in played[one]] for code in listed} == {
        code: [verdict(code)] for code in listed
    }
    assert {verdict(code) for code in played[Verdict.STOP]} == {Verdict.STOP}


def _codes_of(file: str) -> set[int]:
    return {scenario.case["code"] for scenario in ALL.values() if scenario.name.startswith(f"{file}-")}


async def _written(folder: Path, head: str, steps: str) -> Outcome:
    path = folder / "written.toml"
    path.write_text(f'title = "written by a test"\n{head}\nsteps = [{steps}]')
    [scenario] = read(path)
    assert isinstance(scenario, Scenario)
    return await runner.run(scenario, NAIVE)
