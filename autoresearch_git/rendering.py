"""The one door to Jinja2, and to the files that ship with the package: templates and the research subject."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

import jinja2
import jinja2.sandbox

from autoresearch_git.errors import AutoresearchError

_PACKAGE = Path(__file__).parent


def packaged(folder: str, name: str) -> Path:
    """A file that ships with the package: beside it in a wheel, at the repository's top level in an editable install."""
    inside = _PACKAGE / folder / name
    if inside.exists():
        return inside
    top = _PACKAGE.parent
    return top / name if folder == "subject" else top / folder / name


def render(
    template: str, folder: Path | None = None, filters: Mapping[str, Callable[..., object]] | None = None, **values: object
) -> str:
    """A template with its values: the one of that name in the user's `folder`, or else ours, which a user's may extend as
    `packaged/<name>`.

    Raises AutoresearchError where the user's own does not render; jinja2.TemplateError where ours does not, which is a bug.
    """
    environment = _environment(folder, packaged("templates", template).parent)
    environment.filters.update(filters or {})
    own = folder / template if folder else None
    try:
        return environment.get_template(template).render(**values)
    except Exception as error:  # a template of the user's may do anything wrong, divide by zero too
        if own is None or not own.exists():
            raise
        raise AutoresearchError(f"{own}{_line(error, own)} cannot be rendered: {error}",
                                "mend it, or go without: git config --unset autoresearch.templates") from error  # fmt: skip


@functools.cache  # it keeps what it has compiled, and a paper is rendered again and again until it fits
def _environment(folder: Path | None, packaged_templates: Path) -> jinja2.Environment:
    ours = jinja2.FileSystemLoader(packaged_templates)
    loaders: list[jinja2.BaseLoader] = [jinja2.FileSystemLoader(folder)] if folder else []
    return jinja2.sandbox.ImmutableSandboxedEnvironment(  # a template may have come with a clone
        loader=jinja2.ChoiceLoader([*loaders, jinja2.PrefixLoader({"packaged": ours}), ours]),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # Markdown and TOML are written, never HTML
    )


def _line(error: Exception, file: Path) -> str:
    """Where in the file it went wrong; empty where that is not known."""
    if isinstance(error, jinja2.TemplateSyntaxError):
        return f", line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    return f", line {lines[-1]}" if lines else ""
