# One file, three images; docker build --target NAME --tag gpuvis:NAME . Only test has a C++ compiler.
#   cpu    for machines without a GPU:  docker run --rm --user "$(id -u):$(id -g)" -v "$PWD/feat_cache_vis:/data" gpuvis:cpu reduce /data
#   gpu    with RAPIDS for CUDA 13:     the same with --gpus all and gpuvis:gpu; without a GPU it says why and takes the CPU
#   test   runs the test suite:         docker run --rm gpuvis:test

ARG PYTHON_IMAGE=python:3.11-slim

# The loops are compiled here, for cpu and gpu, with the build tools that pyproject.toml pins.
FROM ${PYTHON_IMAGE} AS wheel
RUN command -v c++ || (apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*)
WORKDIR /opt/gpuvis
COPY pyproject.toml ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['build-system']['requires'], sep='\n')" \
      > /tmp/tools.txt && pip install --no-cache-dir -r /tmp/tools.txt && rm /tmp/tools.txt
COPY README.md LICENSE ./
COPY gpuvis gpuvis
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheel .

FROM ${PYTHON_IMAGE} AS start
# Any user may run the image, known or not: what libraries keep for later is kept where everybody may write.
ENV HOME=/tmp NUMBA_CACHE_DIR=/tmp/numba CUPY_CACHE_DIR=/tmp/cupy
RUN useradd --uid 1000 --home-dir /tmp --no-create-home gpuvis && mkdir --mode=1777 /data
WORKDIR /opt/gpuvis
COPY pyproject.toml constraints.txt constraints-cu13.txt ./

# The libraries lie in a layer below our own code, so that a change of the code does not fetch them again.
FROM start AS base
# The index for torch; empty: the ordinary one. PyTorch's index of builds for the CPU makes a small image.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN if [ -n "$TORCH_INDEX" ]; then \
      pip install --no-cache-dir --no-deps --index-url "$TORCH_INDEX" $(grep '^torch==' constraints.txt); fi && \
    python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
      print(*p['dependencies'], *p['optional-dependencies']['dask'], sep='\n')" > /tmp/needed.txt && \
    pip install --no-cache-dir -c constraints.txt -r /tmp/needed.txt && rm /tmp/needed.txt

FROM base AS test
RUN (command -v make && command -v c++) || \
    (apt-get update && apt-get install -y --no-install-recommends make g++ && rm -rf /var/lib/apt/lists/*)
COPY README.md LICENSE ./
COPY gpuvis gpuvis
RUN pip install --no-cache-dir -c constraints.txt -e ".[dev]"
COPY Makefile environment.yml CHANGELOG.md ./
COPY .github .github
COPY tests tests
# Threads of OpenMP that wait leave the cores to others, as in `make test`.
ENV OMP_WAIT_POLICY=passive
CMD ["python", "-m", "pytest", "-p", "no:cacheprovider", "-n", "auto", "--dist", "worksteal"]

FROM base AS cpu
COPY --from=wheel /wheel /wheel
RUN pip install --no-cache-dir --no-deps /wheel/*.whl
USER 1000
WORKDIR /data
ENTRYPOINT ["gpuvis"]
CMD ["--help"]

FROM start AS gpu
# Empty: the ordinary torch, which is built for the same CUDA as the wheels of RAPIDS here.
ARG TORCH_INDEX=
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN if [ -n "$TORCH_INDEX" ]; then \
      pip install --no-cache-dir --no-deps --index-url "$TORCH_INDEX" $(grep '^torch==' constraints-cu13.txt); fi && \
    python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
      extras = p['optional-dependencies']; print(*p['dependencies'], *extras['dask'], *extras['cu13'], sep='\n')" > /tmp/needed.txt && \
    pip install --no-cache-dir -c constraints-cu13.txt -r /tmp/needed.txt && rm /tmp/needed.txt
COPY --from=wheel /wheel /wheel
RUN pip install --no-cache-dir --no-deps /wheel/*.whl
USER 1000
WORKDIR /data
ENTRYPOINT ["gpuvis"]
CMD ["--help"]
