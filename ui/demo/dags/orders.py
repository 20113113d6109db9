"""Orders, customers and the ledger: three pipelines that fail together when the warehouse is away."""

from __future__ import annotations

import random
from datetime import timedelta

import warehouse
from airflow.sdk import dag, task

SOON = timedelta(seconds=1)


@dag(schedule=None, tags=["sales"], default_args={"owner": "orders-team", "retry_delay": SOON})
def orders_hourly():
    """Load the shop's orders, then publish them."""

    @task(retries=1)
    def load_orders():
        warehouse.load("sales.orders", random.randint(10_000, 99_999))

    @task
    def publish_orders():
        """Never runs: its upstream failed, which is no problem of its own."""
        print("published")

    load_orders() >> publish_orders()


@dag(schedule=None, tags=["crm"], default_args={"owner": "crm-team"})
def customers_daily():
    """Load the customers."""

    @task
    def load_customers():
        warehouse.load("crm.customers", random.randint(100, 999))

    load_customers()


@dag(schedule=None, tags=["finance"], default_args={"owner": "finance-team", "retry_delay": SOON})
def finance_ledger():
    """Post the day's entries to the ledger."""

    @task(retries=1)
    def post_entries():
        for account in random.sample(range(1000, 9999), 3):
            print(f"posting account {account}")
        warehouse.load("finance.ledger", 3)

    post_entries()


orders_hourly()
customers_daily()
finance_ledger()
