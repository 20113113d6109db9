"""The search language: Lucene syntax, parsed into a small tree that each store compiles.

`tree` is what a query means, `fields` what can be searched; `scan` cuts a person's text into pieces and refuses what is
wrong or costly with its place, `terms` and `dates` say what one piece means, `parsing` brings them together with luqum's
grammar. A person's text never reaches a server's own query parser. Terms about problems (`state:`, `is:`, …) are part
of the tree; the service replaces them by `Members` before a store sees it.
"""

from triage.query.fields import FACETS, FIELDS, KNOWN, PROBLEM_FIELDS, Kind, Known
from triage.query.parsing import parse
from triage.query.tree import (
    EVERYTHING,
    Between,
    Both,
    Either,
    Field,
    Members,
    Never,
    Query,
    Words,
    both,
    rewrite,
)

__all__ = [
    "EVERYTHING", "FACETS", "FIELDS", "KNOWN", "PROBLEM_FIELDS", "Between", "Both", "Either", "Field", "Kind", "Known", "Members", "Never",
    "Query", "Words", "both", "parse", "rewrite",
]  # fmt: skip
