# syntax=docker/dockerfile:1
# Shoal for clusters:
#     docker build --target cpu --tag shoal:0.1.0-cpu .
#     docker build --target gpu --tag shoal:0.1.0-gpu .
# Every package is pinned by hash in docker/*.lock, which `make lock` resolves.

FROM python:3.11.14-slim-bookworm AS python
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONUNBUFFERED=1

FROM python AS wheel
COPY docker/build.lock /build/docker/
RUN python -m venv /build/venv \
    && /build/venv/bin/pip install --require-hashes -r /build/docker/build.lock
COPY pyproject.toml README.md /build/
COPY actors /build/actors
COPY cluster /build/cluster
COPY mcp_adapter /build/mcp_adapter
RUN /build/venv/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /build/dist /build

FROM python AS cpu-packages
COPY docker/cpu.lock /locks/
RUN python -m venv /opt/shoal \
    && /opt/shoal/bin/pip install --no-deps --require-hashes -r /locks/cpu.lock
COPY --from=wheel /build/dist /dist
RUN /opt/shoal/bin/pip install --no-deps --no-index /dist/*.whl

FROM python AS gpu-packages
COPY docker/gpu.lock /locks/
RUN python -m venv /opt/shoal \
    && /opt/shoal/bin/pip install --no-deps --require-hashes -r /locks/gpu.lock
COPY --from=wheel /build/dist /dist
RUN /opt/shoal/bin/pip install --no-deps --no-index /dist/*.whl

# What both run in. KubeRay's probes ask with wget, git fetches repositories to be indexed, and
# tini collects what Ray leaves behind where nobody else does.
FROM python AS runtime
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates git tini wget \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 shoal \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin shoal \
    && install --directory --owner=10001 --group=10001 /data /models /srv/shoal
ENV PATH=/opt/shoal/bin:$PATH \
    HOME=/tmp \
    HF_HOME=/models \
    PYTHONDONTWRITEBYTECODE=1 \
    RAY_USAGE_STATS_ENABLED=0 \
    SHOAL_ROOT=/data/shoal
# Empty: Ray puts the driver's folder on its workers' path.
WORKDIR /srv/shoal
ENTRYPOINT ["tini", "--"]
CMD ["shoal", "serve", "--host", "0.0.0.0", "--port", "8750"]
EXPOSE 8000 8080 8265 8750

FROM runtime AS gpu
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
# The driver comes from the machine; kernels are compiled when they are first used.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=gpu-packages /opt/shoal /opt/shoal
USER 10001:10001

FROM runtime AS cpu
COPY --from=cpu-packages /opt/shoal /opt/shoal
USER 10001:10001
