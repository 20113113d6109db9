"""What Elasticsearch is told to search: a query tree as its query DSL. Pure.

Owns which fields a term of ours means. Everything a person typed arrives as whole tokens or folded values in term-level
queries; nothing is ever parsed by the server, nothing is scored.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from triage.errors import StoreError
from triage.query import FACETS, Between, Both, Either, Field, Members, Never, Query, Words
from triage.store.elastic.documents import member, micros
from triage.store.elastic.indices import FOLDED

_TOKENS = {"text": "text", "title": "heading"}
_TERMS = 60_000  # values of one `terms`; the server's limit is 65,536
# How many words may begin with the last one of a phrase: all, for a server that stops counting finds too little. Its
# default is 50 (https://www.elastic.co/docs/reference/query-languages/query-dsl/query-dsl-match-query-phrase-prefix).
_ALL = 2**31 - 1


def compile_query(query: Query) -> dict[str, Any]:
    """Turn a query tree into a query in filter context."""
    match query:
        case Words(tokens, prefix, field):
            return _words(_TOKENS[field], tokens, prefix)
        case Field(name, value, prefix) if name in FOLDED:
            return {"prefix" if prefix else "term": {f"folded.{name}": {"value": value}}}
        case Between(name, low, high):
            bounds = {sign: _number(bound) for sign, bound in (("gte", low), ("lte", high)) if bound is not None}
            return {"range": {name: bounds}} if bounds else {"match_all": {}}
        case Members(pairs):
            return of_members(pairs)
        case Both(parts):
            return {"bool": {"filter": [compile_query(part) for part in parts]}} if parts else {"match_all": {}}
        case Either(parts):
            return {"bool": {"should": [compile_query(part) for part in parts]}} if parts else {"match_none": {}}
        case Never(part):
            return {"bool": {"must_not": [compile_query(part)]}}
        case _:
            raise StoreError(f"The store cannot search by {query!r}.")


def of_members(pairs: Any) -> dict[str, Any]:
    """Return the query for the occurrences of these (deployment, fingerprint) pairs."""
    values = sorted(member(*pair) for pair in pairs)
    parts = [{"terms": {"member": values[start : start + _TERMS]}} for start in range(0, len(values), _TERMS)]
    return parts[0] if len(parts) == 1 else {"bool": {"should": parts}} if parts else {"match_none": {}}


def facet(name: str) -> str:
    """Return the field that a facet is counted by."""
    if name not in FACETS:
        raise StoreError(f"The store cannot count by {name!r}.")
    return name


def _words(field: str, tokens: tuple[str, ...], prefix: bool) -> dict[str, Any]:
    if len(tokens) == 1:
        return {"prefix" if prefix else "term": {field: {"value": tokens[0]}}}
    phrase = " ".join(tokens)
    if not prefix:
        return {"match_phrase": {field: {"query": phrase}}}
    # The words before the last one are asked for on their own too: few documents have all of them, and only those are
    # looked at for where the last one stands.
    every = [{"term": {field: {"value": token}}} for token in dict.fromkeys(tokens[:-1])]
    return {"bool": {"filter": [*every, {"match_phrase_prefix": {field: {"query": phrase, "max_expansions": _ALL}}}]}}


def _number(bound: datetime | int) -> int | None:
    return micros(bound) if isinstance(bound, datetime) else bound
