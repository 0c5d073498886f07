#!/bin/sh
# Redis as the watchlist's home: every write on disk within a second, nothing evicted, and its
# password read from standard input, so that no list of processes shows it.
set -eu
exec redis-server - <<CONFIG
bind * -::*
dir /data
appendonly yes
appendfsync everysec
maxmemory-policy noeviction
requirepass ${REDIS_PASSWORD:?set REDIS_PASSWORD}
CONFIG
