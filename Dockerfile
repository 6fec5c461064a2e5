# Build: docker build --target cpu --tag gpuvis:cpu .
# Run:   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD/feat_cache_vis:/data" gpuvis:cpu reduce /data

ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS base
# PyTorch's index of CPU builds makes a small image; empty: the ordinary one.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /opt/gpuvis
COPY constraints.txt ./
RUN if [ -n "$TORCH_INDEX" ]; then \
      pip install --no-cache-dir --no-deps --index-url "$TORCH_INDEX" $(grep '^torch==' constraints.txt); fi
COPY pyproject.toml README.md LICENSE ./
COPY gpuvis gpuvis
RUN pip install --no-cache-dir -c constraints.txt .
# Any user may run the image: what numba compiles is kept where everybody may write.
ENV NUMBA_CACHE_DIR=/tmp/numba HOME=/tmp

FROM base AS test
RUN command -v make || (apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*)
RUN pip install --no-cache-dir -c constraints.txt -e ".[dev]"
COPY Makefile ./
COPY tests tests
CMD ["python", "-m", "pytest", "-p", "no:cacheprovider"]

FROM base AS cpu
RUN mkdir /data && useradd --create-home gpuvis
USER gpuvis
WORKDIR /data
ENTRYPOINT ["gpuvis"]
CMD ["--help"]
