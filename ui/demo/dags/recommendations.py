"""A DAG file that does not import: its library is not installed where Airflow runs."""

from __future__ import annotations

import lightfm_ranking
from airflow.sdk import dag, task


@dag(schedule=None, tags=["ml"])
def recommendations():
    """Train the recommendations."""

    @task
    def train():
        lightfm_ranking.train()

    train()


recommendations()
