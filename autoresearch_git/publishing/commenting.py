"""Comments on the sources of a session: one on each, found by its mark, written once, edited where there is more to say.

What stands in the way of one comment costs that comment alone, and is told in a note.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from autoresearch_git.community.github import Comment, CommentWriter, RefusedError, Thread
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.publishing.once import once
from autoresearch_git.publishing.outlook import AS_IT_IS, same_text
from autoresearch_git.publishing.paper import Paper
from autoresearch_git.publishing.place import Place
from autoresearch_git.publishing.standing import Standing, mark, render


@dataclass(frozen=True)
class Spot:
    """A source that may be commented on, and our comment there, None where there is none."""

    standing: Standing
    writer: CommentWriter
    thread: Thread
    there: Comment | None


@dataclass
class Commenter:
    """Says on each source where its claim stands. `place` is where the session is published, as far as that is known; what is done
    goes to `done`, a line each, and what cannot be to `notes`."""

    paper: Paper
    place: Place
    templates: Path | None
    done: list[str]
    tell: Callable[[str], None]
    notes: list[str] = field(default_factory=list)
    spots: list[Spot] = field(default_factory=list)
    sleep: Callable[[float], None] = time.sleep

    def look(self, standing: Standing, writer: CommentWriter, number: int) -> None:
        """Look at a source that somebody else opened, and for our comment there. What is closed or locked is left as it is."""
        key = standing.key
        try:
            thread = writer.find_thread(number)
            there = writer.find_comment(thread, self._mark(standing)) if thread and not thread.own else None
        except AutoresearchError as error:
            self.notes.append(f"{key} cannot be commented on: {error}")
            return
        if thread is None:
            self.notes.append(f"{key} cannot be commented on: there is no such pull request or Discussion")
        elif thread.own:
            self.notes.append(f"{key} is not commented on: it is your own")
        else:
            self.spots.append(spot := Spot(standing, writer, thread, there))
            if thread.shut and self.state(spot) != AS_IT_IS:
                self.notes.append(f"{key} is not commented on: it is {thread.shut}")

    def state(self, spot: Spot) -> str:
        """What would become of a comment."""
        if spot.there is None:
            return "new"
        return AS_IT_IS if same_text(spot.there.body, self.body(spot)) else "will be updated"

    def changes(self) -> list[Spot]:
        """Where there is something new to say."""
        return [spot for spot in self.spots if not spot.thread.shut and self.state(spot) != AS_IT_IS]

    def body(self, spot: Spot) -> str:
        return render(spot.standing, self.paper, self.place, self.templates)

    def post(self, place: Place) -> tuple[str, ...]:
        """Bring all comments up to date, now that the session is published at `place`; their addresses. Raises AutoresearchError
        where an answer is lost for good: the next run looks again."""
        self.place = place
        return tuple(url for spot in self.spots if (url := self._post(spot)))

    def _post(self, spot: Spot) -> str:
        """The address of the comment; empty where it was refused."""
        body, key = self.body(spot), spot.standing.key
        if spot.thread.shut or (spot.there and same_text(spot.there.body, body)):
            return spot.there.url if spot.there else ""
        find = functools.partial(spot.writer.find_comment, spot.thread, self._mark(spot.standing))
        there = find()  # since we looked first, somebody may have been here
        if there and same_text(there.body, body):
            return there.url
        self.tell(f"commenting on {key}")

        def write() -> Comment:
            return spot.writer.edit_comment(spot.thread, there.id, body) if there else spot.writer.add_comment(spot.thread, body)

        def written() -> Comment | None:
            found = find()
            return found if found and same_text(found.body, body) else None

        try:
            comment = once(write, written, self.sleep)
        except RefusedError as error:
            self.notes.append(f"{key} is not commented on: {error}")
            return there.url if there else ""
        self.done.append(f"{'updated' if there else 'posted'} {comment.url}")
        return comment.url

    def _mark(self, standing: Standing) -> str:
        return mark(standing.key, self.paper.identity)
