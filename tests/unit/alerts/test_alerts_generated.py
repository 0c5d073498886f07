"""The committed gRPC code is what the .proto says."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from checkpoint.v1 import alerts_pb2 as pb
from pipeline import types

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "proto/checkpoint/v1"
FILES = ("alerts_pb2.py", "alerts_pb2.pyi", "alerts_pb2_grpc.py")
GENERATOR = re.search(
    r"GRPC_GENERATED_VERSION = '([\d.]+)'", (FOLDER / "alerts_pb2_grpc.py").read_text()
)


OLD = Path(sys.prefix) / "proto/bin/python"
"""Where `make proto` and `make test` install the generator that wrote the committed code."""


def generate(python: str | Path, folder: Path) -> Path:
    subprocess.run(
        [str(ROOT / "proto/generate.sh"), str(folder)],
        check=True,
        env={"PYTHON": str(python), "PATH": "/usr/bin:/bin"},
    )
    return folder / "checkpoint/v1"


@pytest.fixture(scope="module")
def regenerated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("grpc_tools")
    return generate(sys.executable, tmp_path_factory.mktemp("generated"))


@pytest.fixture(scope="module")
def rewritten(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """By the same generator as the committed code."""
    if not OLD.exists():
        pytest.skip(f"the generator of the committed code is not in {OLD.parents[1]}: make proto")
    return generate(OLD, tmp_path_factory.mktemp("rewritten"))


def test_committed_descriptor_is_that_of_the_proto(regenerated: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import checkpoint.v1.alerts_pb2 as pb\n"
        "assert pb.__file__.startswith(sys.argv[1]), pb.__file__\n"
        "sys.stdout.buffer.write(pb.DESCRIPTOR.serialized_pb)"
    )
    fresh = subprocess.run(
        [
            sys.executable,
            "-S",
            "-c",
            f"import site; site.main()\n{code}",
            str(regenerated.parents[1]),
        ],
        check=True,
        capture_output=True,
    ).stdout
    want = descriptor_pb2.FileDescriptorProto.FromString(fresh)
    have = descriptor_pb2.FileDescriptorProto.FromString(pb.DESCRIPTOR.serialized_pb)
    assert have == want, "alerts.proto has changed: run proto/generate.sh"


@pytest.mark.parametrize("name", FILES)
def test_committed_text_is_what_the_generator_writes(rewritten: Path, name: str) -> None:
    assert (FOLDER / name).read_text() == (rewritten / name).read_text()


def test_committed_code_runs_on_the_oldest_grpcio_that_we_allow() -> None:
    assert GENERATOR is not None
    with (ROOT / "pyproject.toml").open("rb") as file:
        wanted = tomllib.load(file)["project"]["dependencies"]
    floors = [re.match(r"grpcio>=([\d.]+)", line) for line in wanted]
    floor = next(match[1] for match in floors if match)

    def numbers(text: str) -> list[int]:
        return [int(part) for part in text.split(".")]

    assert numbers(GENERATOR[1]) <= numbers(floor), (
        f"pyproject allows grpcio {floor}, the generated code wants {GENERATOR[1]}"
    )


def test_everything_in_the_proto_is_documented() -> None:
    lines = [line.strip() for line in (FOLDER / "alerts.proto").read_text().splitlines()]
    bare = [
        line
        for before, line in itertools.pairwise(lines)
        if re.match(
            r"(message|enum|service|rpc|(repeated |optional )?[\w.]+ \w+ = \d+;|\w+ = \d+;)", line
        )
        and not before.startswith("//")
    ]
    assert not bare


@pytest.mark.parametrize(
    ("prefix", "message", "ours"),
    [
        ("PLATE_CLASS", pb.PlateClass, types.PlateClass),
        ("VEHICLE_CLASS", pb.VehicleClass, types.VehicleClass),
        ("VEHICLE_COLOUR", pb.VehicleColour, types.VehicleColour),
        ("DIRECTION", pb.Direction, types.Direction),
        ("MATCH_KIND", pb.MatchKind, types.MatchKind),
        ("REVIEW_STATE", pb.ReviewState, types.ReviewState),
        ("NAMED_BY", pb.NamedBy, types.NamedBy),
        ("HISTORY_KIND", pb.HistoryKind, types.HistoryKind),
    ],
)
def test_enumerations_mirror_ours(prefix: str, message: object, ours: type) -> None:
    names = [f"{prefix}_UNSPECIFIED", *(f"{prefix}_{member.name}" for member in ours)]
    assert list(message.keys()) == names  # type: ignore[attr-defined]
