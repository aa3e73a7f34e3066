# Two stages, one interpreter path. Needs nothing but the classic builder; at run time there is no shell, no compiler, no
# package manager in use, and nothing is written to disk.

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_NO_COMPILE=1 \
    PIP_QUIET=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /src

# It compiles our wheel, and is in this stage only.
RUN apt-get update -qq \
    && apt-get install -qq --no-install-recommends gcc libc6-dev >/dev/null \
    && rm -rf /var/lib/apt/lists/*

# The dependencies come first: a change of our source leaves this layer alone. Byte code that is checked by nothing but
# its presence is right here, since nobody edits an image, and it is the same on every build.
COPY requirements/runtime.txt requirements/build.txt requirements/
RUN python -m venv --without-pip /opt/forestay \
    && pip --python /opt/forestay/bin/python install --require-hashes --requirement requirements/runtime.txt \
    && /opt/forestay/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/forestay/lib \
    && pip install --require-hashes --requirement requirements/build.txt

COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY app/ app/
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /tmp/wheel . \
    && pip --python /opt/forestay/bin/python install --no-deps --no-index /tmp/wheel/*.whl \
    && /opt/forestay/bin/forestay --version | grep -F '(compiled)' \
    && /opt/forestay/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/forestay/lib/python3.13/site-packages/forestay


FROM python:3.13-slim
LABEL org.opencontainers.image.title="Forestay" \
      org.opencontainers.image.description="Real-time rooms for Kubernetes: WebSocket connections that survive deploys." \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/forestay /opt/forestay
# Inside a container, loopback would be heard by nobody.
ENV PATH=/opt/forestay/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    FORESTAY_HOST=0.0.0.0
# A number, so that Kubernetes can see for itself that it is not root.
USER 10001:10001
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
ENTRYPOINT ["forestay"]
CMD ["serve"]
