"""Search over all failed tries: what is found, by time, by facet and page by page. The address holds all of it.

A query is the language of `triage.query`. Zero hits say which part of the query found nothing. With `seen=1` a pasted log
is asked about instead.
"""

from __future__ import annotations

from functools import partial
from urllib.parse import urlencode

import streamlit as st

from triage import search
from triage.errors import InputError
from triage.hits import wanted
from triage.narrowing import FACETED, added, chosen, term
from triage.query import EVERYTHING, Between, Both, Either, Never, Query, Words
from triage.timeline import Span, span, timeline
from ui.format import many, one_line
from ui.front import pasting, saving, sheet
from ui.front.components import bars, columns, facets, query_box, tries
from ui.front.components import sheet as show
from ui.front.desk import desk
from ui.front.frame import guarded, told
from ui.front.trying import hit_rows

_PAGE = 50
_TRAIL = 8  # pages before this one that the address remembers
_FEW, _VALUES = 6, 40  # values of a facet shown at once, and after a click
_LABELS = {"dag": "DAG"}
_EXAMPLES = (
    "deadlock",
    "exception:TimeoutError",
    "dag:orders* try:[2 TO *]",
    '"connection refused" at:[now-1d TO now]',
    "is:needs cause:database",
)


def render() -> None:
    """Draw the query and what it finds, or the field for a log."""
    if st.query_params.get("seen"):
        pasting.block()
        return
    now, params = desk().now(), st.query_params
    text = params.get("q", "").strip()
    within = span(params.get("from", ""), params.get("to", ""))
    wrong: InputError | None = None
    query: Query = EVERYTHING
    place = None
    try:
        query = search.understood(desk().service, text, now, within)
        place = search.place(params.get("after", ""))
    except InputError as exc:
        wrong = exc
    st.fragment(_box)(text, within, wrong)
    if wrong is not None:
        return
    _found(text, query, within, place)


def _found(text: str, query: Query, within: Span | None, place: search.Place | None) -> None:
    store = desk().service.store
    as_of = store.revision()
    state = (as_of, desk().now().replace(second=0, microsecond=0))
    asked = (text, within)
    count = partial(store.histogram, query, as_of=as_of)
    counted = desk().remembered(("bars", asked), state, lambda: timeline(count, within))
    if counted is None:
        _nothing(text, query, within)
        return
    with st.container(key="found"):
        left, right = st.columns([3, 13], gap="medium")
    with left:
        found = desk().remembered(("facets", asked), state, lambda: search.facets(store, query, _VALUES, as_of=as_of))
        facets("facets", [_facet(field, values, text, within) for field, values in found.items() if values])
    with right:
        bars("hist", counted, narrow="search?" + _address(text) + "from={from}&to={to}")
        _told(text, within, counted.total)
        _hits(text, query, within, place, counted.total, as_of)


def _facet(field: str, values: list[tuple[str, int]], text: str, within: Span | None) -> dict[str, object]:
    rows = [
        (one_line(value, 200), count, "search?" + _address(added(text, term(field, value)), within).rstrip("&"))
        for value, count in values
    ]
    return {"field": field, "label": _LABELS.get(field, field), "few": _FEW, "values": rows}


def _told(text: str, within: Span | None, total: int) -> None:
    address = _address(text, within).rstrip("&")
    files = [sheet.file(name, f"search.{form}?{address}") for name, form in (("CSV", "csv"), ("JSON lines", "jsonl"))]
    with st.container(horizontal=True, vertical_alignment="center", key="told"):
        count = sheet.strong(f"{total:,} {'failed try' if total == 1 else 'failed tries'}")
        wider = ["   ", sheet.link("zoom out", "search?" + _address(text, within.wider).rstrip("&"))] if within else []
        show("counts", [sheet.p(count, "   export ", files[0], ", ", files[1], *wider, tone="quiet")])
        saving.block(_savable(text, within))


def _savable(text: str, within: Span | None) -> str:
    """The query at hand as one text, the span of time in it."""
    if within is None:
        return text
    return added(text, f'at:["{within.since.isoformat()}" TO "{within.until.isoformat()}"]')


def _hits(text: str, query: Query, within: Span | None, place: search.Place | None, total: int, as_of: int) -> None:
    found = desk().service.store.search(query, _PAGE + 1, place, as_of=as_of)
    hits = found[:_PAGE]
    here, trail = st.query_params.get("after", ""), _trail()
    first = "search?" + _address(text, within)

    def at(after: str, passed: list[str]) -> str:
        return first + urlencode({"after": after} | ({"trail": ".".join(passed)} if passed else {}))

    head = {
        "titles": True, "shown": "",
        "more": at(search.written(hits[-1]), [*trail, here or "0"][-_TRAIL:]) if len(found) > _PAGE else "",
        "back": "" if not trail else first.rstrip("&") if trail[-1] == "0" else at(trail[-1], trail[:-1]),
        "first": first.rstrip("&") if here else "", "left": f"of {total:,}, newest first",
    }  # fmt: skip
    if not hits:
        show(
            "past",
            [
                sheet.empty(
                    "Nothing older", ["This is the end of the list. ", sheet.link("To the newest", first.rstrip("&"))]
                )
            ],
        )
        return
    tries("hits", head, columns({"tries": hit_rows(hits, wanted(query))}))


def _trail() -> list[str]:
    """The pages passed on the way here, as the address has them; `0` is the first."""
    parts = st.query_params.get("trail", "").split(".")[-_TRAIL:]
    try:
        return [part for part in parts if part and (part == "0" or search.place(part))]
    except InputError:
        return []


def _nothing(text: str, query: Query, within: Span | None) -> None:
    store = desk().service.store
    if not store.count(EVERYTHING):
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
    guilty = [part for part in (query.parts if isinstance(query, Both) else ()) if not store.count(part)]
    said = (
        "Each part finds something, but no try has all of them."
        if not guilty
        else f"{many(len(guilty), 'part')} of the query finds nothing by itself: {'; '.join(map(_part, guilty))}."
    )
    ways: list[sheet.Run] = ["Logs are searched by whole words; end one with * for any ending: time*."]
    if within is not None:
        ways = [sheet.link("Search all of time", "search?" + _address(text).rstrip("&")), ". ", *ways]
    show(
        "none",
        [
            sheet.empty(
                "No failed try matches",
                [said] if isinstance(query, Both) and query.parts else ["No kept log, title or id holds this."],
                ways,
            )
        ],
    )


def _part(part: Query) -> str:
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


def _address(text: str, within: Span | None = None) -> str:
    """The address of a query and a span, ready for more to be added."""
    kept = {"q": text} if text else {}
    if within is not None:
        kept |= {"from": within.first, "to": within.last}
    return urlencode(kept) + ("&" if kept else "")


# --- the box: a fragment, so that a keystroke draws nothing else anew


def _box(text: str, within: Span | None, wrong: InputError | None) -> None:
    if st.session_state.pop("was_pasted", False):
        st.query_params.clear()
        st.query_params["seen"] = "1"
        st.rerun()
    guarded(lambda: query_box("box", _head(text, within, wrong), _ask, _paste))


def _ask() -> None:
    st.session_state["asked"] = str(st.session_state["box"]["ask"] or "")


def _paste() -> None:
    st.session_state[pasting.TEXT] = str(st.session_state["box"]["pasted"] or "")
    st.session_state["was_pasted"] = True


def _head(text: str, within: Span | None, wrong: InputError | None) -> dict[str, object]:
    typed = st.session_state.pop("asked", "")
    offers = desk().values.offers(typed, desk().now()) if typed else []
    chips = [
        {"words": f"{_LABELS.get(one.field, one.field)}: {one_line(one.value, 60)}", "href": "search?" + _address(one.rest, within).rstrip("&")}
        for one in chosen(text)
        if one.field in FACETED
    ]  # fmt: skip
    if within is not None:
        chips.append({"words": within.words, "href": "search?" + _address(text).rstrip("&")})
    return {
        "q": text, "chips": chips, **told(wrong),
        "examples": () if text or within else _EXAMPLES, "offers": {"typed": typed, "found": [(one.text, one.count) for one in offers]},
        "keep": {"from": within.first, "to": within.last} if within else {},
    }  # fmt: skip
