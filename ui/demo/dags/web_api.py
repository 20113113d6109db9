"""What talks to the shop's web API: too many requests, and a service that is down."""

from __future__ import annotations

import random
from datetime import timedelta

import shop_api
from airflow.sdk import dag, task

SOON = timedelta(seconds=1)


@dag(schedule=None, tags=["marketing"], default_args={"owner": "marketing-team", "retry_delay": SOON})
def audience_sync():
    """Push the audiences of the day's campaigns."""

    @task(retries=2)
    def push_audience():
        shop_api.call(f"/v1/audiences/{random.randint(1000, 9999)}/members?batch={random.randint(1, 40)}")

    push_audience()


@dag(schedule=None, tags=["logistics"], default_args={"owner": "logistics-team", "retry_delay": SOON})
def geocode_addresses():
    """Look up the day's delivery addresses."""

    @task(retries=1)
    def look_up():
        shop_api.call(f"/v1/geocode/{random.randrange(16**12):012x}?zip={random.randint(10000, 99999)}")

    look_up()


audience_sync()
geocode_addresses()
