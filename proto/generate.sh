#!/bin/sh
# Generate checkpoint.v1.alerts_pb2 and its companions.
#
# usage: proto/generate.sh [OUTPUT_FOLDER]      (default: proto/ itself, where they are committed)
#
# Generated code refuses a grpcio or protobuf older than its generator, so what is committed comes
# from the oldest generator that we support: grpcio-tools 1.73.1 (grpcio >= 1.73.1, protobuf >=
# 6.31). Any later generator will do while working on the .proto; PYTHON names the interpreter.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
output=${1:-$here}
exec "${PYTHON:-python}" -m grpc_tools.protoc \
    --proto_path="$here" \
    --python_out="$output" \
    --pyi_out="$output" \
    --grpc_python_out="$output" \
    checkpoint/v1/alerts.proto
