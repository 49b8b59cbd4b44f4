# cnnviz in a container, on the processor or on CUDA:
#
#   docker build -t cnnviz .
#   docker build -t cnnviz:cuda --target cuda .
#   docker run --rm -v "$PWD":/work cnnviz saliency photo.jpg
#   docker run --rm -v "$PWD":/work --gpus all cnnviz:cuda saliency photo.jpg
#
# The CPU image takes torch from the usual index; TORCH_INDEX names another, such as PyTorch's of CPU wheels, which
# saves gigabytes. Weights that are downloaded are kept if /cache is a volume.
ARG PYTHON=3.12
ARG CUDA_BASE=pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime

FROM python:${PYTHON}-slim AS wheel
WORKDIR /src
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY cnnviz cnnviz
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM ${CUDA_BASE} AS cuda
COPY --from=wheel /wheels /wheels
# libGL and GLib are OpenCV's, for --grabcut; the base image decides their versions.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/* \
    && pip install --no-cache-dir /wheels/*.whl \
    && useradd --create-home --uid 10001 cnnviz \
    && mkdir -p /work /cache \
    && chown 10001 /work /cache
ENV TORCH_HOME=/cache/torch CNNVIZ_STORE=/cache/features PYTHONUNBUFFERED=1
USER 10001
WORKDIR /work
ENTRYPOINT ["cnnviz"]
CMD ["--help"]

FROM python:${PYTHON}-slim AS cpu
ARG TORCH_INDEX=""
COPY --from=wheel /wheels /wheels
# hadolint ignore=DL3008,DL3013
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/* \
    && if [ -n "$TORCH_INDEX" ]; then PIP_INDEX_URL="$TORCH_INDEX" pip install --no-cache-dir torch torchvision; fi \
    && pip install --no-cache-dir /wheels/*.whl \
    && useradd --create-home --uid 10001 cnnviz \
    && mkdir -p /work /cache \
    && chown 10001 /work /cache
ENV TORCH_HOME=/cache/torch CNNVIZ_STORE=/cache/features PYTHONUNBUFFERED=1
USER 10001
WORKDIR /work
ENTRYPOINT ["cnnviz"]
CMD ["--help"]
