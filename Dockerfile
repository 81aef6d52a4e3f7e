# Serves a data directory mounted at /data:
#   docker run -p 8080:8080 -v gateway-data:/data IMAGE
FROM python:3.12-slim AS build
WORKDIR /src
COPY requirements/core.txt requirements/core.txt
RUN python -m venv /opt/gateway \
    && /opt/gateway/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements/core.txt
COPY pyproject.toml README.md ./
COPY gateway gateway
COPY registry registry
RUN /opt/gateway/bin/pip install --no-cache-dir --no-deps .

FROM python:3.12-slim
RUN useradd --create-home --uid 10001 gateway && install -d -o gateway /data
COPY --from=build /opt/gateway /opt/gateway
ENV PATH=/opt/gateway/bin:$PATH GATEWAY_DATA_DIR=/data GATEWAY_SERVE_HOST=0.0.0.0
USER gateway
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s CMD \
    python -c "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/v2/health/ready')"
ENTRYPOINT ["gateway"]
CMD ["serve"]
