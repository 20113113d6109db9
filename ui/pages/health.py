"""Health: can I trust this page, and is Airflow well? Red always comes with a sentence and a next step."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from urllib.parse import urlsplit

import streamlit as st

from triage import presence, retention
from triage.mirrors import MirrorStatus, Tracker
from triage.query import EVERYTHING
from triage.service import HealthView
from triage.watched import Component, ImportFailure, PoolLoad, Worker
from ui.format import length, many, missed, number, one_line
from ui.front import mirror, sheet
from ui.front.components import sheet as show
from ui.front.desk import desk
from ui.front.frame import guarded
from ui.front.sheet import Block, Run

_SHOWN = 30  # import errors listed; a broken shared module breaks every file
_WAITING = {"healthy": "good", "unhealthy": "bad"}


def render() -> None:
    """Draw the health of every deployment, and ours."""
    _health()


@st.fragment(run_every=10)
def _health() -> None:
    guarded(_draw)


def _draw() -> None:
    at = desk()
    views = {view.health.deployment: view for view in at.service.health(at.now())}
    if not views and not at.settings.deployments:
        show("none", [sheet.empty(
            "No Airflow is watched yet",
            ["Name one in airtriage.toml, then start airtriage up again. airtriage doctor checks each connection."],
            lines='[deployments.prod]\nurl = "https://airflow.example.com"\nusername = "svc_triage"\npassword_file = "/run/secrets/airflow"',
        )])  # fmt: skip
    for name in sorted({*views, *at.settings.deployments}):
        with st.container(border=True, key=f"deployment-{name}"):
            view = views.get(name)
            if view and at.settings.deployments and name not in at.settings.deployments:
                show(f"health-{name}", _former(view))
            else:
                show(f"health-{name}", _deployment(view) if view else _unread(name))
    _gitlab()
    with st.container(border=True, key="ours"):
        show("airtriage", _ours())


def _gitlab() -> None:
    """Draw every project of GitLab that is mirrored to, or how GitLab is switched on."""
    at = desk()
    trackers = [tracker for tracker, _ in at.service.store.records(Tracker)]
    if not trackers:
        is_on = bool(at.settings.gitlabs) or at.settings.gitlab.is_on
        with st.container(border=True, key="gitlab"):
            show("gitlab-off", mirror.unasked() if is_on else mirror.off())
    for place, tracker in enumerate(trackers):
        its = [one for one in at.mirrors().values() if (one.gitlab, one.project) == (tracker.gitlab, tracker.project)]
        linked = sum(one.status is MirrorStatus.LINKED for one in its)
        opening = sum(one.status is MirrorStatus.INTENDED for one in its)
        with st.container(border=True, key=f"gitlab-{place}"):
            show(f"gitlab-health-{place}", mirror.health(tracker, linked, opening, at.now()))


def _unread(name: str) -> list[Block]:
    return [
        sheet.headline(name, sheet.dot("warn", "Not read yet")),
        sheet.p(
            "No pass over it has ended. Is the collector running? airtriage up starts it; airtriage doctor says what is in its way."
        ),
    ]


def _former(view: HealthView) -> list[Block]:
    name = view.health.deployment
    return [
        sheet.headline(name, sheet.dot("quiet", "Not watched")),
        sheet.p(
            "The settings do not name it any more. What was kept of it stays; it was last read ",
            sheet.when(view.health.succeeded_at),
            f". Add [deployments.{name}] to the settings to go on.",
        ),
    ]


def _deployment(view: HealthView) -> list[Block]:
    health, backlog, now = view.health, view.backlog, desk().now()
    stale = view.is_stale(now)
    mark = (
        sheet.dot("bad", "Stale")
        if stale
        else sheet.dot("warn", "In part")
        if health.troubles
        else sheet.dot("good", "Fresh")
    )
    blocks = [
        sheet.headline(
            health.deployment,
            mark,
            sheet.away(urlsplit(health.url).netloc or health.url, health.url),
            f"Airflow {health.version}" if health.version else "",
        )
    ]
    for trouble in health.troubles:
        blocks.append(sheet.p(sheet.strong(trouble.what), f" {trouble.fix}", tone="bad" if stale else "warn"))
    if stale and not health.troubles:
        blocks.append(
            sheet.p(
                sheet.strong("No pass has ended for longer than three polls."),
                " Is the collector running? airtriage up starts it.",
                tone="bad",
            )
        )
    waits: list[Run] = (
        [sheet.count(backlog.waiting, "log"), f" awaited, {number(backlog.due)} due now"]
        if backlog.waiting
        else ["none"]
    )
    if backlog.oldest:
        waits += [", the oldest failed ", sheet.when(backlog.oldest)]
    offset = (
        f"{abs(health.offset):.1f} s {'ahead of' if health.offset > 0 else 'behind'} ours"
        if abs(health.offset) >= 1
        else ""
    )
    blocks.append(sheet.facts([
        ("Last good pass", [sheet.when(health.succeeded_at), f", one every {health.poll:g} s; {many(health.listed, 'failed try', 'failed tries')} listed, {many(health.fetched, 'log')} read"]),
        ("Last look", [sheet.when(health.passed_at)] if health.passed_at != health.succeeded_at else []),
        ("Backlog", waits),
        *(("Back-fill" if part.is_first else "Gap", [missed(part, now)]) for part in view.missed),
        ("Airflow's clock", [offset]),
        ("Airflow's parts", _components(health.components)),
    ]))  # fmt: skip
    blocks += _sick(health.components) + _pools(health.pools) + _imports(health.imports)
    return blocks


def _components(components: tuple[Component, ...]) -> list[Run]:
    runs: list[Run] = []
    for it in components:
        runs += ["   "] if runs else []
        runs.append(
            sheet.dot(_WAITING.get(it.status, "quiet"), f"{it.name.replace('_', ' ')} {it.status or 'unknown'}")
        )
        if it.heartbeat and it.status != "healthy":
            runs += [", heartbeat ", sheet.when(it.heartbeat)]
    return runs


def _sick(components: tuple[Component, ...]) -> list[Block]:
    sick = [it.name.replace("_", " ") for it in components if it.status == "unhealthy"]
    if not sick:
        return []
    return [
        sheet.p(
            sheet.strong(f"Airflow's {' and '.join(sick)} gives no sign of life."),
            " Look at its process and its log on Airflow's host, and restart it.",
            tone="bad",
        )
    ]


def _pools(pools: tuple[PoolLoad, ...]) -> list[Block]:
    waiting = [pool for pool in pools if pool.queued + pool.scheduled]
    if not waiting:
        return []
    rows = [
        [pool.name, number(pool.slots), number(pool.running), sheet.strong(number(pool.queued + pool.scheduled))]
        for pool in waiting
    ]
    return [sheet.label("Pools with waiting tasks"), sheet.table(["Pool", "Slots", "Running", "Waiting"], rows)]


def _imports(imports: tuple[ImportFailure, ...]) -> list[Block]:
    if not imports:
        return []
    blocks = [
        sheet.label(
            f"{many(len(imports), 'DAG file')} not importable", "their DAGs do not run in the version you wrote"
        )
    ]
    for it in imports[:_SHOWN]:
        last = next((line.strip() for line in reversed(it.trace.splitlines()) if line.strip()), "no trace")
        blocks.append(sheet.fold([sheet.code(it.file), " ", sheet.quiet(last)], [sheet.pre(it.trace)]))
    if len(imports) > _SHOWN:
        blocks.append(sheet.p(f"and {many(len(imports) - _SHOWN, 'more file')}.", tone="quiet"))
    return blocks


def _ours() -> list[Block]:
    at = desk()
    lag = max((at.now() - v.health.succeeded_at for v in at.health() if v.health.succeeded_at), default=None)
    known = presence.workers(at.service.store)
    alive = [one for one in known if presence.is_alive(one, at.now())]
    lost = next((one.trouble for one in alive if one.trouble), None)
    mark = sheet.dot("bad", "Broker away") if lost else sheet.dot("good", "Store answers")
    if known and not alive:
        mark = sheet.dot("warn", "Nobody at work")
    return [
        sheet.headline("airtriage", mark),
        *([sheet.p(sheet.strong(lost.what), f" {lost.fix}", tone="bad")] if lost else []),
        sheet.facts([
            ("Store", [sheet.code(_bare(at.settings.store_url))]),
            ("Broker", [sheet.code(_bare(at.settings.broker_url))]),
            *_work(alive, [one for one in known if one not in alive]),
            ("Problems", [sheet.count(len(at.rows()))]),
            ("Kept", _kept()),
            ("Refused", _refused()),
            ("Widest lag", [length(lag)] if lag is not None else []),
            ("Versions", [", ".join(f"{name} {_version(name)}" for name in ("airtriage", "streamlit", "celery"))]),
        ]),
    ]  # fmt: skip


def _work(alive: list[Worker], silent: list[Worker]) -> list[tuple[str, list[Run]]]:
    """Say who is at work, who fell silent, who holds the beat, and what waits in the broker, as the last of them saw it."""
    at = desk()
    workers = [one for one in alive if one.threads]
    threads, memory = sum(one.threads for one in workers), sum(one.memory for one in workers)
    busy = number(sum(one.busy for one in alive))
    told = f" with {many(threads, 'thread')}, {busy} of them busy; {memory / 1e6:,.0f} MB of memory"
    idle: list[Run] = [": ", sheet.code("airtriage worker"), " starts one"]
    heard = [(sheet.dot("warn", one_line(one.id)), " ", sheet.when(one.seen_at), "  ") for one in silent]
    newest = max(alive, key=lambda one: one.seen_at, default=None)
    waiting = ", ".join(f"{number(count)} in {lane}" for lane, count in newest.waiting.items()) if newest else ""
    holder = presence.ticking(at.service.store, at.now())
    nobody: list[Run] = ["held by nobody: ", sheet.code("airtriage worker --beat"), " starts one"]
    return [
        ("Workers", [sheet.count(len(workers), "worker"), *([told] if workers else idle)]),
        ("Silent", [run for runs in heard for run in runs]),
        ("Beat", [f"held by {holder}"] if holder else nobody),
        ("Waiting ticks", [waiting] if waiting else []),
    ]


def _kept() -> list[Run]:
    """Say how many failed tries are kept, and since when."""
    at = desk()
    day = retention.horizon(at.service.store).day
    kept = sheet.count(at.service.store.count(EVERYTHING), "failed try", "failed tries")
    since = f"; of those from before {day} only the counts" if day else ""
    return [kept, f" with their logs, for {many(at.settings.retention.days, 'day')}{since}"]


def _refused() -> list[Run]:
    """Say how many failed tries the store refused for good; nothing where there is none."""
    count = desk().service.store.dead()
    if not count:
        return []
    told = f"{many(count, 'failed try', 'failed tries')} by the store"
    return [
        sheet.dot("warn", told),
        ": ",
        sheet.code("airtriage refused"),
        " says why, ",
        sheet.code("airtriage refused --retry"),
        " tries again",
    ]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "from source"


def _bare(url: str) -> str:
    """Return an address without the account in it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if "@" in parts.netloc else url
