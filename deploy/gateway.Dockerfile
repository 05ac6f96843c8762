FROM python:3.11-slim
WORKDIR /app
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY quill quill
COPY gateway gateway
COPY worker worker
RUN pip install --no-cache-dir -c constraints.txt ".[gateway,intake]" && useradd --system quill
USER quill
ENV QUILL_HOST=0.0.0.0
EXPOSE 8000
HEALTHCHECK CMD python -c "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz')"
CMD ["python", "-m", "gateway"]
