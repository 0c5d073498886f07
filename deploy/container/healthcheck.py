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
from pipeline.errors import CheckpointError

TIMEOUT_S = 3.0


def channel(alerts: config.AlertSettings) -> grpc.Channel:
    """A channel to the service on this machine, with its own certificate where it has one."""
    host, port = alerts.listen.rsplit(":", 1)
    here = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
    if alerts.tls is None:
        return grpc.insecure_channel(f"{here}:{port}")
    certificate = alerts.tls.certificate.read_bytes()
    authority = alerts.target_ca.read_bytes() if alerts.target_ca else certificate
    mutual = alerts.tls.client_ca is not None
    return grpc.secure_channel(
        f"{here}:{port}",
        grpc.ssl_channel_credentials(
            authority,
            alerts.tls.key.read_bytes() if mutual else None,
            certificate if mutual else None,
        ),
    )


def main(path: Path) -> int:
    """Ask once; print the answer and return the exit status."""
    try:
        settings = config.load(path)
        if config.Role.ALERTS not in settings.roles:
            print("no alert service in this process")
            return 0
        with channel(settings.alerts) as asked:
            answer = health_pb2_grpc.HealthStub(asked).Check(
                health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S
            )
    except grpc.RpcError as error:
        print(f"not serving: {error.code().name}: {error.details()}")
        return 1
    except (CheckpointError, OSError) as error:
        print(f"not serving: {error}")
        return 1
    print(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
    return 0 if answer.status == health_pb2.HealthCheckResponse.SERVING else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "/etc/checkpoint/checkpoint.toml")))
