# Checkpoint as a container. `docker build .` makes the CPU image, `--target gpu` the GPU one.
#
# The base needs apt and Python >= 3.11, no more. The GPU image takes the same one: torch's
# wheels bring CUDA, and the NVIDIA container runtime brings the driver.
ARG BASE=debian:13-slim

# --- builder: the environment in /opt/venv; pip itself stays outside of it -------------------
FROM ${BASE} AS builder
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        ca-certificates python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
RUN python3 -m venv /opt/build && python3 -m venv --without-pip /opt/venv
WORKDIR /src
# The dependencies by themselves, so that a change of the code leaves this layer as it is.
COPY pyproject.toml ./
COPY deploy/container/dependencies.py deploy/container/
RUN python3 deploy/container/dependencies.py >/tmp/dependencies.txt \
    && /opt/build/bin/pip --python /opt/venv/bin/python install -q -r /tmp/dependencies.txt
COPY README.md LICENSE ./
COPY proto proto
COPY pipeline pipeline
COPY watchlist watchlist
COPY benchmarks benchmarks
COPY detectors detectors
RUN /opt/build/bin/pip wheel -q --no-deps -w /tmp/wheels . \
    && /opt/build/bin/pip --python /opt/venv/bin/python install -q --no-deps /tmp/wheels/*.whl

# --- runtime: what both images share, without the environment --------------------------------
FROM ${BASE} AS runtime
LABEL org.opencontainers.image.title="Checkpoint" \
      org.opencontainers.image.description="Recognises vehicles at road checkpoints: RTSP cameras in, verified watchlist alerts out." \
      org.opencontainers.image.licenses="AGPL-3.0-or-later" \
      org.opencontainers.image.version="0.1.0"
# redis-server holds the watchlist where the configuration names no Redis.
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        ca-certificates python3 redis-server \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb \
    && groupadd --gid 10001 checkpoint \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/checkpoint \
        --shell /usr/sbin/nologin checkpoint \
    && install -d -o 10001 -g 10001 -m 0750 /var/lib/checkpoint
COPY deploy/container/healthcheck.py /opt/checkpoint/healthcheck.py
COPY deploy/checkpoint.toml /etc/checkpoint/checkpoint.toml
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /var/lib/checkpoint
VOLUME /var/lib/checkpoint
# Alerts over gRPC, and the console.
EXPOSE 50051 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "/opt/checkpoint/healthcheck.py"]
ENTRYPOINT ["checkpoint"]
CMD ["run", "--config", "/etc/checkpoint/checkpoint.toml"]

# --- cpu --------------------------------------------------------------------------------------
FROM runtime AS cpu
COPY --from=builder /opt/venv /opt/venv
USER 10001:10001

# --- gpu: built only when asked for -----------------------------------------------------------
FROM builder AS gpu-builder
RUN python3 deploy/container/dependencies.py gpu >/tmp/dependencies.txt \
    && /opt/build/bin/pip --python /opt/venv/bin/python uninstall -q -y opencv-python-headless \
    && /opt/build/bin/pip --python /opt/venv/bin/python install -q -r /tmp/dependencies.txt

FROM runtime AS gpu
# ultralytics asks for the OpenCV build that draws windows, and that for these libraries.
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb
COPY --from=gpu-builder /opt/venv /opt/venv
# ultralytics must neither fetch nor install anything on its own.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility,video \
    YOLO_OFFLINE=true YOLO_AUTOINSTALL=false YOLO_CONFIG_DIR=/tmp
USER 10001:10001

# --- the default ------------------------------------------------------------------------------
FROM cpu
