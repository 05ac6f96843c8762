FROM python:3.11-slim
WORKDIR /app
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY quill quill
COPY gateway gateway
COPY worker worker
RUN pip install --no-cache-dir -c constraints.txt ".[worker]" && useradd --system --create-home quill
USER quill
STOPSIGNAL SIGTERM
CMD ["python", "-m", "worker"]
