"""A round of mirroring over 5,000 linked problems with nothing new: calls to GitLab and seconds, and the daily check.

The double answers on loopback, so a call costs what it costs there; the figures that count are the calls, and our own
time. Everything is linked and told already; what a round does then, it does every 30 s.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from tests.bench.table import Figure, say, show
from tests.gitlab_double import FakeGitLab
from tests.gitlab_state import MAINTAINER, Issue
from tests.mirroring import Clock, World
from tests.store_contract import occurrence
from triage.mirrors import Mirror, MirrorStatus, Tracker
from triage.store import open_store
from triage.telling import stamp
from triage.words import Written

LINKED, ROUNDS = 5_000, 5
CALLS, SECONDS = 1, 5.0


def main(linked: int = LINKED, rounds: int = ROUNDS) -> int:
    """Measure and print the table; 1 where a round asks more than once, or takes longer than five seconds."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder, FakeGitLab(clock) as fake:
        world = World(fake, clock, open_store(f"sqlite:///{Path(folder) / 'triage.db'}"), words=Written)
        fill(world, linked)
        sync = world.sync()
        quiet = [measured(world, lambda: sync.run()) for _ in range(rounds)]
        own = [measured(world, lambda: sync.plan(clock()))[1] for _ in range(rounds)]
        clock.forward(hours=25)
        checked = measured(world, lambda: sync.run())
        world.store.close()
    calls, seconds = max(calls for calls, _ in quiet), statistics.median(seconds for _, seconds in quiet)
    return show(
        f"A round over {linked:,} linked problems with nothing new",
        [
            Figure("calls to GitLab", str(calls), goal=f"{CALLS}", is_met=calls <= CALLS),
            Figure("seconds", f"{seconds:.2f} s", goal=f"{SECONDS:g} s", is_met=seconds <= SECONDS),
            Figure("of which the plan, without GitLab", f"{statistics.median(own):.2f} s"),
            Figure("once a day, that all are there: calls", str(checked[0])),
            Figure("once a day: seconds", f"{checked[1]:.2f} s"),
        ],
    )


def measured(world: World, run: object) -> tuple[int, float]:
    """Return the calls made and the seconds taken."""
    world.clock.forward(seconds=30)
    before, began = len(world.fake.faults.log), time.perf_counter()
    run()  # type: ignore[operator]
    return len(world.fake.faults.log) - before, time.perf_counter() - began


def fill(world: World, linked: int) -> None:
    """Make so many problems with an issue each, all told, in a project that was asked all the while."""
    fake, clock = world.fake, world.clock
    bot = fake.user("bot", bot=True)
    project = fake.project(world.project, {"bot": MAINTAINER})
    say(f"  {linked:,} problems and issues are made")
    facts = [
        occurrence(
            n, at=clock() - timedelta(minutes=n), fingerprint=f"1:{n:08x}", title=f"Error {n}", dag=f"dag_{n % 500}"
        )
        for n in range(linked)
    ]
    world.service.record(facts)
    world.service.settle(clock())
    for row in world.service.queue(clock()):
        project.last_iid += 1
        at = clock() - timedelta(hours=2, minutes=3 * project.last_iid)
        made = Issue(
            fake.state.new_id(), project.last_iid, project.id, bot.id, row.problem.title, at, at,
            f"<!-- airtriage:v1 problem={row.problem.id} -->", labels=("airtriage",),
        )  # fmt: skip
        fake.state.put("issue", made)
        mirror = Mirror(
            row.problem.id, fake.url, project.path, MirrorStatus.LINKED, at, project_id=project.id, issue_id=made.id, iid=made.iid,
            web_url=f"{fake.url}/{project.path}/-/issues/{made.iid}", labels=("airtriage",), updated_at=at, linked_at=at, dags=1,
        )  # fmt: skip
        world.store.save(mirror, None)
        world.service.mirrored(row.problem.id, mirror.web_url, clock())
    words = world.words(world.service, clock)
    for row in world.service.queue(clock()):
        found = world.store.get(Mirror, row.problem.id)
        assert found is not None
        world.store.save(
            replace(found[0], told=stamp(row, words.edition(row.problem.id)), written_at=clock()), found[1]
        )
    newest = max(issue.created_at for issue in fake.issues())
    known = Tracker(
        fake.url, project.path, project.id, bot="bot", bot_id=bot.id, greeted_at=clock(), found_until=newest, read_until=newest,
        checked_at=clock(), heard_at=clock(), steady_at=clock() - timedelta(hours=1),
    )  # fmt: skip
    world.store.save(known, None)


if __name__ == "__main__":
    raise SystemExit(main())
