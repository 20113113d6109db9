"""Shell scripts: the operator says only that the command failed; what went wrong is in its output."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import dag

COPY = """
set -euo pipefail
day=$(date +%F); part=$RANDOM
echo "exporting partition $part of $day"
echo "checking free space: $((RANDOM * 7)) MB"
cp "/data/exports/$day/customers_$part.csv" "$TMPDIR/"
echo "never printed"
"""

SCORE = """
echo "scoring batch $RANDOM"
cat > score.py <<'PYTHON'
import json
import random


def read_model(path):
    return json.loads('{"model": "churn", "weights": [0.1, 0.%d' % random.randint(1, 10**9))


read_model("model.json")
PYTHON
python3 score.py
"""


@dag(schedule=None, tags=["exports"], default_args={"owner": "exports-team"})
def customer_export():
    """Copy the day's customers to the partner's folder."""
    BashOperator(task_id="copy_partition", bash_command=COPY)


@dag(schedule=None, tags=["ml"], default_args={"owner": "ml-team", "retry_delay": timedelta(seconds=1)})
def churn_scores():
    """Score the customers with a script of the data scientists."""
    BashOperator(task_id="score", bash_command=SCORE, retries=1)


@dag(schedule=None, tags=["exports"], default_args={"owner": "exports-team"}, params={"region": "emea"})
def regional_export():
    """Export one region; the template has a typing error."""
    BashOperator(task_id="export_region", bash_command="echo exporting {{ params.regoin.upper() }}")


customer_export()
churn_scores()
regional_export()
