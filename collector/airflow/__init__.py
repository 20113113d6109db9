"""One Airflow deployment as the collector sees it: failed tries, their logs, and Airflow's own health.

The one door to Airflow. `session` speaks `airflow_client` (log in, time-outs), `words` says what went wrong, `rows`
turns JSON into our nouns, `versions` finds out which Airflow it is and hands each question to the reading that serves
it: `v2` asks Airflow 3.2 and newer, `lists` 3.0 and 3.1, `v1` 2.10 and 2.11.
"""

from __future__ import annotations

from collector.airflow.session import Access
from collector.airflow.versions import Airflow

__all__ = ["Access", "Airflow"]
