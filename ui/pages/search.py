"""Search over all failed tries: have we seen this before? The address holds the query, the days and how much is shown.

A query is the language of `triage.query`. Zero hits say which part of the query found nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import urlencode

import streamlit as st

from triage.causes import CAUSES
from triage.errors import InputError
from triage.model import LogStatus, Occurrence
from triage.query import FIELDS, Between, Both, Either, Never, Query, Words, both, parse
from triage.records import TriageState
from ui.format import many, number
from ui.front import sheet
from ui.front.components import bars, columns, query_box, tries
from ui.front.components import sheet as show
from ui.front.desk import desk
from ui.pages.problem import try_row

_PAGE, _MOST = 50, 1000
_EXAMPLES = (
    "deadlock",
    "exception:TimeoutError",
    "dag:orders* try:[2 TO *]",
    '"connection refused" at:now-1d',
    "is:needs cause:database",
)


def render() -> None:
    """Draw the query and what it finds."""
    now, params = desk().now(), st.query_params
    text = params.get("q", "").strip()
    days, kept = _days(params.get("from", ""), params.get("to", ""))
    error, query = "", None
    try:
        query = both(desk().service.resolve_terms(parse(text, now), now), *days)
    except InputError as exc:
        error = str(exc)
    query_box("box", _box(text, error, kept))
    if query is not None:
        _found(text, query, now)


def _found(text: str, query: Query, now: datetime) -> None:
    store, params = desk().service.store, st.query_params
    counted = store.histogram(query)
    total = sum(counted.values())
    if not total:
        _nothing(text, query, now)
        return
    asked = params.get("limit", "")
    shown = min(int(asked), _MOST) if re.fullmatch("[1-9][0-9]{0,5}", asked) else _PAGE
    hits = store.search(query, shown)
    bars("hist", counted, narrow="search?" + _address(text, {}) + "from={from}&to={to}")
    show(
        "counts",
        [
            sheet.p(
                sheet.strong(f"{number(total)} {'failed try' if total == 1 else 'failed tries'}"),
                *_facets(text, hits),
                tone="quiet",
            )
        ],
    )
    rows = [try_row(hit, desk().service.problem_of(hit)) for hit in hits]
    more = "search?" + _address(text, dict(params)) + f"limit={shown + _PAGE}" if shown < min(total, _MOST) else ""
    head = {
        "titles": True,
        "words": _words(query),
        "shown": "",
        "more": more,
        "left": f"{number(total - len(hits))} more",
    }
    tries("hits", head, columns({"tries": rows}))


def _facets(text: str, hits: list[Occurrence]) -> list[sheet.Run]:
    """Return what the hits on the page have most of, each narrowing the query."""
    runs: list[sheet.Run] = []
    found = {
        "dag": Counter(hit.key.dag_id for hit in hits),
        "cause": Counter(hit.signature.cause for hit in hits if hit.signature),
        "deployment": Counter(hit.key.deployment for hit in hits),
    }
    for field, counts in found.items():
        if len(counts) > 1:
            runs += [f"   {field}: "]
            for place, (name, count) in enumerate(counts.most_common(4)):
                term = (
                    f"{field}:{name}"
                    if name.replace("_", "").replace("-", "").isalnum()
                    else f'{field}:"{_quoted(name)}"'
                )
                runs += [
                    ", " if place else "",
                    sheet.link(f"{name} {count}", "search?" + urlencode({"q": f"{text} {term}".strip()})),
                ]
    return [*runs, f"   (of the newest {len(hits)})"] if runs and len(hits) == _PAGE else runs


def _nothing(text: str, query: Query, now: datetime) -> None:
    if not text and not desk().service.store.count(Both()):
        show(
            "none",
            [
                sheet.empty(
                    "No failed try so far",
                    [
                        "They show here as soon as a pass has found one. ",
                        sheet.link("Health", "health"),
                        " says when airtriage last looked.",
                    ],
                )
            ],
        )
        return
    guilty = []
    for part in query.parts if isinstance(query, Both) else ():
        if not desk().service.store.count(part):
            guilty.append(part)
    said = (
        "Each part finds something, but no try has all of them."
        if not guilty
        else f"{many(len(guilty), 'part')} of the query finds nothing by itself: {'; '.join(map(_told, guilty))}."
    )
    advice = "Logs are searched by whole words; end one with * for any ending: time*."
    show(
        "none",
        [
            sheet.empty(
                "No failed try matches",
                [said] if isinstance(query, Both) and query.parts else ["No kept log, title or id holds this."],
                [advice],
            )
        ],
    )


def _told(part: Query) -> str:
    match part:
        case Words(tokens):
            return f"the words {' '.join(tokens)!r}"
        case Between(name):
            return f"the range of {name}"
        case Never():
            return "a part with NOT"
        case Either():
            return "a part with OR"
        case _:
            return f"{getattr(part, 'name', 'a term about problems')}:{getattr(part, 'value', '')}".rstrip(":")


def _words(query: Query) -> list[str]:
    match query:
        case Words(tokens):
            return [token for token in tokens if len(token) > 1]
        case Both(parts) | Either(parts):
            return [word for part in parts for word in _words(part)]
        case _:
            return []


def _days(first: str, last: str) -> tuple[list[Query], str]:
    """Return the days of the address as a range of the query, and in words; nothing for days that are none."""
    try:
        begin = datetime.combine(date.fromisoformat(first), time(), UTC)
        end = datetime.combine(date.fromisoformat(last or first), time(), UTC) + timedelta(days=1, microseconds=-1)
    except (ValueError, OverflowError):
        return [], ""
    return [Between("at", begin, end)], first if last in ("", first) else f"{first} to {last}"


def _address(text: str, params: dict[str, str]) -> str:
    kept = {"q": text} | {name: params[name] for name in ("from", "to") if name in params}
    return urlencode({name: value for name, value in kept.items() if value}) + ("&" if any(kept.values()) else "")


def _box(text: str, error: str, kept: str) -> dict[str, object]:
    rows = desk().rows()
    values = {
        "dag": sorted({dag for row in rows for dag, _ in row.dags})[:500],
        "task": sorted({task.partition(".")[2] for row in rows for task, _ in row.tasks})[:500],
        "cause": sorted(CAUSES), "state": [state.lower() for state in TriageState], "log": list(LogStatus),
        "deployment": sorted(desk().settings.deployments),
        "is": ["needs", "ongoing", "flaky", "muted", "resolved"],
    }  # fmt: skip
    keep = {name: st.query_params[name] for name in ("from", "to") if name in st.query_params}
    return {
        "q": text, "error": error, "examples": _EXAMPLES, "fields": sorted(set(FIELDS.values())), "values": values, "keep": keep,
        "kept": {"words": kept, "href": "search?" + urlencode({"q": text} if text else {})} if kept else None,
    }  # fmt: skip


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
