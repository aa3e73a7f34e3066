"""Writes into a chart where it is published: `python -m helm.published REPOSITORY_URL REGISTRY IMAGE [CHART]`.

The tree does not say where it is hosted. A published chart has to know its home, its sources and its image.
"""

import sys
from pathlib import Path
from typing import Final

CHART: Final = Path(__file__).parent / "forestay"


def publish(chart: Path, url: str, registry: str, image: str) -> None:
    """Completes Chart.yaml and values.yaml of `chart`. Raises ValueError where they have another form."""
    about, values = chart / "Chart.yaml", chart / "values.yaml"
    links = [
        ("Documentation", f"{url}/tree/main/docs"),
        ("Upgrading", f"{url}/blob/main/UPGRADING.md"),
        ("Support", f"{url}/issues"),
    ]
    text = about.read_text(encoding="utf-8")
    text = _replaced(text, "icon: ", f"home: {url}\nsources:\n  - {url}\nicon: ")
    text = _replaced(text, "      image: forestay:", f"      image: {registry}/{image}:")
    text = _replaced(
        text,
        "  artifacthub.io/images: |\n",
        "  artifacthub.io/links: |\n"
        + "".join(f"    - name: {name}\n      url: {address}\n" for name, address in links)
        + "  artifacthub.io/images: |\n",
    )
    about.write_text(text, encoding="utf-8")
    text = values.read_text(encoding="utf-8")
    head = "  # -- Registry of the gateway's image.\n  registry: "
    text = _replaced(text, f'{head}""', f"{head}{registry}")
    text = _replaced(text, "  repository: forestay\n", f"  repository: {image}\n")
    values.write_text(text, encoding="utf-8")


def _replaced(text: str, old: str, new: str) -> str:
    if text.count(old) != 1:
        raise ValueError(f"{old.strip()!r} stands {text.count(old)} times in the chart, and not once")
    return text.replace(old, new)


if __name__ == "__main__":
    address, registry, image, *given = sys.argv[1:]
    publish(Path(*given) if given else CHART, address.rstrip("/"), registry, image)
