# The pipeline on AWS: one image for the web server, the daemon, the code server and the runs. Which of them a
# container is, and how its health is told, its task definition says (infra/stacks/orchestration.py).
FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    HOME=/tmp \
    DAGSTER_HOME=/opt/dagster/home \
    DAGSTER_DISABLE_TELEMETRY=1

WORKDIR /opt/dagster/app

# The locked packages first: their layer changes with the lock alone.
COPY requirements-aws.lock ./
RUN python -m pip install --no-deps --require-hashes --requirement requirements-aws.lock

COPY LICENSE README.md pyproject.toml setup.cfg ./
COPY retail_analytics ./retail_analytics
RUN python -m pip install --no-deps . && python -m compileall -q /usr/local/lib

COPY infra/dagster/dagster.yaml infra/dagster/workspace.yaml ${DAGSTER_HOME}/

# Nobody needs to be root, and nothing but /tmp is written. A task mounts a volume there: Fargate gives it the
# owner and mode of this one, and without this line root's alone.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin dagster
VOLUME ["/tmp"]
USER 10001
