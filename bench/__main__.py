"""`python -m bench` lists the benches; `python -m bench NAME …` runs one."""

import runpy
import sys
from pathlib import Path

NAMES = (
    *(
        "fanout",
        "inbound",
        "connect",
        "idle",
        "churn",
        "stuck",
        "flood",
        "greedy",
        "pods",
        "balance",
        "scrape",
        "ops",
        "tracing",
        "wires",
        "compression",
        "webhooks",
        "hanging",
    ),
    *("drain", "storm", "soak", "cost", "road", "hooks", "profile", "objects", "peers", "capacity", "compare"),
)


def main() -> None:
    """List the benches, or run the one that is named."""
    if len(sys.argv) > 1 and sys.argv[1] in NAMES:
        name = sys.argv.pop(1)
        runpy.run_module(f"bench.{name}", run_name="__main__", alter_sys=True)
        return
    print("usage: python -m bench NAME [--rounds N] [--seconds S] [--servers a,b] [--quick]\n")
    for name in NAMES:
        file = Path(__file__).with_name(f"{name}.py")
        main = file if file.exists() else file.with_suffix("") / "__main__.py"
        caption = main.read_text().split('"""')[1].splitlines()[0]
        print(f"  {name:<8} {caption}")


main()
