"""The operators' page in a real Chromium, with several pods: when its data is painted, and what each pod pays."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, sync_playwright

from bench.checkouts import Unusable
from bench.crowd import crowd_at
from bench.rounds import Figures
from bench.servers import Running, on_redis, running
from bench.swarms import API_KEY
from tests.support.browser import FLAGS, chromium
from tests.support.local_redis import QUICK, RedisServer

# Gives the key, and resolves when the browser has painted a row for each pod: milliseconds since the request for the
# page until the gate was painted, and from the key to the rows.
_PAINTED = """async ([key, pods]) => {
  const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const gate = performance.getEntriesByName("first-contentful-paint")[0].startTime;
  const field = document.querySelector("#gate-key");
  field.value = key;
  const begun = performance.now();
  field.form.requestSubmit();
  while (document.querySelectorAll("#view-body tbody tr").length < pods) await painted();
  await painted();
  return [gate, performance.now() - begun];
}"""


@contextmanager
def fleet(name: str, pods: int, **environ: str) -> Iterator[Sequence[Running]]:
    """So many pods of the server called `name` on one Redis."""
    with TemporaryDirectory() as folder, ExitStack() as stack:
        redis = RedisServer(Path(folder), *QUICK)
        redis.start()
        stack.callback(redis.close)
        yield [stack.enter_context(running(name, **environ, **on_redis(name, redis.url))) for _ in range(pods)]


@contextmanager
def page() -> Iterator[Page]:
    """A page of a browser without a cache. Raises Unusable where there is no browser."""
    path = chromium()
    if path is None:
        raise Unusable("there is no Chromium on PATH, and CHROMIUM names none")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser.new_page()
        browser.close()


def seen(name: str, *, pods: int, connections: int, seconds: float, environ: dict[str, str]) -> Figures:
    """The page at the first of the pods, whose quiet connections are spread over all, ten in each room."""
    with fleet(name, pods, **environ) as running_pods, page() as view:
        crowds = [crowd_at(pod.port) for pod in running_pods]
        for number in range(connections):
            crowds[number % pods].connect(f"bench.{number // 10}")
        time.sleep(1.0)
        quiet = _used(running_pods, view, seconds)
        view.goto(f"http://127.0.0.1:{running_pods[0].internal_port}/ops")
        gate, rows = view.evaluate(_PAINTED, [API_KEY, pods])
        opened = _used(running_pods, view, seconds)
        for crowd in crowds:
            crowd.close()
    more = [after - before for before, after in zip(quiet, opened, strict=True)]
    return {
        "gate painted ms": gate,
        "data painted ms": rows,
        "asked CPU ms/s": more[0],
        "others CPU ms/s": max(more[1:]),
    }


def _used(pods: Sequence[Running], view: Page, seconds: float) -> list[float]:
    """The CPU time of each pod, in milliseconds a second: ten are 1 % of a core."""
    started, before = time.perf_counter(), [pod.cpu() for pod in pods]
    # The browser works meanwhile.
    view.wait_for_timeout(seconds * 1000)
    span = time.perf_counter() - started
    return [1000 * (pod.cpu() - used) / span for pod, used in zip(pods, before, strict=True)]
