"""Renders with Helm's library in a process of its own: one line of JSON per request and per answer."""

import json
import sys

from helm_python import Chart, HelmError, lint


def main(chart: str) -> None:
    for line in sys.stdin:
        question = json.loads(line)
        try:
            if question.get("lint"):
                print(json.dumps({"findings": lint(chart, question["values"], strict=True)["messages"]}), flush=True)
                continue
            # Loaded for each request, because it may have changed. That takes a millisecond.
            with Chart.load(chart) as loaded:
                loaded.validate_schema(question["values"])
                manifests = loaded.render(
                    question["values"], name=question["name"], namespace=question["namespace"], is_install=True
                )
            answer: dict[str, object] = {"manifests": manifests}
        except HelmError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
