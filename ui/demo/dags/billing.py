"""Invoices and revenue: a database that refuses, with SQL and parameters in its words as SQLAlchemy puts them."""

from __future__ import annotations

import random
import uuid
from datetime import timedelta

from airflow.sdk import dag, task
from sqlalchemy import create_engine, text


def database():
    """Return a billing database in memory, with one invoice in it."""
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE invoices (number TEXT UNIQUE, customer INTEGER, total NUMERIC)"))
    return engine


@dag(schedule=None, tags=["finance"], default_args={"owner": "billing-team", "retry_delay": timedelta(seconds=1)})
def billing_nightly():
    """Write the night's invoices."""

    @task(retries=2)
    def insert_invoices():
        number = f"INV-2026-{random.randint(10_000, 99_999)}"
        rows = [{"number": number, "customer": random.randint(1, 10**6), "total": random.random() * 900} for _ in "ab"]
        with database().begin() as connection:
            for row in rows:
                connection.execute(text("INSERT INTO invoices VALUES (:number, :customer, :total)"), row)

    insert_invoices()


@dag(
    schedule=None,
    tags=["finance"],
    default_args={"owner": "billing-team", "retry_delay": timedelta(seconds=1)},
    max_active_runs=1,  # one after the other: the first is the last good one
)
def revenue_report():
    """Sum the revenue by customer; well until the sum is to include a tax whose column nobody made."""

    @task(retries=1)
    def sum_revenue(run_id=None):
        amount = "total"
        if run_id != "demo__1":
            print("the VAT rates are included from this release on")
            amount = "total * vat_rate"
        query = f"SELECT customer, sum({amount}) FROM invoices WHERE customer > :least"
        with database().begin() as connection:
            print(f"query id {uuid.uuid4()}")
            connection.execute(text(f"{query} LIMIT {random.randint(10, 900)}"), {"least": random.randint(1, 10**6)})

    sum_revenue()


billing_nightly()
revenue_report()
