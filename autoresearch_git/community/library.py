"""The local, searchable copy of what others found: one SQLite file below the git directory, which can be deleted any time.

It holds the reports as they were read, the findings made of them, every claim, and a full-text index over the claims. What
was read stays even where the next page breaks: each page is one transaction.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoresearch_git.community import record, words
from autoresearch_git.community.changes import Change
from autoresearch_git.community.findings import Claim, Finding
from autoresearch_git.community.record import ClaimedChange, Estimate, Record, Replication
from autoresearch_git.community.reports import Report
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Metric

FORMAT = 5  # of the tables and of what the readers make; another one is read anew
_SCHEMA = """
CREATE TABLE reports (key TEXT PRIMARY KEY, hub TEXT, kind TEXT, name TEXT, author TEXT, head TEXT, json TEXT,
                      parsed INT DEFAULT 0);
CREATE INDEX reports_unparsed ON reports (hub) WHERE parsed = 0;
CREATE TABLE hubs (name TEXT PRIMARY KEY, json TEXT);
CREATE TABLE findings (id INTEGER PRIMARY KEY, key TEXT UNIQUE, report TEXT, hub TEXT, metric TEXT, platform TEXT, source TEXT,
                       session TEXT, json TEXT);
CREATE INDEX findings_report ON findings (report);
CREATE INDEX findings_session ON findings (session) WHERE session <> '';
CREATE TABLE claims (id INTEGER PRIMARY KEY, finding INTEGER, description TEXT, status TEXT, value REAL, delta REAL, source TEXT,
                     commit_ TEXT, sha TEXT, changes TEXT, lines TEXT);
CREATE INDEX claims_finding ON claims (finding);
CREATE TABLE moves (name TEXT, claim INTEGER);
CREATE INDEX moves_name ON moves (name);
CREATE TABLE diff_lines (hash INT, claim INT);
CREATE INDEX diff_lines_hash ON diff_lines (hash);
CREATE INDEX diff_lines_claim ON diff_lines (claim);
CREATE INDEX moves_claim ON moves (claim);
CREATE TABLE papers (report TEXT PRIMARY KEY, hub TEXT, author TEXT, session TEXT);
CREATE TABLE replications (of TEXT, report TEXT, author TEXT, json TEXT);
CREATE INDEX replications_of ON replications (of);
CREATE VIRTUAL TABLE ideas USING fts5 (words, tokenize = 'porter unicode61 remove_diacritics 2');
"""


@dataclass(frozen=True)
class Heard(Replication):
    """What somebody, `by`, says of a claim that they measured again, and `at` which address or in which report."""

    by: str = ""
    at: str = ""


@dataclass(frozen=True)
class Hit:
    """A claim that a search found, with the finding it stands in; the best first."""

    claim: Claim
    finding: Finding


class Library:
    """Open one with `open_library`; close it when done."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._db = connection

    def close(self) -> None:
        """Close it, with everything in the one file."""
        with contextlib.suppress(sqlite3.Error):
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written in the block, or nothing. Raises AutoresearchError where it cannot be: in use, or a full disk."""
        try:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                yield
        except sqlite3.OperationalError as error:
            raise AutoresearchError(
                f"the library {self.path} cannot be written: {error}", "try again in a moment, or free some disk space"
            ) from error

    # -- what was read from a hub -------------------------------------------------------------------------------

    def put_reports(self, reports: Iterable[Report]) -> int:
        """Keep reports as read; returns how many are new or changed. Those are parsed by the next `put_findings`."""
        changed = 0
        for report in reports:
            text = report.to_json()
            changed += self._db.execute(
                "INSERT INTO reports (key, hub, kind, name, author, head, json) VALUES (?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (key) DO UPDATE SET author = excluded.author, head = excluded.head, json = excluded.json, parsed = 0"
                " WHERE json <> excluded.json",
                (report.key, report.hub, report.kind, report.name, report.author, report.head, text),
            ).rowcount
        return changed

    def unparsed(self, hub: str, limit: int) -> list[Report]:
        """Reports of a hub that no findings were made of yet, at most `limit`; notebooks before what may take their place."""
        rows = self._db.execute(
            "SELECT json FROM reports WHERE parsed = 0 AND hub = ? ORDER BY kind = 'notebook' DESC, rowid LIMIT ?", (hub, limit)
        )
        return [Report.from_json(text) for (text,) in rows]

    def report(self, key: str) -> Report | None:
        row = self._db.execute("SELECT json FROM reports WHERE key = ?", (key,)).fetchone()
        return Report.from_json(row[0]) if row else None

    def report_heads(self, hub: str, kind: str) -> dict[str, str]:
        """name → head of the reports of one kind."""
        return dict(self._db.execute("SELECT name, head FROM reports WHERE hub = ? AND kind = ?", (hub, kind)))

    def drop_report(self, key: str) -> None:
        """Forget a report, with what was found in it."""
        self.drop_findings(key)
        for table, column in (("papers", "report"), ("reports", "key")):
            self._db.execute(f"DELETE FROM {table} WHERE {column} = ?", (key,))

    def hub_state(self, hub: str) -> dict[str, Any]:
        """What the last sync of a hub remembered: its watermark, open cursors, default branch."""
        row = self._db.execute("SELECT json FROM hubs WHERE name = ?", (hub,)).fetchone()
        state: dict[str, Any] = json.loads(row[0]) if row else {}
        return state

    def put_hub_state(self, hub: str, state: Mapping[str, Any]) -> None:
        self._db.execute("INSERT OR REPLACE INTO hubs VALUES (?, ?)", (hub, json.dumps(state)))

    def hubs(self) -> list[str]:
        return [name for (name,) in self._db.execute("SELECT name FROM hubs ORDER BY rowid")]

    def count_reports(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM reports").fetchone()[0])

    # -- what was made of it ------------------------------------------------------------------------------------

    def put_findings(self, report: Report, findings: Sequence[Finding]) -> None:
        """Replace what was found in a report."""
        self.drop_findings(report.key)
        self._db.execute("DELETE FROM papers WHERE report = ?", (report.key,))
        for finding in findings:
            self._put_finding(finding)
        own = ((report.author, replication) for replication in (findings[0].record.replications if findings else ()))
        for author, replication in (*own, *_replied(report)):
            text = json.dumps(dataclasses.asdict(replication))
            self._db.execute("INSERT INTO replications VALUES (?, ?, ?, ?)", (replication.of, report.key, author, text))
        self._db.execute("UPDATE reports SET parsed = 1 WHERE key = ?", (report.key,))

    def drop_findings(self, report: str) -> None:
        """Forget what was found in a report; the report stays."""
        claims = "SELECT c.id FROM claims c JOIN findings f ON c.finding = f.id WHERE f.report = ?"
        for table, column in (("ideas", "rowid"), ("moves", "claim"), ("diff_lines", "claim"), ("claims", "id")):
            self._db.execute(f"DELETE FROM {table} WHERE {column} IN ({claims})", (report,))
        self._db.execute("DELETE FROM findings WHERE report = ?", (report,))
        self._db.execute("DELETE FROM replications WHERE report = ?", (report,))

    def drop_twins(self, hub: str, session: str) -> None:
        """Of a session that a pull request and a Discussion of one hub tell, leave what the pull request tells: it has the
        commits. That the Discussion is its paper is kept. `session` is its identity."""
        query = ("SELECT f.report, r.kind, r.author FROM findings f JOIN reports r ON r.key = f.report"
                 " WHERE f.session = ? AND f.hub = ?")  # fmt: skip
        told = self._db.execute(query, (session, hub)).fetchall()
        pulled = {author for _, kind, author in told if kind == "pull"}  # another's copy of a record is no twin
        for report, kind, author in told:
            if kind == "discussion" and author in pulled:
                self.drop_findings(report)
                self._db.execute("INSERT OR REPLACE INTO papers VALUES (?, ?, ?, ?)", (report, hub, author, session))

    def papers(self) -> dict[tuple[str, str, str], str]:
        """(hub, author, session's identity) → the address of the Discussion that a pull request tells the session of."""
        rows = self._db.execute("SELECT p.hub, p.author, p.session, r.json FROM papers p JOIN reports r ON r.key = p.report")
        return {(hub, author, session): Report.from_json(text).url for hub, author, session, text in rows}

    def reports_with_findings(self, hub: str) -> set[str]:
        """The reports of a hub that something was found in."""
        return {key for (key,) in self._db.execute("SELECT DISTINCT report FROM findings WHERE hub = ?", (hub,))}

    def _put_finding(self, finding: Finding) -> None:
        row = (
            finding.key,
            finding.report.key,
            finding.report.hub,
            finding.metric.name,
            finding.platform,
            finding.source,
            finding.record.identity,
            _dump(finding),
        )
        cursor = self._db.execute(
            "INSERT INTO findings (key, report, hub, metric, platform, source, session, json) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row
        )
        for claim in finding.claims:
            self._put_claim(cursor.lastrowid or 0, finding, claim)

    def _put_claim(self, finding_id: int, finding: Finding, claim: Claim) -> None:
        moves = json.dumps([dataclasses.astuple(c) for c in claim.changes])
        claim_id = self._db.execute(
            "INSERT INTO claims (finding, description, status, value, delta, source, commit_, sha, changes, lines)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (finding_id, claim.description, claim.status, claim.value, claim.delta, claim.source, claim.commit, claim.sha, moves,
             json.dumps(claim.lines)),
        ).lastrowid  # fmt: skip
        self._db.executemany("INSERT INTO moves VALUES (?, ?)", [(c.key, claim_id) for c in claim.changes])
        self._db.executemany("INSERT INTO diff_lines VALUES (?, ?)", [(_hash(line), claim_id) for line in claim.lines])
        names = " ".join(c.name for c in claim.changes)
        text = words.spelled_out(f"{claim.description} {names} {finding.report.title}")
        self._db.execute("INSERT INTO ideas (rowid, words) VALUES (?, ?)", (claim_id, text))

    def findings(self, where: str = "1", values: Sequence[object] = ()) -> list[Finding]:
        """Findings without their claims, in the order they were read."""
        rows = self._db.execute(f"SELECT json FROM findings WHERE {where} ORDER BY id", values)
        return [_load(text) for (text,) in rows]

    def platforms(self) -> dict[str, int]:
        """platform → how many findings there are of it; empty for those that do not tell."""
        return dict(self._db.execute("SELECT platform, count(*) FROM findings GROUP BY platform"))

    def named(self, wanted: str) -> list[Finding]:
        """The findings that a user names: `44`, `#44`, `owner/name#44`, a branch, or a whole key; with their claims."""
        word = wanted.strip()
        word = f"#{word}" if word.isdigit() else word
        rows = self._db.execute("SELECT id, json, key, report, hub FROM findings ORDER BY id").fetchall()
        chosen = [
            (number, text)
            for number, text, key, report, hub in rows
            if word in (key, report, key.removeprefix(hub), report.removeprefix(hub), report.removeprefix(f"{hub}@"))
        ]
        if not chosen:  # a branch, of whatever kind of report
            chosen = [(number, text) for number, text, *_ in rows if json.loads(text)["report"]["branch"] == word]
        return [dataclasses.replace(_load(text), claims=self._claims(number)) for number, text in chosen]

    def of_session(self, name: str) -> list[Finding]:
        """The findings of published sessions of that name or branch (`cpu/nov22`, `exp/cpu/nov22`), one of each session."""
        found: dict[object, Finding] = {}
        for finding in self.findings():
            names = (finding.record.session, finding.record.branch, finding.report.branch, finding.report.name)
            if name in names and finding.report.kind != "discussion":
                found.setdefault(finding.record.identity or finding.report.head, finding)
        return list(found.values())

    def told_of_in(self, paper: str) -> list[str]:
        """The pull requests whose paper a user names, by its number or whole key: what was found stands there."""
        word = f"#{paper.strip().rpartition('#')[2]}"
        rows = self._db.execute(
            "SELECT f.report, p.report, p.hub FROM papers p JOIN findings f ON f.session = p.session AND f.hub = p.hub"
            " JOIN reports r ON r.key = f.report AND r.author = p.author AND r.kind = 'pull' ORDER BY f.id"
        )
        return list(dict.fromkeys(pull for pull, key, hub in rows if paper.strip() == key or word == key.removeprefix(hub)))

    def has_report(self, wanted: str) -> bool:
        """Whether a report of that number was read, whatever was found in it."""
        end = wanted.strip().rpartition("#")[2]
        return self._db.execute("SELECT 1 FROM reports WHERE name = ?", (end,)).fetchone() is not None

    def keep_only(self, hubs: Iterable[str]) -> None:
        """Forget what was read from any other hub: it is no hub of this repository any more."""
        gone = set(self.hubs()) - set(hubs)
        for (key,) in [row for hub in gone for row in self._db.execute("SELECT key FROM reports WHERE hub = ?", (hub,)).fetchall()]:
            self.drop_report(key)
        self._db.executemany("DELETE FROM hubs WHERE name = ?", [(hub,) for hub in gone])

    def _claims(self, finding: int) -> tuple[Claim, ...]:
        rows = self._db.execute(f"SELECT {_CLAIM} FROM claims c WHERE finding = ? ORDER BY id", (finding,))
        return tuple(_claim(row) for row in rows)

    def hits(self, where: str = "1", values: Sequence[object] = ()) -> Iterator[Hit]:
        """Claims with their findings, in the order they were read; `where` may speak of `c` (claims) and `f` (findings)."""
        cache: dict[int, Finding] = {}
        query = f"SELECT {_CLAIM}, f.id, f.json FROM claims c JOIN findings f ON c.finding = f.id WHERE {where} ORDER BY c.id"
        for row in self._db.execute(query, values):
            if row[-2] not in cache:
                cache[row[-2]] = _load(row[-1])
            yield Hit(_claim(row), cache[row[-2]])

    def search(self, text: str, limit: int = 200) -> list[Hit]:
        """Claims that speak of the words, the best match first: all of the words before some of them."""
        terms = [words.query_term(word) for word in words.telling_words(text)[:24]]
        if not terms:
            return []
        every, some = " AND ".join(terms), " OR ".join(terms)
        found: dict[int, None] = {}
        for query in (every, some):
            rows = self._db.execute("SELECT rowid FROM ideas WHERE ideas MATCH ? ORDER BY rank LIMIT ?", (query, limit))
            found.update(dict.fromkeys(row[0] for row in rows))
        chosen = list(found)[:limit]
        marks = ", ".join("?" * len(chosen))
        ranked = {row: i for i, row in enumerate(chosen)}
        query = f"SELECT {_CLAIM}, f.json, c.id FROM claims c JOIN findings f ON c.finding = f.id WHERE c.id IN ({marks})"
        found_rows = sorted(self._db.execute(query, chosen), key=lambda row: ranked[row[-1]])
        return [Hit(_claim(row), _load(row[-2])) for row in found_rows]

    def moving(self, names: Iterable[str]) -> list[Hit]:
        """Claims that move a constant of one of these names (as `Change.key` has them)."""
        wanted = list(names)[:64]
        marks = ", ".join("?" * len(wanted))
        return list(self.hits(f"c.id IN (SELECT claim FROM moves WHERE name IN ({marks}))", wanted))

    def with_lines(self, lines: Iterable[str], limit: int = 100) -> list[Hit]:
        """Claims whose diff has one of the (normalised) lines: the `limit` that have the most of them."""
        wanted = [_hash(line) for line in lines][:200]
        marks = ", ".join("?" * len(wanted))
        query = f"SELECT claim FROM diff_lines WHERE hash IN ({marks}) GROUP BY claim ORDER BY count(*) DESC LIMIT {int(limit)}"
        found = [row[0] for row in self._db.execute(query, wanted)]
        return list(self.hits(f"c.id IN ({', '.join('?' * len(found))})", found))

    def _report_of(self, place: str) -> str:
        """The report that tells of the session `cpu/nov22@<identity>`; empty where none does."""
        name, _, identity = place.rpartition("@")
        query = "SELECT report FROM findings WHERE session = ? LIMIT 1"
        row = self._db.execute(query, (identity,)).fetchone() if name and identity else None
        return str(row[0]) if row else ""

    def _report_with(self, commit: str) -> str:
        """The report whose branch ends in a commit, or that claims something of it; empty where none does."""
        query = ("SELECT key FROM reports WHERE head = :sha AND kind <> 'notebook' UNION ALL"
                 " SELECT f.report FROM claims c JOIN findings f ON c.finding = f.id WHERE c.sha = :sha LIMIT 1")  # fmt: skip
        row = self._db.execute(query, {"sha": commit}).fetchone() if commit else None
        return str(row[0]) if row else ""

    def replications(self) -> dict[str, list[Heard]]:
        """finding's key → what others, not its author, measured again. One word per author counts, the last. A replication names
        its finding, or else the commit that is its."""
        found: dict[tuple[str, str], Heard] = {}
        authors = dict(self._db.execute("SELECT key, author FROM reports"))
        keys = {key.casefold(): key for key in authors} | {key: key for key in authors}
        query = ("SELECT p.of, p.author, p.json, p.report, json_extract(r.json, '$.url') FROM replications p"
                 " LEFT JOIN reports r ON r.key = p.report ORDER BY p.rowid")  # fmt: skip
        for name, author, text, report, url in self._db.execute(query):
            told = Heard(**json.loads(text), by=author, at=url or report)
            of = keys.get(name) or keys.get(name.casefold()) or self._report_of(name) or self._report_with(told.commit) or name
            if authors.get(of) != author:
                found[(of, author)] = told
        grouped: dict[str, list[Heard]] = {}
        for (of, _), replication in found.items():
            grouped.setdefault(of, []).append(replication)
        return grouped


def _replied(report: Report) -> Iterator[tuple[str, Replication]]:
    """What others have measured of a report and say in the record of a comment below it: (author, replication)."""
    for comment in report.comments:
        try:
            told = record.read(comment.body)
        except record.BrokenRecordError:
            continue
        for replication in told.replications if told else ():
            if _same_report(replication.of, report.key):
                yield comment.author, dataclasses.replace(replication, of=report.key)


def _same_report(one: str, other: str) -> bool:
    """Whether two names are of one report: the letters of a forge's names have no case, and the host of
    a reader's own forge is left out."""
    one, other = f"/{one}".casefold(), f"/{other}".casefold()
    return one.endswith(other) or other.endswith(one)


_CLAIM = "c.description, c.status, c.value, c.delta, c.source, c.commit_, c.sha, c.changes, c.lines"


def _claim(row: Sequence[Any]) -> Claim:
    moves = tuple(Change(*c) for c in json.loads(row[7]))
    return Claim(row[0], row[1], row[2], row[3], row[4], row[5], row[6], moves, tuple(json.loads(row[8])))


def _dump(finding: Finding) -> str:
    """A finding without what is stored elsewhere: the report's texts, and the claims."""
    short = dataclasses.replace(finding.report, body="", comments=())
    return json.dumps(dataclasses.asdict(dataclasses.replace(finding, report=short, claims=())))


def _load(text: str) -> Finding:
    fields: dict[str, Any] = json.loads(text)
    fields["report"] = Report(**{**fields["report"], "comments": ()})
    fields["metric"] = Metric(**fields["metric"])
    told = fields["record"]
    for name in ("baseline", "best"):
        told[name] = Estimate(**told[name]) if told[name] else None
    told["metric"] = Metric(**told["metric"]) if told["metric"] else None
    told["findings"] = tuple(ClaimedChange(**c) for c in told["findings"])
    told["replications"] = tuple(Replication(**r) for r in told["replications"])
    told["adopted_from"], told["seeds"] = tuple(told["adopted_from"]), tuple(told["seeds"])
    fields["record"] = Record(**told)
    for name in ("claims", "problems", "changed", "doubts", "states"):
        fields[name] = tuple(fields[name])
    return Finding(**fields)


def _hash(line: str) -> int:
    return int.from_bytes(hashlib.blake2b(line.encode(), digest_size=7).digest(), "big")


def open_library(path: Path) -> Library:
    """The library at `path`, made if there is none; one of another format, or a damaged one, is begun anew.

    Raises AutoresearchError where it is in use for long, or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(2):
            found = _connect(path)
            if found:
                return found
            forget(path)
    except (OSError, sqlite3.DatabaseError) as error:
        if "locked" in str(error):
            raise AutoresearchError(f"the library {path} is in use", "try again in a moment") from error
        raise AutoresearchError(
            f"the library {path} cannot be written: {error}", f"check the permissions of {path.parent}"
        ) from error
    raise AutoresearchError(f"the library {path} cannot be made", f"remove {path.parent}")


def _connect(path: Path) -> Library | None:
    """The library if it is there in our format or can be made; None where something else is in its place."""
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0 and not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {FORMAT}; COMMIT;")
            version = FORMAT
        if version == FORMAT:
            return Library(path, connection)
    except sqlite3.OperationalError:  # locked, read-only, a full disk: the file is not to blame
        connection.close()
        raise
    except sqlite3.DatabaseError:
        pass
    connection.close()
    return None


def forget(path: Path) -> None:
    """Delete a library; the next sync reads everything anew."""
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)
