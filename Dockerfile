# airtriage: one image for every service of docker-compose.yml, or `airtriage up` by itself.
# No container engine ran where this was written: docs/deployment.md says what was checked, and how.
FROM python:3.11.14-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_CONSTRAINT=/src/constraints.txt
# Which drivers for logs in a storage are built in, such as [s3] or [s3,gcs].
ARG EXTRAS=""
WORKDIR /src
COPY constraints.txt pyproject.toml README.md LICENSE ./
RUN python -m venv /opt/build && /opt/build/bin/pip install hatchling && python -m venv --without-pip /opt/airtriage
COPY triage triage
COPY collector collector
COPY ui ui
# What is compiled here need not be at every start, where the tree is read-only; by hash, so that two builds are alike.
# uv serves `airtriage demo`, which makes an Airflow of its own, and no image does that; nothing imports libraries' own tests.
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
    && wheel="$(echo /dist/airtriage-*.whl)" \
    && /opt/build/bin/pip --python /opt/airtriage install --no-compile "${wheel}${EXTRAS}" \
    && /opt/build/bin/pip --python /opt/airtriage uninstall --yes uv \
    && find /opt/airtriage/lib -type d -name tests -prune -exec rm -r {} + \
    && /opt/airtriage/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/airtriage/lib

FROM python:3.11.14-slim-bookworm
RUN groupadd --gid 1000 airtriage \
    && useradd --uid 1000 --gid 1000 --no-create-home --home-dir /data --shell /usr/sbin/nologin airtriage \
    && install --directory --owner=1000 --group=1000 --mode=0700 /data
COPY --from=build /opt/airtriage /opt/airtriage
# Inside a container only what is published can be reached, so the page may listen on every address there.
ENV PATH=/opt/airtriage/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    AIRTRIAGE_DATA_DIR=/data AIRTRIAGE_WEB__HOST=0.0.0.0
USER 1000:1000
WORKDIR /data
VOLUME /data
EXPOSE 8501 8502
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["airtriage", "alive", "web"]
ENTRYPOINT ["airtriage"]
CMD ["up"]
