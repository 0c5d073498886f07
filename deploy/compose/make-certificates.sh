#!/usr/bin/env bash
# An authority and certificates of the alert service and one recogniser, for a trial on a machine
# that has only openssl; `checkpoint certs init` makes those of real checkpoints.
#
#   deploy/compose/make-certificates.sh [NAME…]
#
# NAME: what clients call the service by, beside "alerts" and "localhost". Writes ca.pem, alerts.pem,
# alerts.key, recognise.pem and recognise.key to deploy/compose/certificates (CERTIFICATES=…
# overrides) and leaves no authority's key behind: to add a name, make all anew. The recogniser may
# publish for the checkpoint $CHECKPOINT_NAME [checkpoint-1].
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
# The alert service asks its own health with its certificate, so it is a client's, too.
sign() { # FILE COMMON-NAME EXTENSIONS…
    local file=$1 name=$2
    shift 2
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" -utf8 \
        -keyout "$work/$file.key" -out "$work/$file.csr" 2>/dev/null
    printf '%s\n' "$@" "basicConstraints=CA:FALSE" "keyUsage=critical,digitalSignature" \
        >"$work/extensions"
    openssl x509 -req -in "$work/$file.csr" -CA "$out/ca.pem" -CAkey "$work/ca.key" \
        -CAcreateserial -CAserial "$work/serial" -days 825 -extfile "$work/extensions" \
        -out "$out/$file.pem" 2>/dev/null
    # The key is for the image's user alone.
    install -m 0600 "$work/$file.key" "$out/$file.key"
    chown 10001:10001 "$out/$file.key" 2>/dev/null ||
        echo "Not root: give $out/$file.key to user 10001, the one of the image." >&2
}
sign alerts alerts "subjectAltName=$names" "extendedKeyUsage=serverAuth,clientAuth"
sign recognise "${CHECKPOINT_NAME:-checkpoint-1}" "extendedKeyUsage=clientAuth"
echo "Wrote $out: ca.pem (for clients), alerts.pem, alerts.key, recognise.pem, recognise.key"
