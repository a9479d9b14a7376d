# Postern in a container.
#
#   docker build -t postern .
#   docker run -d --name postern --hostname relay.example.org --stop-timeout 60 -p 25:25 \
#     -v ./config:/etc/postern:ro -v postern-data:/data -v postern-certs:/certs postern
#   docker exec postern postern queue list
#
# Three places, each with its own life:
#   /etc/postern   postern.yaml, mounted read only. Without it the relay says so and ends.
#   /data          the queue. A volume: the relay does not start with a queue that dies with the container, unless
#                  queue.ephemeral says that it may. The postern.yaml of the repository says so: delete that line here.
#   /certs         certificate and key. Written only to make a self-signed pair where none is configured.
#
# Relative paths in a configuration start at the parent of its folder, here /etc. /etc/data and /etc/certs lead to /data and
# /certs, so `sqlite:data/queue.db` and `certs/relay.pem` mean the volumes. Listeners have to name the port that is published, and
# an address that is not the container's loopback:
#   listeners: [{ name: mx, address: "0.0.0.0:25", tls: starttls }]
#
# The relay runs as user 10025, never as root. What is bind-mounted must be readable by it (`chown 10025` the key, mode 0600),
# /data writable. For port 25 the node binary carries CAP_NET_BIND_SERVICE. Where a platform drops all capabilities the system
# refuses to run such a binary: give that one back (`--cap-drop=ALL --cap-add=NET_BIND_SERVICE`). With `no-new-privileges` it
# is ignored: listen on 2525 and publish that, `-p 25:2525`.
#
# The health check asks the admin address of the default configuration; set POSTERN_HEALTH_URL if yours is another.

FROM node:24-slim AS binary
RUN apt-get update \
 && apt-get install -y --no-install-recommends libcap2-bin \
 && rm -rf /var/lib/apt/lists/* \
 && setcap cap_net_bind_service=+ep /usr/local/bin/node

# Production packages alone, in a layer that a change of src/ leaves as it is. No package of them has an install script.
FROM node:24-slim AS packages
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:24-slim
ENV NODE_ENV=production
RUN groupadd --gid 10025 postern \
 && useradd --uid 10025 --gid postern --home-dir /data --no-create-home --shell /usr/sbin/nologin postern \
 && install -d -o postern -g postern -m 0700 /data /certs \
 && install -d -m 0755 /etc/postern \
 && ln -s /data /etc/data \
 && ln -s /certs /etc/certs \
 && printf '#!/bin/sh\nexec node /app/src/main.ts "$@"\n' > /usr/local/bin/postern \
 && chmod 0755 /usr/local/bin/postern
# COPY keeps the capability: it is an extended attribute of the file.
COPY --from=binary /usr/local/bin/node /usr/local/bin/node
WORKDIR /app
COPY --from=packages /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY src ./src

USER 10025:10025
VOLUME ["/data", "/certs"]
EXPOSE 25
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s --retries=3 \
  CMD ["node", "-e", "fetch(process.env.POSTERN_HEALTH_URL ?? 'http://127.0.0.1:8025/healthz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]

# Node handles signals itself and the relay starts no child processes: process 1 needs no init in front.
ENTRYPOINT ["node", "/app/src/main.ts"]
CMD ["serve", "--config", "/etc/postern/postern.yaml"]
