"""Saved searches: queries with a name, everybody's or somebody's own. The shell of pages, command line and API.

Owns that a name is unique among those one sees, that what is saved can be read as a query, and who may change what: his own
ones their owner, those of everybody anybody.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from triage.errors import InputError, StaleProblem
from triage.query import parse
from triage.records import SavedSearch
from triage.redact import facts
from triage.service import Service

_LONGEST = 80  # characters of a name
_MOST = 500  # saved searches one sees; more is a list nobody reads
_ROUNDS = 5  # lost races in a row before giving up


def visible(service: Service, who: str) -> list[SavedSearch]:
    """Return everybody's saved searches and those of `who`, by name."""
    kept = (saved for saved, _ in service.store.records(SavedSearch))
    seen = [saved for saved in kept if not saved.is_mine or saved.who == who]
    return sorted(seen, key=lambda saved: (saved.name.casefold(), saved.id))


def find(service: Service, name: str, who: str) -> SavedSearch:
    """Return the saved search of this name or id that `who` sees; InputError if there is none."""
    for saved in visible(service, who):
        if name in (saved.name, saved.id) or name.casefold() == saved.name.casefold():
            return saved
    raise InputError(f"There is no saved search {name!r}.", "airtriage searches lists them.")


def save(
    service: Service, name: str, query: str, who: str, now: datetime, *, is_mine: bool = False
) -> SavedSearch:  # fmt: skip
    """Save a query under a name; InputError for a name that is taken or a query that cannot be read.

    Where the same person saved the very same before, that is returned.
    """
    id = hashlib.sha256(f"{name}\n{who}\n{now.isoformat()}".encode("utf-8", "replace")).hexdigest()[:12]
    made = facts.record(service.redactor, SavedSearch(id, _name(name), query.strip(), who, now, is_mine))
    service.resolve_terms(parse(made.query, now), now)
    kept = visible(service, who)
    for other in kept:
        if other.name.casefold() == made.name.casefold():
            if (other.query, other.who, other.is_mine) == (made.query, who, is_mine):
                return other
            raise _taken(made.name)
    if len(kept) >= _MOST:
        raise InputError(f"There are {len(kept)} saved searches.", "Delete one that nobody needs.")
    with suppress(StaleProblem):  # the same, in the same instant
        service.store.save(made, None)
    return made


def rename(service: Service, name: str, new: str, who: str) -> SavedSearch:
    """Give a saved search another name; InputError for one that is taken."""
    new = service.redactor.text(_name(new))
    for attempt in range(_ROUNDS):
        saved = find(service, name, who)
        if any(other.id != saved.id and other.name.casefold() == new.casefold() for other in visible(service, who)):
            raise _taken(new)
        found = service.store.get(SavedSearch, saved.id)
        try:
            if found is not None:
                service.store.save(changed := replace(found[0], name=new), found[1])
                return changed
        except StaleProblem:
            if attempt == _ROUNDS - 1:
                raise
    raise InputError(f"{name!r} was deleted meanwhile.", "airtriage searches lists what there is.")


def delete(service: Service, name: str, who: str) -> SavedSearch:
    """Delete a saved search and return what it was."""
    saved = find(service, name, who)
    found = service.store.get(SavedSearch, saved.id)
    if found is not None:
        service.store.delete(SavedSearch, saved.id, found[1])
    return saved


def _name(name: str) -> str:
    name = " ".join(name.split())
    if not name:
        raise InputError("The saved search has no name.", "Give it one.")
    if len(name) > _LONGEST:
        raise InputError(f"The name has {len(name)} characters.", f"Use at most {_LONGEST}.")
    if any("\ud800" <= char <= "\udfff" for char in name):
        raise InputError("The name holds half a character.", "Write it again.")
    return name


def _taken(name: str) -> InputError:
    return InputError(f"There is a saved search {name!r} already.", "Choose another name, or delete that one first.")
