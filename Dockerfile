# One image for everything: `nexus up` by default, or any line of the Procfile.
#
#   docker build -t nexus .
#   docker run -p 8080:8080 -v nexus:/data --stop-timeout 40 --read-only --tmpfs /tmp \
#     -e NEXUS_EMBEDDED=postgres,redis,chroma -e API_BASE_URL=https://shop.example --env-file secrets nexus
#
# Every package is pinned with hashes (requirements*.txt). It writes to /data and /tmp alone.
FROM python:3.13-slim-bookworm AS build
WORKDIR /opt/nexus
COPY nexus requirements.txt requirements-embedded.txt ./
COPY scripts/bootstrap.py scripts/
RUN ./nexus install && .venv/bin/python -m compileall -q .venv/lib
COPY . .
RUN .venv/bin/python -m compileall -q functions gateway runtime state

FROM python:3.13-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin nexus \
    && install -d -o nexus -g nexus -m 0700 /data /data/whatsapp_sessions
COPY --from=build /opt/nexus /opt/nexus
WORKDIR /opt/nexus
ENV NEXUS_ENV=production NEXUS_STATE_DIR=/data PORT=8080 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
CMD ["./nexus", "up"]
