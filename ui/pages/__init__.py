"""The pages, one module each with a `render` callable: queue, problem, search, health.

They read the store through the service and never talk to Airflow. Their buttons call the same verbs as the command.
"""
