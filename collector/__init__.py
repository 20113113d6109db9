"""The background process: knows Airflow and the clock, feeds `triage`, never looks at `ui`."""
