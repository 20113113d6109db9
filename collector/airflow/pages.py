"""The lists of Airflow's API, page by page and without losing a row.

Owns paging: by cursor where the server has one, else by offset, against which a list may shift while it is read; and that
no list goes on for ever. Hides the server's silent cap of a page. Knows no row beyond what tells it from its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from collector.airflow import rows
from collector.airflow.rows import Row
from collector.airflow.session import Session
from collector.airflow.words import Endpoint

PAGE = 100  # Airflow's own default of [api] maximum_page_limit: asking for more gives no more
_STEP_BACK = 50  # rows; more than ever leave a list between two questions
_MOST = 10_000  # questions for one list: a million rows, ten times what a broken night of a big deployment writes in an hour
# A row keeps these while its state, times and even Airflow's own id for the instance change.
_IDENTITY = ("event_log_id", "import_error_id", "dag_id", "dag_run_id", "task_id", "map_index", "name")


def pages(
    session: Session, endpoint: Endpoint, name: str, cursor: str | None = None, **arguments: Any
) -> Iterator[list[Row]]:
    """Yield the pages of the list `name` of an answer: by cursor where "" is given and the server takes it, else by offset.

    Advances by the rows that came: the server caps the limit silently. A list of a run that is gone is empty. Read by
    offset, each page begins with the last row of the one before: where it is another one, rows have left the list
    meanwhile, those behind moved forward, and we step back: then rows come twice, never not at all. A list that leads back
    to where it was, or has no end, is a SourceError: what came of it was yielded.
    """
    offset, longest = 0, 0
    last: object = None  # the row before `offset`, by which a shift is seen
    before: list[Row] = []
    followed: set[int] = set()
    for _ in range(_MOST):
        overlap = 1 if last is not None and longest > 1 else 0
        place = {"offset": offset - overlap} if cursor is None else {"cursor": cursor}
        body = session.json(endpoint, limit=PAGE, **place, **arguments)
        if body is None:
            if arguments.get("dag_id", "~") == "~":
                raise session.words.no_endpoint(endpoint)
            return
        page = rows.items(body.get(name))
        if not isinstance(body.get(name), list) or (page and page == before):
            raise session.words.shapeless(endpoint, body)
        before = page
        longest = max(longest, len(page))
        if overlap and cursor is None:
            if [_identity(row) for row in page[:1]] != [last]:
                offset, last = max(0, offset - _STEP_BACK), None
                continue
            page = page[1:]
        if page:
            yield page
        offset, last = offset + len(page), _identity(page[-1]) if page else last
        if cursor is not None and "next_cursor" in body:
            cursor = rows.text(body["next_cursor"])
            if not cursor:
                return
            if hash(cursor) in followed:
                raise session.words.endless(endpoint)
            followed.add(hash(cursor))
        else:
            # Airflow 3.0 and 3.1 ignore `cursor` and name no next one: what came was the first page by offset.
            cursor = None
            total = _total(body)
            if not page or (total is not None and offset >= total):
                return
    raise session.words.endless(endpoint)


def _identity(row: Row) -> tuple[object, ...]:
    return tuple(row.get(name) for name in _IDENTITY)


def _total(body: Row) -> int | None:
    """Return how many rows a list has; None where the server stops counting."""
    total, limit = rows.number(body.get("total_entries")), rows.number(body.get("total_entries_limit"))
    return None if total is None or (limit is not None and total >= limit) else total
