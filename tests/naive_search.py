"""What a query means, said as plainly as can be: each failed try looked at by itself, without an index.

The oracle of the stores: slow, and short enough to be believed. And random trees of what the sixty tries of
`search_contract` hold, so that they find something.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from hypothesis import strategies as st

from tests.search_contract import HOUR, NOW, tries
from triage import tokens
from triage.model import Occurrence
from triage.query import Between, Both, Either, Field, Members, Never, Query, Words
from triage.tokens import fold

_FACTS = tries()


def found(query: Query, facts: Iterable[Occurrence]) -> list[str]:
    """Return the ids of those that satisfy the query, newest first, of the same time the greatest id first."""
    hits = [fact for fact in facts if holds(query, fact)]
    return [fact.key.id for fact in sorted(hits, key=lambda fact: (fact.ended_at, fact.key.id), reverse=True)]


def holds(query: Query, fact: Occurrence) -> bool:
    """Say whether a try satisfies a query."""
    match query:
        case Both(parts):
            return all(holds(part, fact) for part in parts)
        case Either(parts):
            return any(holds(part, fact) for part in parts)
        case Never(part):
            return not holds(part, fact)
        case Members(pairs):
            return (fact.key.deployment, fact.fingerprint) in pairs
        case Words(sought, prefix, "title"):
            return _stand(tokens.cut(fact.signature.title if fact.signature else ""), sought, prefix)
        case Words(sought, prefix):
            return _stand(tokens.of(fact, fact.kept or ()).split(), sought, prefix)
        case Between(name, low, high):
            value = {"at": fact.ended_at, "try": fact.key.try_number, "map": fact.key.map_index}[name]
            return (low is None or value >= low) and (high is None or value <= high)  # type: ignore[operator]
        case Field(name, value, prefix):
            values = [fold(one) for one in values_of(name, fact)] or [""]
            if name == "exception":
                values += [one.rpartition(".")[2] for one in values]
            return any(one.startswith(value) if prefix else one == value for one in values)


def _stand(words: list[str], sought: tuple[str, ...], prefix: bool) -> bool:
    for place in range(len(words) - len(sought) + 1):
        here = words[place : place + len(sought)]
        if here[:-1] == list(sought[:-1]) and (here[-1].startswith(sought[-1]) if prefix else here[-1] == sought[-1]):
            return True
    return False


def values_of(name: str, fact: Occurrence) -> list[str]:
    """Return the values of a field, as they are kept; none where it has none."""
    signed, key = fact.signature, fact.key
    of_signature = {
        "cause": signed.cause if signed else "", "title": signed.title if signed else "",
        "exception": (signed.exception or "") if signed else "", "fingerprint": fact.fingerprint,
    }  # fmt: skip
    of_key = {"deployment": key.deployment, "dag": key.dag_id, "task": key.task_id, "run": key.run_id}
    if name == "tag":
        return list(fact.tags)
    value = {**of_signature, **of_key}.get(name)
    value = str(getattr(fact, name)) if value is None else value
    return [value] if value else []


# --- random trees


@st.composite
def _words(draw: st.DrawFn) -> Words:
    fact = draw(st.sampled_from(_FACTS))
    field = draw(st.sampled_from(["text", "text", "text", "title"]))
    words = tokens.of(fact, fact.kept or ()).split() if field == "text" else tokens.cut(fact.signature.title if fact.signature else "x")  # fmt: skip
    place = draw(st.integers(0, len(words) - 1))
    sought = words[place : place + draw(st.integers(1, 3))]
    if draw(st.integers(0, 9)) == 0:
        sought = sought[::-1]
    if draw(st.booleans()) and len(sought[-1]) > 2:
        cut = draw(st.integers(2, len(sought[-1])))
        return Words((*sought[:-1], sought[-1][:cut]), True, field)
    return Words(tuple(sought), False, field)


_NAMES = ["deployment", "dag", "task", "run", "cause", "title", "exception", "owner", "operator", "queue", "pool", "host", "tag", "log", "fingerprint"]  # fmt: skip


@st.composite
def _fields(draw: st.DrawFn) -> Field:
    name = draw(st.sampled_from(_NAMES))
    value = fold(draw(st.sampled_from(["", *(one for fact in _FACTS for one in values_of(name, fact))])))
    if not draw(st.booleans()):
        return Field(name, value)
    return Field(name, value[: draw(st.integers(0, len(value)))], True)


@st.composite
def _ranges(draw: st.DrawFn) -> Between:
    name = draw(st.sampled_from(["at", "at", "try", "map"]))
    if name == "at":
        hours = st.none() | st.integers(-1, 62).map(lambda n: NOW - n * HOUR) | st.just(NOW - HOUR / 3)
        step = timedelta(microseconds=draw(st.sampled_from([-1, 0, 0, 1])))
        low, high = draw(hours), draw(hours)
        return Between(name, low and low + step, high)
    bounds = st.none() | st.integers(-2, 13)
    return Between(name, draw(bounds), draw(bounds))


_MEMBERS = st.frozensets(
    st.sampled_from([(deployment, fact.fingerprint) for fact in _FACTS if fact.fingerprint for deployment in ("prod", "dev")]), max_size=3
).map(Members)  # fmt: skip
TREES: st.SearchStrategy[Query] = st.recursive(
    st.one_of(_words(), _words(), _fields(), _ranges(), _MEMBERS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda parts: Both(tuple(parts))),
        st.lists(inner, min_size=1, max_size=4).map(lambda parts: Either(tuple(parts))),
        inner.map(Never),
    ),
    max_leaves=10,
)
