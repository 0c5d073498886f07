#!/usr/bin/env bash
# An authority and the alert service's certificate, for a trial; for use at real checkpoints take
# certificates of your own authority, under the same names.
#
#   deploy/compose/make-certificates.sh [NAME…]
#
# NAME: what clients call the service by, beside "alerts" and "localhost". Writes ca.pem,
# alerts.pem and alerts.key to deploy/compose/certificates (CERTIFICATES=… overrides) and leaves
# no authority's key behind: to add a name, make all anew.
set -euo pipefail

out=${CERTIFICATES:-$(dirname "${BASH_SOURCE[0]}")/certificates}
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

names="DNS:alerts,DNS:localhost,IP:127.0.0.1"
for name in "$@"; do
    if [[ $name =~ ^[0-9.]+$|: ]]; then names+=",IP:$name"; else names+=",DNS:$name"; fi
done

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 825 \
    -subj "/CN=Checkpoint trial authority" -addext "basicConstraints=critical,CA:TRUE" \
    -addext "keyUsage=critical,keyCertSign,cRLSign" \
    -keyout "$work/ca.key" -out "$out/ca.pem" 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=alerts" \
    -keyout "$work/alerts.key" -out "$work/alerts.csr" 2>/dev/null
printf '%s\n' "subjectAltName=$names" "basicConstraints=CA:FALSE" \
    "keyUsage=critical,digitalSignature" "extendedKeyUsage=serverAuth,clientAuth" >"$work/extensions"
openssl x509 -req -in "$work/alerts.csr" -CA "$out/ca.pem" -CAkey "$work/ca.key" \
    -CAcreateserial -CAserial "$work/serial" -days 825 -extfile "$work/extensions" \
    -out "$out/alerts.pem" 2>/dev/null
# The key is for the image's user alone.
install -m 0600 "$work/alerts.key" "$out/alerts.key"
chown 10001:10001 "$out/alerts.key" 2>/dev/null ||
    echo "Not root: give $out/alerts.key to user 10001, the one of the image." >&2
echo "Wrote $out: ca.pem (for clients), alerts.pem, alerts.key"
