"""Logs as they come: 5 MB of noise, terminal colours, HTML, NUL, an emoji, and secrets that should not be there."""

from __future__ import annotations

import random
import string
from datetime import timedelta

from airflow.sdk import dag, task

SOON = timedelta(seconds=1)
LETTERS = string.ascii_letters + string.digits


def made_up(prefix: str, length: int, alphabet: str = LETTERS) -> str:
    """Return a random value of a secret's shape; none of these ever opened anything."""
    return prefix + "".join(random.choices(alphabet, k=length))


@dag(schedule=None, tags=["clickstream"], default_args={"owner": "web-team"})
def clickstream_sessions():
    """Cut the clickstream into sessions, telling everything it sees."""

    @task
    def sessionize():
        for number in range(2500):
            print(f"\x1b[32mINFO\x1b[0m event {number:05d} {'click ' * 340}")
        raise MemoryError(f"session {random.randint(10**6, 10**7)} has {random.randint(10**5, 10**6)} events")

    sessionize()


@dag(schedule=None, tags=["web"], default_args={"owner": "web-team", "retry_delay": SOON})
def landing_pages():
    """Render the landing pages."""

    @task(retries=1)
    def render_pages():
        print("\x1b[1;31m💥 <script>alert('page')</script> \x00 \x1b]0;title\x07 ::group::not really\x1b[0m")
        page, line = random.randint(100, 999), random.randint(1, 90)
        raise ValueError(f"\x1b[31m<b>page {page}</b>\x1b[0m: unclosed tag <marquee> 💥 \x00 at line {line}")

    render_pages()


@dag(schedule=None, tags=["partners"], default_args={"owner": "partners-team", "retry_delay": SOON})
def partner_upload():
    """Upload to a partner, with its secrets in the log and in the error."""

    @task(retries=1)
    def upload():
        password = made_up("", 14)
        token = ".".join([made_up("eyJ", 30), made_up("eyJ", 60), made_up("", 43)])
        print(f"aws_access_key_id={made_up('AKIA', 16, string.ascii_uppercase)}")
        print(f"aws_secret_access_key={made_up('', 40)}")
        print(f"Authorization: Bearer {token}")
        print(f"git clone https://oauth2:{made_up('glpat-', 20)}@gitlab.example.com/data/partner.git")
        batch = random.randint(1000, 9999)
        raise PermissionError(
            f"batch {batch}: access denied: postgresql://uploader:{password}@db-3.example.com/partner"
        )

    upload()


clickstream_sessions()
landing_pages()
partner_upload()
