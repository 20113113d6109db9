"""The indices of a store: their mappings, made once behind aliases, however many workers start at the same moment.

`<prefix>-<what>` is an alias for `<prefix>-<what>-v<layout>`, and `…-at-v<layout>` one that stays: processes of a layout write
through it, so none writes into the index of another. What stands under such a name and is not ours, is of a newer airtriage,
or was changed by hand is refused before anything is written. Holds no document.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from triage.errors import InputError, WrongStore
from triage.store.access import Access
from triage.store.elastic.session import Session

LAYOUT = 1  # raised when a mapping changes; see docs/scaling.md

LONGEST = 8_191  # characters of a keyword: at most 4 bytes each, and Lucene takes 32,766
_EXACT = {"type": "keyword", "ignore_above": LONGEST}
_LONG = {"type": "long"}
_UNSEEN = {"type": "object", "enabled": False}  # kept as it came; never parsed, never searched
# Compared with a folded value; the value as it is stands beside it, for facets.
_FOLDED = {"type": "keyword", "ignore_above": LONGEST, "doc_values": False}
_SHOWN = {"type": "keyword", "ignore_above": LONGEST, "index": False}
# Tokens were cut already; a score is never asked for, so no lengths are kept.
_TOKENS = {"type": "text", "analyzer": "whitespace", "norms": False}
FOLDED = (
    "deployment", "dag", "task", "run", "cause", "title", "exception", "owner", "operator", "queue", "pool", "host", "log",
    "fingerprint", "tag",
)  # fmt: skip
_MAPPINGS: dict[str, dict[str, Any]] = {
    "record": {
        "kind": _EXACT, "key": _SHOWN, "parent": _EXACT, "wake_at": _LONG, "revision": _LONG, "body": _UNSEEN, "hash": _EXACT,
    },
    "occurrence": {
        "id": _EXACT, "deployment": _EXACT, "fingerprint": _EXACT, "member": _EXACT, "edition": _EXACT, "day": _EXACT,
        "dag": _SHOWN, "task": _SHOWN, "cause": _SHOWN, "title": _SHOWN, "exception": _SHOWN, "owner": _SHOWN,
        "operator": _SHOWN, "queue": _SHOWN, "pool": _SHOWN, "host": _SHOWN, "tag": _SHOWN, "log": _SHOWN, "run": _SHOWN,
        "map": _LONG, "try": _LONG, "at": _LONG, "started": _LONG, "final": _LONG, "next_fetch": _LONG, "version": _LONG,
        "bundle": _SHOWN, "is_kept": {"type": "boolean"}, "text": _TOKENS, "heading": _TOKENS,
        "folded": {"dynamic": "strict", "properties": dict.fromkeys(FOLDED, _FOLDED)},
        "body": _UNSEEN, "kept": {"type": "binary"},
    },
    "summary": {"member": _EXACT, "month": _EXACT, "hash": _EXACT, "body": _UNSEEN, "hours": _UNSEEN},
    "touched": {"mark": _EXACT, "deployment": _SHOWN, "fingerprint": _SHOWN, "day": _SHOWN, "until": _LONG},
    "dead": {"deployment": _EXACT, "reason": _SHOWN, "at": _LONG, "body": _UNSEEN, "kept": {"type": "binary"}, "hash": _EXACT},
}  # fmt: skip
# Whatever can be made again from these is left out of what is stored beside the index.
_SOURCE = {"occurrence": {"includes": ["body", "kept"]}}


_ELSEWHERE = "Move it away, or put another prefix at the end of the URL that the setting store holds."


class Indices:
    """The names of a store's indices; `of` ends each, and is empty for whatever layout there is."""

    def __init__(self, prefix: str, of: str = "") -> None:
        self.prefix = prefix
        self.record, self.occurrence = f"{prefix}-record{of}", f"{prefix}-occurrence{of}"
        self.summary, self.touched, self.dead = f"{prefix}-summary{of}", f"{prefix}-touched{of}", f"{prefix}-dead{of}"

    @property
    def all(self) -> str:
        return ",".join((self.record, self.occurrence, self.summary, self.touched, self.dead))


def prepare(
    session: Session,
    prefix: str,
    access: Access,
    migrate: Callable[[Session, str, dict[str, str], Access], None],
    *,
    frozen: bool = False,
) -> Indices:
    """Make what is missing, `migrate` what is of an older layout, refuse what is not ours; by any number of processes at once.

    All is looked at before anything is made, so that a refusal leaves nothing behind. With `frozen` nothing is made, and
    neither an older layout nor a mapping changed by hand is a hindrance: who reads it can copy it.
    """
    names = {f"{prefix}-{what}": what for what in _MAPPINGS}
    there = {alias: found for alias in names if (found := look(session, alias)) is not None}
    for alias, found in there.items():
        _judge(alias, names[alias], found, frozen=frozen, is_older_fine=True)
    if frozen and len(there) < len(names):
        raise InputError(f"There is no store of airtriage at {prefix}.", "Check the prefix at the end of the URL.")
    if frozen:
        return Indices(prefix)
    for alias in [alias for alias in names if alias not in there]:
        _refuse_squatter(session, alias)
    if older := {alias: names[alias] for alias, found in there.items() if layout_of(found) < LAYOUT}:
        migrate(session, prefix, older, access)
    for alias, what in names.items():
        if alias not in there:
            make(session, alias, what, access, {alias: {"is_write_index": True}, at(alias): {}})
        if alias not in there or alias in older:
            _judge(alias, what, look(session, alias))
        else:
            ((index, about),) = there[alias].items()
            if at(alias) not in about["aliases"]:
                add = {"index": index, "alias": at(alias)}
                session.ask("POST", "/_aliases", {"actions": [{"add": add}]})
    return Indices(prefix, at(""))


def at(alias: str) -> str:
    """Return the alias that processes of this layout use, wherever `alias` leads to by then."""
    return f"{alias}-at-v{LAYOUT}"


def layout_of(found: dict[str, Any]) -> int:
    """Return the layout of the one index that `look` found."""
    (about,) = found.values()
    return int(about["mappings"]["_meta"]["airtriage"]["layout"])


def look(session: Session, alias: str) -> dict[str, Any] | None:
    """Return index by index what an alias leads to; None where there is no such name."""
    found: dict[str, Any] | None = session.ask("GET", f"/{alias}", is_missing_fine=True, flat_settings="true")
    return found


def make(session: Session, alias: str, what: str, access: Access, aliases: dict[str, Any]) -> None:
    """Make an index and its aliases in one step: whoever finds the one finds the others."""
    body = {
        "settings": {
            "number_of_shards": access.shards if what == "occurrence" else 1,
            **({"auto_expand_replicas": "0-1"} if access.replicas is None else {"number_of_replicas": access.replicas}),
        },
        "mappings": mapping(what),
        "aliases": aliases,
    }
    session.ask("PUT", f"/{alias}-v{LAYOUT}", body, is_there_fine=True)


def _refuse_squatter(session: Session, alias: str) -> None:
    """WrongStore where the index that is to be made exists without its alias; another starter makes both in one step."""
    index = f"{alias}-v{LAYOUT}"
    if look(session, index) is not None and look(session, alias) is None:
        raise WrongStore(
            f"The index {index} exists without its alias {alias}, so it is not one that airtriage made.", _ELSEWHERE
        )


def mapping(what: str) -> dict[str, Any]:
    """Return the mapping of one kind of index."""
    found: dict[str, Any] = {
        "dynamic": "strict",
        "_meta": {"airtriage": {"layout": LAYOUT, "what": what}},
        "properties": _MAPPINGS[what],
    }
    return found | ({"_source": _SOURCE[what]} if what in _SOURCE else {})


def _judge(
    alias: str, what: str, found: dict[str, Any] | None, *, frozen: bool = False, is_older_fine: bool = False
) -> None:
    """WrongStore unless the alias leads to exactly one index, of ours, of this layout, as we made it."""
    if found is None or len(found) != 1 or alias in found:
        raise WrongStore(f"{alias} is not the alias of one index, so airtriage did not make it.", _ELSEWHERE)
    ((index, about),) = found.items()
    has = about.get("mappings", {})
    ours = has.get("_meta", {}).get("airtriage", {})
    if ours.get("what") != what:
        raise WrongStore(f"The index {index} was made by something else than airtriage.", _ELSEWHERE)
    if ours.get("layout", 0) > LAYOUT:
        raise WrongStore(
            f"The index {index} was written by a newer airtriage (its layout is {ours['layout']}, this one knows {LAYOUT}).",
            "Install that version again, or put another prefix at the end of the URL that the setting store holds.",
        )
    wants = mapping(what)
    if has == wants or frozen or (is_older_fine and ours.get("layout", 0) < LAYOUT):
        return
    known, expected = has.get("properties", {}), wants["properties"]
    fields = sorted(name for name in known.keys() | expected.keys() if known.get(name) != expected.get(name))
    where = f"at the field {', '.join(fields)}" if fields else "in its options"
    raise WrongStore(
        f"The mapping of the index {index} was changed by hand, {where}.",
        "Copy the store to another prefix with airtriage copy, which makes it anew.",
    )
