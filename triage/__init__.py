"""The core of airtriage, and the map of the house.

`triage` is the product, `collector` feeds it, `ui` shows it. Pure code decides, thin code does.

    model       the nouns                          logs        any dress of a log -> log lines
    redact      secrets masked                     signature   log lines + circumstance -> signature
    causes      kinds of failure, first steps      lifecycle   the states of a problem
    query       the search language                links       addresses of Airflow's pages
    errors      what an operator can fix           settings    the only reader of file and environment
    store       the port to what is kept           service     load, decide, save
    scrubbing   today's rules on what is stored
"""
