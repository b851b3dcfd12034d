"""The one door to Jinja2, and to the files that ship with the package: templates and the research subject."""

from __future__ import annotations

from pathlib import Path

import jinja2

_PACKAGE = Path(__file__).parent


def packaged(folder: str, name: str) -> Path:
    """A file that ships with the package: beside it in a wheel, at the repository's top level in an editable install."""
    inside = _PACKAGE / folder / name
    if inside.exists():
        return inside
    top = _PACKAGE.parent
    return top / name if folder == "subject" else top / folder / name


def render(template: str, **values: object) -> str:
    """A packaged template with its values. Raises jinja2.UndefinedError where a value is missing: that is our bug."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(packaged("templates", template).parent),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 — Markdown and TOML are written, never HTML
    )
    return environment.get_template(template).render(**values)
