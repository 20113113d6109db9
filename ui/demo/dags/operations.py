"""What people and machines do to tasks: retries that heal, a lost worker, tasks that somebody marks or clears."""

from __future__ import annotations

import logging
import os
import random
import signal
import time
from datetime import timedelta

from airflow.sdk import dag, task

log = logging.getLogger(__name__)
SOON = timedelta(seconds=1)


@dag(schedule=None, tags=["finance"], default_args={"owner": "finance-team", "retry_delay": SOON})
def fx_rates():
    """Fetch the exchange rates from a flaky source: the second try heals."""

    @task(retries=2)
    def fetch_rates(ti=None):
        if ti.try_number == 1:
            raise TimeoutError(f"rates.example.com did not answer within {random.uniform(2, 3):.3f} s")
        print("fetched 31 rates")

    fetch_rates()


@dag(schedule=None, tags=["media"], default_args={"owner": "media-team"})
def video_transcode():
    """Encode the product videos on a machine that dies."""

    @task
    def encode():
        print(f"encoding video {random.randint(1000, 9999)}")
        # A worker lost with everything on it: first what supervises this task, then the task.
        os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    encode()


@dag(schedule=None, tags=["search"], default_args={"owner": "search-team"})
def search_index():
    """Rebuild the search index; takes so long that the person on call marks it as failed."""

    @task
    def rebuild_index():
        for shard in range(600):
            print(f"shard {shard}")
            time.sleep(1)

    rebuild_index()


@dag(schedule=None, tags=["finance"], default_args={"owner": "finance-team"})
def payments_settlement():
    """Settle the payments; succeeds, and is marked as failed by a person who saw wrong numbers."""

    @task
    def settle():
        print("settled 1,204 payments")

    settle()


class OutOfBalanceError(Exception):
    """The month's bookings do not add up."""


@dag(schedule=None, tags=["finance"], default_args={"owner": "finance-team"})
def ledger_close():
    """Close the month; it fails, the person on call clears it, and it fails again."""

    @task
    def close_month():
        raise OutOfBalanceError(f"the bookings differ by {random.uniform(1, 90):.2f} EUR")

    @task
    def send_balance():
        print("sent the balance to 14 people")

    close_month() >> send_balance()


@dag(schedule=None, tags=["warehouse"], default_args={"owner": "warehouse-team"})
def scratch_tables():
    """Compare on scratch tables; to drop them fails, which fails no run."""

    @task
    def compare():
        print("compared 31 tables")

    @task
    def drop_tables():
        raise PermissionError(f"must be owner of table scratch_{random.randint(1000, 9999)}")

    compare() >> drop_tables().as_teardown()


@dag(schedule=None, tags=["monitoring"], default_args={"owner": "platform-team"})
def endpoint_probe():
    """Probe the endpoints, log what is wrong, and succeed: no problem."""

    @task
    def probe():
        for name in ("checkout", "search", "login"):
            log.error("probe of %s failed: HTTP 500 after %d ms", name, random.randint(10, 900))
        try:
            raise ConnectionError("probe of login was reset")
        except ConnectionError:
            log.exception("one probe raised")

    probe()


fx_rates()
video_transcode()
search_index()
payments_settlement()
ledger_close()
scratch_tables()
endpoint_probe()
