"""Configuration files as oslo.config reads them."""

from collections.abc import Mapping
from pathlib import Path

from infra.credentials import write_private

Value = str | int | bool | Path
Sections = Mapping[str, Mapping[str, Value]]


def write(file: Path, sections: Sections) -> None:
    """Replace `file` (mode 0600) by {section: {option: value}}; ValueError for a value that would add a line."""
    lines: list[str] = []
    for section, options in sections.items():
        lines.append(f"[{section}]")
        lines += [f"{name} = {_text(value)}" for name, value in options.items()]
    write_private(file, "\n".join(lines) + "\n")


def _text(value: Value) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if "\n" in text or "\r" in text:
        raise ValueError("a configuration value has more than one line")
    return text.replace("$", "$$")  # `$name` would stand for another option
