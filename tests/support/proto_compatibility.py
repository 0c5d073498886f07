"""What breaks those who were built against an earlier alerts.proto, as ``buf breaking`` finds it.

``proto/baseline.binpb`` holds the descriptors that others have been given. Additions are free;
whatever they rely on may not go, move or change. ``make proto-baseline`` renews it on purpose.

usage: python -m tests.support.proto_compatibility renew
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

from checkpoint.v1 import alerts_pb2

BASELINE = Path(__file__).parents[2] / "proto" / "baseline.binpb"


def current() -> FileDescriptorProto:
    """The descriptors of the code as it is."""
    return FileDescriptorProto.FromString(alerts_pb2.DESCRIPTOR.serialized_pb)


def baseline() -> FileDescriptorProto:
    """The descriptors that others have been given."""
    (file,) = FileDescriptorSet.FromString(BASELINE.read_bytes()).file
    return file


def renew() -> None:
    """Make the code's descriptors the ones that others have been given."""
    BASELINE.write_bytes(FileDescriptorSet(file=[current()]).SerializeToString(deterministic=True))


def breaking_changes(old: FileDescriptorProto, new: FileDescriptorProto) -> list[str]:
    """What in ``new`` breaks those who were built against ``old``, a line each."""
    found: list[str] = []
    if old.package != new.package:
        found.append(f"package {old.package} is now {new.package}")
    for option in ("go_package", "java_package", "java_multiple_files"):
        if old.options.HasField(option) and getattr(old.options, option) != getattr(
            new.options, option
        ):
            found.append(f"option {option} has changed")
    found += _messages("", old.message_type, new.message_type)
    found += _enums("", old.enum_type, new.enum_type)
    found += _services(old.service, new.service)
    return found


def _messages(inside: str, old: list[DescriptorProto], new: list[DescriptorProto]) -> Iterator[str]:
    known = {one.name: one for one in new}
    for was in old:
        name = inside + was.name
        now = known.get(was.name)
        if now is None:
            yield f"message {name} is gone"
            continue
        yield from _fields(name, was, now)
        yield from _messages(f"{name}.", was.nested_type, now.nested_type)
        yield from _enums(f"{name}.", was.enum_type, now.enum_type)


def _fields(message: str, old: DescriptorProto, new: DescriptorProto) -> Iterator[str]:
    by_number = {field.number: field for field in new.field}
    for was in old.field:
        name = f"{message}.{was.name}"
        now = by_number.get(was.number)
        if now is None:
            moved = next((one.number for one in new.field if one.name == was.name), None)
            what = "is gone" if moved is None else f"has moved to {moved}"
            yield f"field {name} = {was.number} {what}"
            continue
        if now.name != was.name:
            yield f"field {name} = {was.number} is now called {now.name}"
        if (now.type, now.type_name) != (was.type, was.type_name):
            yield f"field {name} = {was.number} was {_type(was)}, is now {_type(now)}"
        if now.label != was.label:
            yield f"field {name} = {was.number} is repeated in one and not in the other"
        if now.proto3_optional != was.proto3_optional:
            yield f"field {name} = {was.number} is optional in one and not in the other"
        if _group(old, was) != _group(new, now):
            yield f"field {name} = {was.number} has changed its oneof"
    for reserved in old.reserved_range:
        for number in (one.number for one in new.field):
            if reserved.start <= number < reserved.end:
                yield f"message {message}: number {number} is reserved and used again"


def _enums(
    inside: str, old: list[EnumDescriptorProto], new: list[EnumDescriptorProto]
) -> Iterator[str]:
    known = {one.name: one for one in new}
    for was in old:
        name = inside + was.name
        if was.name not in known:
            yield f"enum {name} is gone"
            continue
        numbers = {value.name: value.number for value in known[was.name].value}
        for value in was.value:
            if value.name not in numbers:
                yield f"enum value {name}.{value.name} = {value.number} is gone"
            elif numbers[value.name] != value.number:
                yield (
                    f"enum value {name}.{value.name} = {value.number} "
                    f"has moved to {numbers[value.name]}"
                )


def _services(
    old: list[ServiceDescriptorProto], new: list[ServiceDescriptorProto]
) -> Iterator[str]:
    known = {one.name: one for one in new}
    for was in old:
        if was.name not in known:
            yield f"service {was.name} is gone"
            continue
        methods = {method.name: method for method in known[was.name].method}
        for method in was.method:
            now = methods.get(method.name)
            if now is None:
                yield f"rpc {was.name}.{method.name} is gone"
                continue
            for side in ("input_type", "output_type", "client_streaming", "server_streaming"):
                if getattr(method, side) != getattr(now, side):
                    yield f"rpc {was.name}.{method.name}: its {side} has changed"


def _group(message: DescriptorProto, field: FieldDescriptorProto) -> str | None:
    """The name of the oneof that a field is in; None for a field that is merely optional."""
    if not field.HasField("oneof_index") or field.proto3_optional:
        return None
    return message.oneof_decl[field.oneof_index].name


def _type(field: FieldDescriptorProto) -> str:
    if field.type_name:
        return field.type_name.lstrip(".")
    return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()


if __name__ == "__main__":
    if sys.argv[1:] != ["renew"]:
        sys.exit(__doc__)
    renew()
    print(f"Renewed {BASELINE.name}: what is in alerts.proto now is what others may rely on")
