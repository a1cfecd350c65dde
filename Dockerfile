# The CPU image: realqa with the bundled model by ONNX Runtime, without torch and transformers, under 500 MB.
#
#     docker build -t realqa .
#     docker run --rm -v "$PWD/photos:/photos:ro" --read-only realqa score /photos
#     docker run --rm -p 8000:8000 --read-only realqa serve --host 0.0.0.0
#
# It runs as a user without rights and needs no file system that it can write to. docs/guides/containers.md has more.
FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE constraints-slim.txt constraints-slim-serve.txt ./
COPY realqa_cli realqa_cli
RUN python -m venv --without-pip /opt/realqa \
    && python -m pip --python /opt/realqa/bin/python install --no-cache-dir --no-compile --no-deps \
        -r constraints-slim.txt -r constraints-slim-serve.txt . \
    && /opt/realqa/bin/python -c "import realqa_cli.steps.serve.serve" \
    && /opt/realqa/bin/realqa score realqa_cli/steps/doctor/samples --json

FROM python:3.11-slim
COPY --from=build /opt/realqa /opt/realqa
ENV PATH=/opt/realqa/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
WORKDIR /photos
EXPOSE 8000
ENTRYPOINT ["realqa"]
CMD ["--help"]
