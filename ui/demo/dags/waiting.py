"""What takes too long: a download over its time limit, a file that never comes, a carrier that says no."""

from __future__ import annotations

import random
import time
from datetime import timedelta

from airflow.sdk import BaseOperator, Context, dag, task
from courier import BatchTrigger

SOON = timedelta(seconds=1)


class SubmitParcels(BaseOperator):
    """Submit a batch of parcels and wait for the carrier without holding a worker."""

    def execute(self, context: Context):
        """Hand the waiting over to the triggerer."""
        batch = random.randint(1000, 9999)
        self.log.info("submitting batch %d", batch)
        self.defer(trigger=BatchTrigger(batch), method_name="done")

    def done(self, context: Context, event: dict):
        """Return what the carrier said."""
        return event


@dag(schedule=None, tags=["partners"], default_args={"owner": "partners-team", "retry_delay": SOON})
def partner_catalog():
    """Download a partner's catalogue, within its time limit."""

    @task(retries=1, execution_timeout=timedelta(seconds=2))
    def download_catalog():
        pages = random.randint(40, 80)
        for page in range(1, pages):
            print(f"page {page} of {pages}")
            time.sleep(1)

    download_catalog()


@dag(schedule=None, tags=["partners"], default_args={"owner": "partners-team"})
def supplier_files():
    """Wait for the supplier's file, which never comes."""

    @task.sensor(poke_interval=4, timeout=3, mode="reschedule")
    def wait_for_file() -> bool:
        return False

    wait_for_file()


@dag(schedule=None, tags=["logistics"], default_args={"owner": "logistics-team", "retry_delay": SOON})
def parcel_labels():
    """Order the day's parcel labels."""
    SubmitParcels(task_id="submit_parcels", retries=1)


partner_catalog()
supplier_files()
parcel_labels()
