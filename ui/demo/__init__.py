"""`airtriage demo`: a throwaway Airflow whose DAGs really fail.

Owns the DAGs (`dags/`, which run inside that Airflow, never here), the Airflow that runs them, the course of events,
and the table of causes that a careful engineer would see in it. Must not know how airtriage reads or folds any of it.
"""
