# One image for every service of docker-compose.yaml: Airflow, MLflow, the endpoint and the mail catcher.
FROM python:3.11.16-slim-bookworm AS build
WORKDIR /opt/tollgate
RUN python -m venv /opt/venv
COPY requirements.txt ./
# The lock is complete, so nothing may be resolved anew.
RUN /opt/venv/bin/pip install --no-cache-dir --no-deps -r requirements.txt

FROM python:3.11.16-slim-bookworm
# OpenMP, which scikit-learn's trees need.
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 50000 --create-home tollgate \
    && mkdir -p /var/lib/tollgate && chown tollgate /var/lib/tollgate
COPY --from=build /opt/venv /opt/venv
WORKDIR /opt/tollgate
COPY dags dags
COPY plugins plugins
COPY include include
COPY config config
COPY great_expectations great_expectations
COPY MLproject python_env.yaml requirements.txt ./
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/opt/tollgate PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# Once, here: each task reads its DAG file and the plugins anew, and may not write beside them.
RUN python -m compileall -q config dags include plugins
USER tollgate
# Adds what all programs share to what docker-compose.yaml gives.
ENTRYPOINT ["python", "-m", "config.container"]
