"""How findings are shown: a table, one in full, ideas a line each, and the same for machines."""

from __future__ import annotations

import dataclasses
import itertools
import sys
from collections.abc import Sequence
from typing import Any

import click

from autoresearch_git.commands.console import delta, number
from autoresearch_git.community.comparable import Comparability, is_current, other_budget
from autoresearch_git.community.findings import Claim, Finding
from autoresearch_git.community.library import Heard
from autoresearch_git.plaintext import one_line

MOST_CLAIMS = 40  # shown of one finding; --json has them all
MOST_FILES = 12
NARROW = 110  # columns of a terminal, below which the table leaves out what `show` says

_TITLE = "title, or why it is not ranked"
_RIGHT = ("#", "kept")
_READ_FROM = {
    "text": "its text", "table": "the results table at its head", "title": "its title only", "commits": "its commits only",
    "record": "its record block", "notebook": "its notebook",
}  # fmt: skip


def table(pairs: Sequence[tuple[Finding, Comparability]]) -> None:
    """The findings, a line each; only those that may be compared have a rank. A terminal gets a table that fits it, anything
    else every line whole."""
    one_hub = len({finding.report.hub for finding, _ in pairs}) == 1
    ranks = itertools.count(1)
    rows = [_row(finding, verdict, str(next(ranks)) if verdict.comparable else "", one_hub) for finding, verdict in pairs]
    if len({row["metric"] for row in rows}) == 1:
        rows = [{name: cell for name, cell in row.items() if name != "metric"} for row in rows]
    if sys.stdout.isatty():
        _rich_table(rows)
        return
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    for row in ({name: name for name in rows[0]}, *rows):
        cells = [row[n].rjust(w) if n in _RIGHT else row[n].ljust(w) for n, w in widths.items()]
        click.echo("  ".join(cells).rstrip())


def _row(finding: Finding, verdict: Comparability, rank: str, one_hub: bool) -> dict[str, str]:
    title = finding.report.title or finding.about
    cells = {
        "#": rank,
        "finding": short(finding, one_hub),
        "platform": finding.platform or "?",
        "metric": finding.metric.name,
        "baseline → best": f"{number(finding.baseline)} → {number(finding.best)}",
        "kept": f"{finding.counts.get('keep', 0)}/{finding.experiments}",
        "evidence": verdict.evidence,
        _TITLE: title if verdict.comparable else verdict.why_not,
    }
    return {name: one_line(cell) for name, cell in cells.items()}


def _rich_table(rows: Sequence[dict[str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    shown = Table(box=None, pad_edge=False, header_style="bold")
    narrow = console.width < NARROW
    names = [name for name in rows[0] if not (narrow and name in ("evidence", "metric", "kept"))]
    for name in names:
        last = name == _TITLE
        width = None if last else max(len(name), *(len(row[name]) for row in rows))
        shown.add_column(
            name,
            justify="right" if name in _RIGHT else "left",
            no_wrap=not last,
            min_width=None if name == "finding" else width,
            overflow="fold" if last else "ellipsis",
        )
    for row in rows:
        shown.add_row(*(Text(row[name]) for name in names))  # Text: what looks like markup is a stranger's
    console.print(shown)


def short(finding: Finding, one_hub: bool) -> str:
    """How a finding is called: without its hub where there is only one."""
    return finding.key.removeprefix(finding.report.hub) if one_hub else finding.key


def finding_fields(finding: Finding, verdict: Comparability) -> dict[str, Any]:
    """A finding for machines, without its claims."""
    report = finding.report
    return {
        "finding": finding.key,
        "kind": report.kind,
        "title": report.title,
        "author": report.author,
        "state": report.state,
        "url": report.url,
        "branch": report.branch,
        "head": report.head,
        "base": finding.base,
        "updated": report.updated,
        "metric": {"name": finding.metric.name, "direction": finding.metric.direction},
        "platform": finding.platform,
        "baseline": finding.baseline,
        "best": finding.best,
        "delta": finding.delta,
        "experiments": {status: n for status, n in finding.counts.items() if status != "baseline"},
        "budget_seconds": finding.budget,
        "source": finding.source,
        "comparable": verdict.comparable,
        "evidence": verdict.evidence,
        "reasons": [dataclasses.asdict(reason) for reason in verdict.reasons],
        "problems": list(finding.problems),
        "changed_files": list(finding.changed),
    }


def claim_fields(claim: Claim) -> dict[str, Any]:
    """A claim for machines."""
    return {
        "description": claim.description,
        "status": claim.status,
        "value": claim.value,
        "delta": claim.delta,
        "commit": claim.commit,
        "sha": claim.sha,
        "source": claim.source,
        "changes": [str(change) for change in claim.changes],
    }


def in_full(finding: Finding, verdict: Comparability, replications: Sequence[Heard]) -> None:
    """Everything that is known of one finding."""
    click.echo(click.style(one_line(finding.key), bold=True))
    for name, text in _facts(finding, verdict):
        click.echo(f"{name:<11} {one_line(text or '-', 300)}")
    click.echo(f"{'comparable':<11} {'yes' if verdict.comparable else 'no'}")
    for reason in verdict.reasons:
        click.echo(f"  {'?  ' if reason.ok is None else 'yes' if reason.ok else 'no '}  {one_line(reason.text)}")
    for problem in finding.problems:
        click.echo(f"{'note':<11} {one_line(problem, 300)}")
    for again in replications:
        click.echo(f"{'again':<11} {_again(finding, again)}")
    _claims(finding)


def _again(finding: Finding, heard: Heard) -> str:
    """Who measured it again, what came out, on what, and where they say so."""
    claimed = delta(finding.metric, heard.claimed, 0.0) or "nothing known"
    measured = delta(finding.metric, heard.measured, 0.0) or "no number"
    notes = [
        f"{heard.budget_seconds:g} s a run" if heard.budget_seconds is not None else "",
        "not counted: " + other if (other := other_budget(finding.budget, heard.budget_seconds)) else "",
        "" if is_current(finding, heard) else f"at an earlier state, {heard.commit[:7]}",
    ]
    told = "; ".join([f"{claimed} claimed, {measured} measured", *filter(None, [*notes, heard.at])])
    return one_line(f"{heard.outcome} on {heard.platform or '?'} by {heard.by or '?'}: {told}", 400)


def _facts(finding: Finding, verdict: Comparability) -> list[tuple[str, str]]:
    report, metric = finding.report, finding.metric
    commits = f"{finding.commits} commit{'s' * (finding.commits != 1)} from {finding.base[:10] or '-'}"
    more = f" and {len(finding.changed) - MOST_FILES} more" if len(finding.changed) > MOST_FILES else ""
    change = delta(metric, finding.best, finding.baseline)
    better = "lower" if metric.direction == "min" else "higher"
    return [
        ("title", report.title or finding.about),
        ("by", f"{report.author or '?'}, {report.state.lower() or report.kind}, {report.updated[:10]}".rstrip(", ")),
        ("at", report.url),
        ("branch", f"{report.branch or '-'} at {report.head[:10] or '-'}, {commits}"),
        ("platform", f"{finding.platform} (from {finding.platform_source})" if finding.platform else "not told"),
        (metric.name[:11], f"{number(finding.baseline)} → {number(finding.best)}  ({change or '-'})  {better} is better"),
        ("tried", ", ".join(f"{n} {word}" for word, n in finding.counts.items() if n and word != "baseline")),
        ("read from", _READ_FROM.get(finding.source, finding.source)),
        ("changes", ", ".join(finding.changed[:MOST_FILES]) + more),
        ("evidence", verdict.evidence),
    ]


def _claims(finding: Finding) -> None:
    """The kept ones in the order in which they were kept, then the others as far as there is room."""
    kept = [c for c in finding.claims if c.status in ("baseline", "keep")]
    others = [c for c in finding.claims if c.status not in ("baseline", "keep")]
    for title, claims in (("kept", kept), ("not kept", others)):
        if claims:
            click.echo(f"{title}:")
        for claim in claims[:MOST_CLAIMS]:
            name = claim.sha[:7] or claim.commit[:9] or "-"
            change = delta(finding.metric, claim.delta, 0.0)
            click.echo(f"  {name:<9} {number(claim.value):>10}  {change:>10}  {claim.status:<8} {one_line(claim.description)}")
        if len(claims) > MOST_CLAIMS:
            click.echo(f"  … and {len(claims) - MOST_CLAIMS} more (--json has them all)")


def idea(claim: Claim, finding: Finding, verdict: Comparability, how: str, one_hub: bool) -> str:
    """A claim on one line: what came of it, where, what it was, and how far that can be believed."""
    if claim.delta is not None:
        change = f"{finding.metric.name} {delta(finding.metric, claim.delta, 0.0)}"
    else:
        change = f"{finding.metric.name} {number(claim.value)}" if claim.value is not None else "no number"
    trust = "comparable" if verdict.comparable else "an idea, no number for here" if verdict.sound else "not to be trusted"
    evidence = verdict.evidence if verdict.evidence != "self-reported" else ""
    place = f"{short(finding, one_hub)} {claim.sha[:7]}".rstrip()
    notes = "; ".join(filter(None, [how, trust, evidence]))
    what = one_line(claim.description, 100)
    return f"{claim.status or '?':<8} {change:<20} {finding.platform or '?':<9} {place:<14} {what}  ({notes})"
