# The service alone: no torch, no compiler, not root. The environment is built in the first stage.
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS build
# "cpu"; "openvino"; or "gpu" with a BASE_IMAGE that has CUDA and cuDNN (deploy/docker-compose.gpu.yml)
ARG RUNTIME=cpu
WORKDIR /src
RUN python3 -m venv /opt/normserve
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY bundle bundle
COPY normserve normserve
COPY service service
# the wheel lists these packages; the service needs neither networks nor exporters
RUN mkdir -p exporters models \
 && /opt/normserve/bin/pip install --no-cache-dir --constraint constraints.txt ".[${RUNTIME},otel]" \
 && /opt/normserve/bin/pip uninstall --yes pip setuptools \
 && find /opt/normserve -name __pycache__ -prune -exec rm -rf {} +

FROM ${BASE_IMAGE}
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin normserve \
 && mkdir -p /models /var/lib/normserve \
 && chown normserve /var/lib/normserve
COPY --from=build /opt/normserve /opt/normserve
ENV PATH=/opt/normserve/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NORMSERVE_HOST=0.0.0.0 \
    NORMSERVE_HTTP_PORT=8000 \
    NORMSERVE_GRPC_PORT=8001 \
    NORMSERVE_METRICS_PORT=8002 \
    NORMSERVE_CONSISTENCY_CACHE=/var/lib/normserve \
    NORMSERVE_REPOSITORY_CACHE=/var/lib/normserve/copies \
    NORMSERVE_REPOSITORY=/models \
    NORMSERVE_LOG_FORMAT=json
USER 10001
EXPOSE 8000 8001 8002
VOLUME /models
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import os, ssl, urllib.request as u; e = os.environ; s = 'https' if 'NORMSERVE_TLS_CERTIFICATE_FILE' in e else 'http'; p = e['NORMSERVE_METRICS_PORT'].replace('none', e['NORMSERVE_HTTP_PORT']); u.urlopen(f'{s}://127.0.0.1:{p}/v2/health/ready', timeout=4, context=ssl._create_unverified_context())"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["normserve"]
CMD ["serve"]
