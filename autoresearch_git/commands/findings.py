"""`git autoresearch findings`: what others found, and whether it may stand beside what is measured here."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from autoresearch_git.commands import community, console, findings_leaderboard
from autoresearch_git.commands import findings_console as shown
from autoresearch_git.commands.community import Standpoint
from autoresearch_git.community.comparable import Here
from autoresearch_git.community.findings import Finding
from autoresearch_git.community.library import Hit, Library, forget, open_library
from autoresearch_git.community.tried import SAME_CHANGE, SAME_DIFF, of_description, of_diff, tried
from autoresearch_git.config import Settings, load_settings
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Metric
from autoresearch_git.ledger.tables import way
from autoresearch_git.publishing.wording import count
from autoresearch_git.repository import Repository, open_repository

GIT_SECONDS = 3600.0  # that a fetch may take


_EXAMPLES = """Examples:

\b
  git autoresearch findings --sync              read what is new, then rank what may be compared
  git autoresearch findings show 44             one finding in full
  git autoresearch findings search "value embedding decay"
  git autoresearch findings tried "WARMDOWN_RATIO 0.5 → 0.7"
"""


@click.group("findings", invoke_without_command=True, epilog=_EXAMPLES, subcommand_metavar="[COMMAND]")
@click.option("--sync", "do_sync", is_flag=True, help="First read what is new at the hubs.")
@click.option("--rebuild", is_flag=True, help="Forget the library, and read everything anew.")
@click.option("--platform", metavar="CLASS", help="The hardware class to compare for; this machine's if not given.")
@click.option("--metric", metavar="NAME", help="The metric to look at; the setting's if not given.")
@click.option("--all", "everything", is_flag=True, help="Also what may not be compared, each with the reason.")
@click.option("--limit", type=click.IntRange(1), default=25, show_default=True, metavar="N", help="How many lines to show.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list, without a limit.")
@click.pass_context
def command(
    context: click.Context, do_sync: bool, rebuild: bool, platform: str | None, metric: str | None, everything: bool, limit: int,
    as_json: bool,
) -> None:  # fmt: skip
    """What others found: their best results that may stand beside ours, ranked, each with its platform.

    Read from the hubs (`git autoresearch config hub`): pull requests in any state, Discussions, branches and notebooks. A
    finding is compared with numbers from here only where the evaluator, the data, the budget and the hardware class are the
    same; --all shows the others, and why not.
    """
    repository = open_repository(Path.cwd())
    settings = load_settings(repository)
    if rebuild:
        _rebuild(repository, settings)
    library = community.read_library(repository)
    context.call_on_close(library.close)
    if do_sync and not rebuild:
        _sync(repository, settings, library)
    here = community.here(repository, settings, platform)
    if metric:
        named = _metric(library, metric)
        if named != here.metric:  # our evaluator is known to measure our metric only
            here = dataclasses.replace(here, metric=named, files={}, data="")
    context.obj = Standpoint(repository, library, here, settings.editable, library.replications())
    if context.invoked_subcommand is None:
        _list(context.obj, platform, everything, limit, as_json)


command.add_command(findings_leaderboard.command)


def _rebuild(repository: Repository, settings: Settings) -> None:
    """Read everything into a new library, which takes the old one's place only then."""
    path = community.library_path(repository)
    fresh = path.with_name("rebuilt.sqlite")
    forget(fresh)
    with open_library(fresh) as library:
        _sync(repository, settings, library)
    forget(path)
    fresh.replace(path)


def _sync(repository: Repository, settings: Settings, library: Library) -> None:
    try:
        told = community.sync(repository, settings, library, console.say, community.PATIENCE, GIT_SECONDS)
    except KeyboardInterrupt:
        console.say("interrupted; what was read is kept, and --sync goes on with the rest")
        raise SystemExit(130) from None
    if not told.read and not told.unread:
        raise community.no_hub()
    if not told.read:
        raise AutoresearchError("no hub could be read", "mend what the lines above say, or git config autoresearch.hub OWNER/NAME")
    spent = f" ({count(told.calls, 'call')}, {count(told.points, 'point')})" if told.calls else ""
    console.say(f"{count(told.reports, 'report')} new or changed, {count(told.findings, 'finding')} in them{spent}")


def _metric(library: Library, name: str) -> Metric:
    """A metric by name, with the direction that its findings have."""
    found = library.findings("metric = ?", (name,))
    if not found:
        known = sorted({finding.metric.name for finding in library.findings()})
        raise AutoresearchError(
            f"no finding is about {name!r}", f"--metric takes: {', '.join(known[:12])}" if known else "--sync first"
        )
    return Metric(name, way(name) or found[0].metric.direction)


def _need_library(place: Standpoint) -> None:
    if not place.library.count_reports():
        raise AutoresearchError("nothing was read yet", "git autoresearch findings --sync")


# -- the list ---------------------------------------------------------------------------------------------------------


def _list(place: Standpoint, platform: str | None, everything: bool, limit: int, as_json: bool) -> None:
    here, library = place.here, place.library
    if everything and not platform:
        findings = library.findings()
    else:  # on other hardware nothing can be comparable
        findings = library.findings("upper(platform) = upper(?)", (here.platform,))
    judged = [(finding, place.verdict(finding)) for finding in findings]
    ranked = sorted((pair for pair in judged if pair[1].comparable), key=lambda pair: _order(pair[0]))
    others = sorted((pair for pair in judged if not pair[1].comparable), key=lambda pair: _interest(pair[0], here))
    listed = [*ranked, *(others if everything else ())]
    if as_json:
        click.echo(json.dumps([shown.finding_fields(finding, verdict) for finding, verdict in listed]))
        return
    if not library.hubs():
        raise AutoresearchError("nothing was read yet", "git autoresearch findings --sync")
    if listed:
        shown.table(listed[:limit])
    if len(listed) > limit:
        console.say(f"… and {len(listed) - limit} more; --limit {len(listed)} shows them")
    counts = library.platforms()
    rest = "" if everything or not counts else f" (all: {_where(counts)}; --all shows them)"
    console.say(f"{len(ranked)} of {sum(counts.values())} findings may stand beside {here.metric.name} on {here.platform} "
         f"in {here.budget:g} s{rest}")  # fmt: skip


def _order(finding: Finding) -> float:
    best = finding.best if finding.best is not None else 0.0
    return best if finding.metric.direction == "min" else -best


def _interest(finding: Finding, here: Here) -> tuple[object, ...]:
    """What is closest to being comparable first: our metric, a number, our platform; then by platform and age."""
    age = int(finding.report.name) if finding.report.name.isdigit() else 0
    known = finding.platform or "~"
    return (finding.metric != here.metric, finding.best is None, known.upper() != here.platform.upper(), known, age, finding.key)


def _where(counts: Mapping[str, int]) -> str:
    """How many there are on which hardware, the most first."""
    most = sorted(counts.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{n} on {platform or 'unknown hardware'}" for platform, n in most[:5]) + (", …" if len(most) > 5 else "")


# -- one finding ------------------------------------------------------------------------------------------------------


@command.command("show", epilog="Example:  git autoresearch findings show 44")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list, with every claim.")
@click.pass_obj
def show(place: Standpoint, name: str, as_json: bool) -> None:
    """Tell one finding in full: its claims, commits and files, and why it may be compared or not.

    NAME is a number (44), owner/name#44, or the name of a branch or notebook.
    """
    _need_library(place)
    found = place.library.named(name)
    if not found:
        pulls = place.library.told_of_in(name)
        for pull in pulls:
            console.say(f"{name} is the paper of {pull}")
        found = [finding for pull in pulls for finding in place.library.named(pull)]
    if not found and place.library.has_report(name):
        raise AutoresearchError(f"{name} was read, and claims no result", "git autoresearch findings --all lists what does")
    if not found:
        raise AutoresearchError(f"no finding is named {name!r}", "git autoresearch findings --all lists them")
    named = sorted({finding.report.hub for finding in found})
    if len(named) > 1:
        raise AutoresearchError(
            f"{name} names a finding of each of {', '.join(named)}", f"git autoresearch findings show {found[0].key}"
        )
    if as_json:
        click.echo(json.dumps([_everything(place, finding) for finding in found]))
        return
    for index, finding in enumerate(found):
        click.echo("\n" if index else "", nl=False)
        shown.in_full(finding, place.verdict(finding), place.replications.get(finding.report.key, ()))


def _everything(place: Standpoint, finding: Finding) -> dict[str, Any]:
    return {
        **shown.finding_fields(finding, place.verdict(finding)),
        "claims": [shown.claim_fields(claim) for claim in finding.claims],
        "replications": [dataclasses.asdict(r) for r in place.replications.get(finding.report.key, ())],
    }


# -- ideas ------------------------------------------------------------------------------------------------------------


@command.command("search", epilog='Example:  git autoresearch findings search "value embedding decay"')
@click.argument("words", nargs=-1, required=True)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, metavar="N", help="How many to show.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
@click.pass_obj
def search(place: Standpoint, words: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Ideas that speak of WORDS, the closest first, each with what happened to it."""
    _need_words(words)
    _need_library(place)
    hits = place.library.search(" ".join(words), limit)
    _tell(place, [("", hit) for hit in hits], as_json)
    if not hits and not as_json:
        click.echo("nobody speaks of that")


@command.command("tried", epilog='Example:  git autoresearch findings tried "embedding LR 0.6 → 0.8"')
@click.argument("description", nargs=-1)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, metavar="N", help="How many to show.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
@click.pass_obj
def tried_command(place: Standpoint, description: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Has anyone done this, on what, and with what result?

    DESCRIPTION is a sentence such as "embedding LR 0.6 → 0.8"; without one, your uncommitted changes of the editable files are
    compared: the constants they move, and their lines.
    """
    if description:
        _need_words(description)
        attempt = of_description(" ".join(description))
    else:
        attempt = of_diff(place.repository.working_diff(place.editable))
        if not attempt.lines:
            raise AutoresearchError(f"{', '.join(place.editable)} has no uncommitted change to compare, apart from comments",
                                    'git autoresearch findings tried "embedding LR 0.6 → 0.8"')  # fmt: skip
    _need_library(place)
    matches = tried(place.library, attempt, limit)
    _tell(place, [(match.how, match.hit) for match in matches], as_json)
    if not as_json:
        exact = [match for match in matches if match.how in (SAME_DIFF, SAME_CHANGE)]
        kept = sum(match.hit.claim.status == "keep" for match in exact)
        click.echo(f"exactly this was tried {_times(len(exact))}, and kept {_times(kept)}" if exact
                   else "nobody is known to have done exactly this")  # fmt: skip


def _times(count: int) -> str:
    return {0: "never", 1: "once"}.get(count, f"{count} times")


def _need_words(words: tuple[str, ...]) -> None:
    if not "".join(words).strip():
        raise click.UsageError("say what to look for")


def _tell(place: Standpoint, found: Sequence[tuple[str, Hit]], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([_idea_fields(place, how, hit) for how, hit in found]))
        return
    one_hub = len(place.library.hubs()) == 1
    for how, hit in found:
        click.echo(shown.idea(hit.claim, hit.finding, place.verdict(hit.finding), how, one_hub))


def _idea_fields(place: Standpoint, how: str, hit: Hit) -> dict[str, Any]:
    verdict = place.verdict(hit.finding)
    return {
        **({"how": how} if how else {}),
        **shown.claim_fields(hit.claim),
        "finding": hit.finding.key,
        "platform": hit.finding.platform,
        "metric": hit.finding.metric.name,
        "comparable": verdict.comparable,
        "sound": verdict.sound,
        "evidence": verdict.evidence,
    }
