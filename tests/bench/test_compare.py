"""Two checkouts are compared: each runs its own code, and the rounds decide."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.checkouts import LOCK, ROOT, Unusable, checked_out, recognise, runnable
from bench.compare import Outcome, arguments, show, terms
from bench.paired import FEWEST, More, more
from bench.parts import USUAL, Part, chosen
from bench.rounds import Figures
from bench.servers import Running
from bench.sitting import Turns, Work


def no_work(server: Running) -> Work:
    raise NotImplementedError


def outcome(ratio: More, verdict: str) -> Outcome:
    part = Part("fan-out at 20/s", "us CPU/delivery", no_work, Turns(1), 2)
    rounds: dict[str, list[Figures]] = {
        "abc1234": [{part.figure: 2.0}, {part.figure: 4.0}, {part.figure: 3.0}],
        "this tree": [{part.figure: 3.0}, {part.figure: 6.0}, {part.figure: 4.5}],
    }
    return Outcome(part, rounds, verdict, ratio)


def parts(*options: str) -> list[Part]:
    given = arguments(["HEAD", *options])
    return chosen(given.bench or USUAL, terms(given))


def package(folder: Path, name: str = "app") -> Path:
    """A gateway's package in `folder`, as small as can be."""
    made = folder / name
    made.mkdir(parents=True)
    for module in ("__init__", "__main__", "cli"):
        (made / f"{module}.py").touch()
    return made


def git(folder: Path, *arguments: str) -> str:
    author = ["-c", "user.name=bench", "-c", "user.email=bench@example.com"]
    done = subprocess.run(["git", "-C", str(folder), *author, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository with one commit: a package of the older layout, and a lock."""
    root = tmp_path / "repository"
    package(root)
    (root / LOCK).parent.mkdir()
    (root / LOCK).write_text("# nothing\n")
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "first")
    return root


@pytest.mark.parametrize(("name", "below"), [("forestay", "app"), ("app", "")])
def test_each_layout_is_recognised_by_its_package(tmp_path: Path, name: str, below: str) -> None:
    """The package is `forestay` below app/, or `app` at the top; the folder that holds it goes on the path."""
    package(tmp_path / below, name)
    found = recognise(tmp_path)
    assert (found.package, found.sources) == (name, tmp_path / below)
    assert found.environ()["PYTHONPATH"] == str(tmp_path / below)
    assert found.command("serve")[1:] == ["-P", "-m", name, "serve"]


def test_a_folder_without_a_gateway_is_refused(tmp_path: Path) -> None:
    """The message names both places that were looked at."""
    with pytest.raises(Unusable, match=r"app/forestay/__main__\.py and no app/__main__\.py"):
        recognise(tmp_path)


@pytest.mark.parametrize(("name", "below"), [("forestay", "app"), ("app", "")])
def test_a_checkout_runs_its_own_code(tmp_path: Path, name: str, below: str) -> None:
    """Its package wins over the one that is installed in the environment."""
    package(tmp_path / below, name)
    recognise(tmp_path).verify()


def test_a_checkout_that_would_run_other_code_is_refused(tmp_path: Path) -> None:
    """One module from elsewhere is enough, and the message says where from."""
    elsewhere = package(tmp_path / "elsewhere")
    made = package(tmp_path / "checkout")
    (made / "__init__.py").write_text(f"__path__.insert(0, {str(elsewhere)!r})\n")
    with pytest.raises(Unusable, match=r"app\.cli was imported from .*elsewhere"):
        recognise(tmp_path / "checkout").verify()


def test_a_checkout_that_cannot_be_imported_is_refused(tmp_path: Path) -> None:
    """The message carries the interpreter's own words."""
    (package(tmp_path) / "cli.py").write_text("import no_such_module\n")
    with pytest.raises(Unusable, match="No module named 'no_such_module'"):
        recognise(tmp_path).verify()


def test_a_worktree_has_the_revision_and_not_what_was_changed_since(repository: Path) -> None:
    """It is gone after the block, for git too."""
    (repository / "app" / "cli.py").write_text("changed = True\n")
    with checked_out("HEAD", repository) as found:
        assert (found.path / "app" / "cli.py").read_text() == ""
        assert str(found.path) in git(repository, "worktree", "list")
    assert not found.path.exists()
    assert len(git(repository, "worktree", "list").splitlines()) == 1


def test_a_worktree_is_removed_after_an_error_too(repository: Path) -> None:
    """Whatever is raised in the block."""
    with pytest.raises(KeyboardInterrupt), checked_out("HEAD", repository):
        raise KeyboardInterrupt
    assert len(git(repository, "worktree", "list").splitlines()) == 1


def test_a_revision_without_a_gateway_leaves_no_worktree(repository: Path) -> None:
    """It is refused, and what was checked out is removed."""
    git(repository, "rm", "-r", "--quiet", "app")
    git(repository, "commit", "--quiet", "--message", "second")
    with pytest.raises(Unusable, match="has no"), checked_out("HEAD", repository):
        pass
    assert len(git(repository, "worktree", "list").splitlines()) == 1


@pytest.mark.parametrize("revision", ["nothing", "--help"])
def test_an_unknown_revision_is_named(repository: Path, revision: str) -> None:
    """Also one that looks like an option."""
    with pytest.raises(Unusable, match=f"{revision} is not a commit"), checked_out(revision, repository):
        pass


def test_equal_locks_share_the_environment(tmp_path: Path) -> None:
    """Nothing is installed then."""
    for name in ("one", "two"):
        package(tmp_path / name)
        (tmp_path / name / LOCK).parent.mkdir()
        (tmp_path / name / LOCK).write_text("# nothing\n")
    with runnable(recognise(tmp_path / "one"), recognise(tmp_path / "two")) as ready:
        assert [checkout.python for checkout in ready] == [Path(sys.executable)] * 2


def test_different_locks_have_an_environment_each(tmp_path: Path) -> None:
    """Both sides then have what their own lock names, and nothing else."""
    for name in ("one", "two"):
        package(tmp_path / name)
        (tmp_path / name / LOCK).parent.mkdir()
        (tmp_path / name / LOCK).write_text(f"# {name}\n")
    with runnable(recognise(tmp_path / "one"), recognise(tmp_path / "two")) as ready:
        pythons = {checkout.python for checkout in ready}
        assert len(pythons) == 2
        assert Path(sys.executable) not in pythons


def test_rounds_within_the_limit_hold() -> None:
    """Fifteen ratios around 1.01: the limit of 2 % is inside their interval, which is 2 % wide."""
    ratios = [1.0, 1.0, 1.0, 1.0, 1.005, 1.005, 1.01, 1.01, 1.01, 1.015, 1.015, 1.02, 1.02, 1.02, 1.02]
    found = more({"a": [{"cpu": 1.0}] * 15, "b": [{"cpu": ratio} for ratio in ratios]}, "cpu", "a")["b"]
    assert [round(value, 6) for value in (*found, found.width)] == [1, 0, 2, 2]
    assert found.judged(2, 4) == "holds"


def test_an_interval_above_the_limit_does_not_hold() -> None:
    """However wide it is; one that is wide and touches the limit says nothing."""
    assert More(4, 2.1, 5).judged(2, 4) == "does not hold"
    assert More(9, 2.1, 30).judged(2, 4) == "does not hold"
    assert More(4, 1.9, 5.8).judged(2, 4) == "holds"
    assert More(4, 1.9, 6).judged(2, 4) == "too wide"
    assert More(-9, -20, -3).judged(2, 4) == "too wide"


def test_the_fewest_rounds_are_enough_for_an_interval() -> None:
    """With one less there is none."""
    same: list[Figures] = [{"cpu": 1.0}]
    assert more({"a": same * FEWEST, "b": same * FEWEST}, "cpu", "a")["b"] == (0, 0, 0)
    assert more({"a": same * (FEWEST - 1), "b": same * (FEWEST - 1)}, "cpu", "a")["b"].judged(2, 4) == "too wide"


def test_the_table_has_a_line_for_each_figure(capsys: pytest.CaptureFixture[str]) -> None:
    """The medians, the ratio, its interval, the rounds, the limit and the verdict."""
    show([outcome(More(1.2, -0.5, 2.9), "holds")])
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.split("  ")[0] == "fan-out at 20/s, us CPU/delivery"
    assert line.split()[-9:] == ["3.00", "4.50", "1.012", "0.995", "to", "1.029", "3", "1.02", "holds"]


def test_an_interval_without_an_end_is_null_in_the_file() -> None:
    """JSON has no word for infinity."""
    found = outcome(More(50, -100, float("inf")), "too wide").as_json()
    assert found["interval"] == [0, None]
    assert json.loads(json.dumps(found, allow_nan=False))["medians"] == {"abc1234": 3.0, "this tree": 4.5}


def test_all_figures_are_compared_unless_some_are_named() -> None:
    """Fan-out at each rate, and each part with the limit of its kind."""
    everything = parts("--cpu-limit", "1", "--memory-limit", "5")
    assert [(part.label, part.limit) for part in everything] == [
        *((f"fan-out at {rate}/s", 1.0) for rate in (20, 100, 500)),
        *(("inbound", 1.0), ("connect", 1.0), ("idle", 5.0)),
    ]
    some = parts("--bench", "idle", "--bench", "fanout", "--rates", "7")
    assert [part.label for part in some] == ["idle", "fan-out at 7/s"]


def test_too_few_rounds_are_refused_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Not after minutes of rounds that can have no interval."""
    with pytest.raises(SystemExit):
        arguments(["HEAD", "--rounds", "3", "--most-rounds", "5"])
    assert "--most-rounds is at least 6" in capsys.readouterr().err


@pytest.mark.timeout(300)
def test_this_tree_is_compared_with_its_last_commit(tmp_path: Path) -> None:
    """Both serve, side by side; a quick run judges nothing and leaves no worktree."""
    if not (ROOT / ".git").exists():
        pytest.skip("this tree is not in git")
    file = tmp_path / "found.json"
    command = [sys.executable, "-m", "bench", "compare", "HEAD", "--quick", "--bench", "fanout", "--rates", "20"]
    environ = os.environ | {"TMPDIR": str(tmp_path)}
    command += ["--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    [figure] = found["figures"]
    assert set(figure["rounds"]) == set(found["sides"])
    assert [side["lost"] for rounds in figure["rounds"].values() for side in rounds] == [0, 0]
    assert figure["verdict"] == "not judged"
    assert str(tmp_path) not in git(ROOT, "worktree", "list")
