"""Health of the alert service, for a container's HEALTHCHECK: ``healthcheck.py [CONFIG]``.

Asks the standard gRPC health service where the configuration says that it listens, over
loopback. Exit status 0: serving; 1: not. A process without the alert service has nobody to ask:
its supervisor sees whether it lives, and its log says what ails it.
"""

import sys
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from pipeline import config
from pipeline.alerts.channel import dial_target, open_channel
from pipeline.errors import CheckpointError

TIMEOUT_S = 3.0


def ask(alerts: config.AlertSettings) -> int:
    """The service's ``ServingStatus``, asked for with its own certificate where it has one.

    Raises:
        ConfigError: a certificate cannot be read.
        grpc.RpcError: it does not answer.
    """
    ca = cert = key = None
    if alerts.tls is not None:
        ca = alerts.target_ca or alerts.tls.client_ca or alerts.tls.certificate
        if alerts.tls.client_ca is not None:
            cert, key = alerts.tls.certificate, alerts.tls.key
    with open_channel(dial_target(alerts.listen), ca, cert, key) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
    return int(answer.status)


def main(path: Path) -> int:
    """Ask once; print the answer and return the exit status."""
    try:
        settings = config.load(path)
        if config.Role.ALERTS not in settings.roles:
            print("no alert service in this process")
            return 0
        status = ask(settings.alerts)
    except CheckpointError as error:
        print(f"not serving: {error}")
        return 1
    except grpc.RpcError as error:
        print(f"not serving: {error.code().name}: {error.details()}")
        return 1
    print(health_pb2.HealthCheckResponse.ServingStatus.Name(status))
    return 0 if status == health_pb2.HealthCheckResponse.SERVING else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "/etc/checkpoint/checkpoint.toml")))
