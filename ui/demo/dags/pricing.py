"""Python that fails as Python does: chains, groups, None where a value was, JSON that is none, a missing connection."""

from __future__ import annotations

import asyncio
import json
import random
from datetime import timedelta

from airflow.sdk import BaseHook, dag, task

SOON = timedelta(seconds=1)


class PricingError(Exception):
    """A basket cannot be priced."""


class RegionClosed(Exception):
    """A region takes no prices now."""


def discount(total: float, items: int) -> float:
    """Return the discount per item."""
    return total / items


def page_the_team(context):
    """Tell the team; broken itself, which must not hide the real failure."""
    context["dag"].pager.send("pricing failed")


@dag(schedule=None, tags=["pricing"], default_args={"owner": "pricing-team"})
def price_baskets():
    """Price the open baskets."""

    @task(on_failure_callback=page_the_team)
    def price():
        basket = random.randint(10**6, 10**7)
        try:
            discount(random.random() * 100, 0)
        except ZeroDivisionError as exc:
            raise PricingError(f"cannot price basket {basket}") from exc

    price()


@dag(schedule=None, tags=["pricing"], default_args={"owner": "pricing-team", "retry_delay": SOON})
def price_regions():
    """Send the prices to all regions at once."""

    async def send(region: int):
        await asyncio.sleep(random.random() / 10)
        if region == 1:
            raise RegionClosed(f"closed until 2026-12-{random.randint(10, 28)}T0{random.randint(0, 9)}:00:00Z")
        if region == 2:
            raise TimeoutError(f"no answer within {random.randint(800, 999)} ms")

    async def send_all():
        answers = await asyncio.gather(*(send(region) for region in range(5)), return_exceptions=True)
        if refused := [answer for answer in answers if isinstance(answer, Exception)]:
            raise ExceptionGroup(f"{len(refused)} of {len(answers)} regions failed", refused)

    @task(retries=1)
    def send_prices():
        asyncio.run(send_all())

    send_prices()


@dag(schedule=None, tags=["webhooks"], default_args={"owner": "platform-team"})
def webhook_intake():
    """Read the webhooks that came in."""

    @task
    def read_payloads():
        padding = " " * random.randint(1, 60)
        json.loads(padding + "<html>502 Bad Gateway</html>")

    read_payloads()


@dag(schedule=None, tags=["crm"], default_args={"owner": "crm-team"})
def account_export():
    """Pull the accounts from the CRM, with a connection nobody made."""

    @task
    def pull_accounts():
        BaseHook.get_connection("salesforce_prod")

    pull_accounts()


@dag(schedule=None, tags=["stores"], default_args={"owner": "stores-team"})
def stock_levels():
    """Read the stock, then compare it: the first hands over nothing on quiet days."""

    @task
    def read_stock():
        return None

    @task
    def compare(stock):
        print(stock["berlin"])

    compare(read_stock())


price_baskets()
price_regions()
webhook_intake()
account_export()
stock_levels()
