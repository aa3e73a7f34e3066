"""Who said what and when, in the words that a failed scenario is explained with."""

import json
import time


class Timeline:
    """Lines with the milliseconds since the beginning."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._lines: list[str] = []

    def note(self, who: str, what: object) -> None:
        text = what if isinstance(what, str) else json.dumps(what, ensure_ascii=False)
        short = text if len(text) <= 300 else f"{text[:300]}…"
        self._lines.append(f"{(time.monotonic() - self._began) * 1000:7.0f}  {who:<11} {short}")

    def told(self, last: int = 40) -> str:
        """The last lines."""
        hidden = len(self._lines) - last
        first = [f"      …  ({hidden} lines before)"] if hidden > 0 else []
        return "\n".join(first + self._lines[-last:])
