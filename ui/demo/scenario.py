"""The demo's course of events: which DAGs run how often, and what a person does to three tasks meanwhile.

Owns the order (quick failures first, so that there is something to see early) and the knowledge of when all is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from triage.errors import ProcessError
from ui.demo.airflow import ThrowawayAirflow

# Each DAG and how many runs it gets, in order.
RUNS: tuple[tuple[str, int], ...] = (
    ("orders_hourly", 2),
    ("customers_daily", 1),
    ("price_baskets", 2),
    ("video_transcode", 1),
    ("search_index", 1),
    ("ledger_close", 1),
    ("billing_nightly", 1),
    ("finance_ledger", 1),
    ("payments_settlement", 1),
    ("inventory_sync", 2),
    ("customer_export", 2),
    ("audience_sync", 1),
    ("supplier_files", 1),
    ("partner_catalog", 1),
    ("parcel_labels", 1),
    ("store_files", 1),
    ("embeddings_build", 1),
    ("churn_scores", 1),
    ("geocode_addresses", 1),
    ("revenue_report", 2),
    ("price_regions", 1),
    ("fx_rates", 2),
    ("webhook_intake", 2),
    ("account_export", 1),
    ("stock_levels", 1),
    ("feature_snapshot", 1),
    ("regional_export", 1),
    ("partner_upload", 1),
    ("landing_pages", 1),
    ("clickstream_sessions", 1),
    ("scratch_tables", 1),
    ("endpoint_probe", 1),
)
# What the person on call marks as failed: the task, and the state in which it is found.
MARKS = {("search_index", "rebuild_index"): "running", ("payments_settlement", "settle"): "success"}
# What the person clears when it has failed; it runs again.
CLEARS = {("ledger_close", "close_month")}
OVER = {"success", "failed"}


class Scenario:
    """The course of events on one Airflow; `advance` moves it on as far as it can go now."""

    def __init__(self, airflow: ThrowawayAirflow) -> None:
        """Plan every run; none is triggered yet."""
        self._airflow = airflow
        self._waiting = [(dag_id, f"demo__{number}") for dag_id, count in RUNS for number in range(1, count + 1)]
        self._to_mark = dict(MARKS)
        self._to_clear = set(CLEARS)
        self._over = 0
        self._all = len(self._waiting)

    def advance(self) -> bool:
        """Trigger what Airflow knows by now, mark and clear what is ripe, and say whether all is over, retries included."""
        self._airflow.check()
        self._waiting = [planned for planned in self._waiting if not self._airflow.trigger(*planned)]
        if self._to_mark or self._to_clear:
            self._act()
        states = self._airflow.runs().values()
        self._over = sum(state in OVER for state in states)
        return self.finished()

    def finished(self) -> bool:
        """Say whether, when last looked at, every run had ended, every mark was made and every clearing done."""
        return not (self._waiting or self._to_mark or self._to_clear) and self._over == self._all

    def progress(self) -> tuple[int, int]:
        """Return how many runs are over, and of how many."""
        return self._over, self._all

    def _act(self) -> None:
        for (dag_id, run_id, task_id, _), state in self._airflow.states().items():
            is_to_clear = (dag_id, task_id) in self._to_clear and state == "failed"
            if is_to_clear and self._airflow.clear(dag_id, run_id, task_id):
                self._to_clear.remove((dag_id, task_id))
            ripe = self._to_mark.get((dag_id, task_id))
            if ripe and (state == "failed" or (state == ripe and self._airflow.mark_failed(dag_id, run_id, task_id))):
                del self._to_mark[dag_id, task_id]


def run_everything(airflow: ThrowawayAirflow, say: Callable[[str], None], timeout: float = 300) -> None:
    """Run the whole scenario to its end; ProcessError when it takes longer than `timeout` seconds."""
    scenario = Scenario(airflow)
    deadline = time.monotonic() + timeout
    while not scenario.advance():
        if time.monotonic() > deadline:
            over, planned = scenario.progress()
            raise ProcessError(
                f"Only {over} of {planned} demo runs ended within {timeout:.0f} s.", "Is the machine busy?"
            )
        say("{} of {} demo runs are over".format(*scenario.progress()))
        time.sleep(1)
