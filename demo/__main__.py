"""`python -m demo`: prints one address to open, and runs until Ctrl+C."""

import argparse
import asyncio
import signal

from demo.web import shown


async def main() -> None:
    """Runs until it is interrupted."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="of the page; the balancer takes the next one (8000)")
    given = parser.parse_args()
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, over.set)
    try:
        async with shown(given.port) as address:
            print(f"Open {address} and deploy. Ctrl+C ends it.", flush=True)
            await over.wait()
    except OSError as error:
        raise SystemExit(f"{error}; choose another with --port") from None


if __name__ == "__main__":
    asyncio.run(main())
