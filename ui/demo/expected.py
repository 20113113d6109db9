"""The causes a careful engineer would see in the demo, by hand, and how a queue may disagree with them.

Owns the table: which failed tries belong to which cause, how many there are, and what is no problem at all. Must not
know how airtriage folds; it is told only which try went to which problem.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

Matches = Callable[[str, str, int], bool]


@dataclass(frozen=True)
class Cause:
    """One root cause: its name, which tasks fail of it (by dag_id, task_id, map_index), and in how many tries."""

    name: str
    matches: Matches
    tries: int


def _in(*tasks: str) -> Matches:
    return lambda dag_id, task_id, map_index: f"{dag_id}.{task_id}" in tasks


def _stores(latin_1: bool) -> Matches:
    return lambda dag_id, task_id, map_index: (
        (dag_id, task_id) == ("store_files", "parse_file") and (map_index in LATIN_1_STORES) is latin_1
    )


LATIN_1_STORES = (7, 16)

CAUSES: tuple[Cause, ...] = (
    Cause(
        "the warehouse refuses connections, in three DAGs",
        _in("orders_hourly.load_orders", "customers_daily.load_customers", "finance_ledger.post_entries"),
        7,
    ),
    Cause("20 stores' files lack a column", _stores(latin_1=False), 20),
    Cause("two stores' files are not UTF-8", _stores(latin_1=True), 2),
    Cause("a flaky source of exchange rates, healed by retry", _in("fx_rates.fetch_rates"), 2),
    Cause("an invoice number twice: IntegrityError", _in("billing_nightly.insert_invoices"), 3),
    Cause("a column that is not there: OperationalError", _in("revenue_report.sum_revenue"), 2),
    Cause("HTTP 429", _in("audience_sync.push_audience"), 3),
    Cause("HTTP 503", _in("geocode_addresses.look_up"), 2),
    Cause("a Bash script whose cp finds no file", _in("customer_export.copy_partition"), 2),
    Cause("a Bash script whose Python reads broken JSON", _in("churn_scores.score"), 2),
    Cause("a template that names an unknown parameter", _in("regional_export.export_region"), 1),
    Cause("SIGKILL, as by the out-of-memory killer", _in("embeddings_build.build_embeddings"), 2),
    Cause("sys.exit(3)", _in("inventory_sync.sync_inventory"), 2),
    Cause("a full disk", _in("feature_snapshot.write_snapshot"), 1),
    Cause("an execution time-out", _in("partner_catalog.download_catalog"), 2),
    Cause("a sensor time-out", _in("supplier_files.wait_for_file"), 1),
    Cause("a trigger that raises", _in("parcel_labels.submit_parcels"), 2),
    Cause("a division by zero below a PricingError", _in("price_baskets.price"), 2),
    Cause("an exception group", _in("price_regions.send_prices"), 2),
    Cause("a webhook that is no JSON", _in("webhook_intake.read_payloads"), 2),
    Cause("a connection nobody defined", _in("account_export.pull_accounts"), 1),
    Cause("None where a value was expected", _in("stock_levels.compare"), 1),
    Cause("a failure under 5 MB of log", _in("clickstream_sessions.sessionize"), 1),
    Cause("a message of colours, HTML, NUL and an emoji", _in("landing_pages.render_pages"), 2),
    Cause("access denied, with secrets around", _in("partner_upload.upload"), 2),
    Cause("a month that does not add up, cleared by hand and tried again", _in("ledger_close.close_month"), 2),
    Cause("a teardown that fails in a run that succeeds", _in("scratch_tables.drop_tables"), 1),
    Cause("a worker that died with its task", _in("video_transcode.encode"), 1),
    Cause("a running task marked as failed by hand", _in("search_index.rebuild_index"), 1),
    Cause("a finished task marked as failed by hand", _in("payments_settlement.settle"), 1),
)
TRIES = sum(cause.tries for cause in CAUSES)

# What must never show as a problem: it logs errors and succeeds, it never ran, its cause is elsewhere.
NO_PROBLEM = (
    ("endpoint_probe", "probe"), ("orders_hourly", "publish_orders"), ("stock_levels", "read_stock"),
    ("ledger_close", "send_balance"), ("scratch_tables", "compare"),
)  # fmt: skip
# Files that do not import: shown on Health, never as a try.
IMPORT_FAILURES = ("recommendations.py",)


def disagreements(rows: Iterable[tuple[str, str, int, str]]) -> list[str]:
    """Compare one row (dag_id, task_id, map_index, problem id) per failed try with the table; empty when both agree."""
    found: list[str] = []
    problems: dict[Cause, Counter[str]] = {cause: Counter() for cause in CAUSES}
    causes: dict[str, dict[str, None]] = defaultdict(dict)
    for dag_id, task_id, map_index, problem in rows:
        task = f"{dag_id}.{task_id}" + (f"[{map_index}]" if map_index >= 0 else "")
        cause = next((cause for cause in CAUSES if cause.matches(dag_id, task_id, map_index)), None)
        if cause is None:
            found.append(f"{task} is no expected failure, but stands in problem {problem}.")
        elif not problem:
            found.append(f"A try of {task} stands in no problem ({cause.name}).")
        else:
            problems[cause][problem] += 1
            causes[problem][cause.name] = None
    for cause, counts in problems.items():
        found += _of_one_cause(cause, counts)
    for problem, names in causes.items():
        if len(names) > 1:
            found.append(f"Merged: problem {problem} holds {len(names)} causes: {'; '.join(names)}.")
    return found


def _of_one_cause(cause: Cause, counts: Counter[str]) -> list[str]:
    if not counts:
        return [f"Missing: {cause.name} ({cause.tries} tries expected)."]
    found = []
    if len(counts) > 1:
        parts = ", ".join(f"{problem} ({count})" for problem, count in counts.most_common())
        found.append(f"Split: {cause.name} stands in {len(counts)} problems: {parts}.")
    if counts.total() != cause.tries:
        found.append(f"Counted wrong: {cause.name} has {counts.total()} tries, expected {cause.tries}.")
    return found
