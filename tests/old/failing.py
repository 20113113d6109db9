"""DAGs that really fail, in Airflow 2.10 to 3.1, in every way that leaves something else in Airflow's database."""

from __future__ import annotations

import os
import signal
import time
from datetime import datetime, timedelta

from airflow.decorators import dag, setup, task, teardown
from airflow.exceptions import AirflowFailException, AirflowSkipException
from airflow.models.baseoperator import BaseOperator
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger

OPTIONS = {
    "schedule": None,
    "start_date": datetime(2024, 1, 1),
    "default_args": {"owner": "old-hands", "retry_delay": timedelta(seconds=1)},
    "tags": ["old"],
}


class Deferred(BaseOperator):
    """Waits in the triggerer, longer than the executor takes to notice, then fails."""

    def execute(self, context):
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=6)), method_name="resume")

    def resume(self, context, event=None):
        raise TimeoutError("the warehouse did not answer after the wait")


@dag(**OPTIONS)
def many_ways():
    @task
    def final():
        raise ValueError("column 'price' is missing")

    @task
    def behind():
        print("never runs")

    @task(retries=1)
    def healed(ti=None):
        if ti.try_number == 1:
            raise ConnectionError("connection reset by peer")

    @task(retries=1)
    def gave_up():
        raise KeyError("mail")

    @task(retries=3)
    def hopeless():
        raise AirflowFailException("no such account")

    @task
    def mapped(shop):
        if shop == 2:
            raise RuntimeError(f"shop {shop} has no prices")

    @task
    def killed():
        os.kill(os.getpid(), signal.SIGKILL)

    @task
    def skipped():
        raise AirflowSkipException("nothing to do")

    @task.sensor(mode="reschedule", poke_interval=1, timeout=2)
    def awaited():
        return False

    final() >> behind()
    healed()
    gave_up()
    hopeless()
    mapped.expand(shop=[1, 2, 3])
    killed()
    skipped()
    awaited()
    BashOperator(task_id="bash", bash_command="echo reading; echo 'no such table: orders' >&2; exit 3")
    Deferred(task_id="deferred")


@dag(**OPTIONS)
def torn_down():
    @setup
    def prepare():
        pass

    @teardown
    def clean():
        raise OSError("device is busy")

    @task
    def work():
        pass

    work() >> clean().as_teardown(setups=prepare())


@dag(**OPTIONS)
def waiting():
    @task(retries=1, retry_delay=timedelta(days=30))
    def tomorrow():
        raise ConnectionError("closed for today")

    tomorrow()


@dag(**OPTIONS)
def cleared():
    @task
    def again(ti=None):
        if ti.try_number == 1:
            raise ValueError("fixed by a person")

    again()


@dag(**OPTIONS)
def cleared_and_left():
    @task
    def left():
        raise ValueError("nobody ran it again")

    left()


@dag(**OPTIONS)
def cleared_midway():
    @task.sensor(mode="reschedule", poke_interval=3600, timeout=36000)
    def never():
        return False

    never()


@dag(**OPTIONS)
def marked():
    @task
    def endless():
        time.sleep(600)

    @task
    def done():
        pass

    endless()
    done()


@dag(**OPTIONS)
def run_marked():
    @task
    def endless():
        time.sleep(600)

    endless()


@dag(dag_id="Straßen-Ölpreise.日本_v2", **OPTIONS)
def strange():
    @task(task_id="größe.prüfen-1")
    def check():
        raise ValueError("größer als erlaubt")

    check()


for made in (many_ways, torn_down, waiting, cleared, cleared_and_left, cleared_midway, marked, run_marked, strange):
    made()
