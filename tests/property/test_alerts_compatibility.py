"""alerts.proto breaks nobody who was built against it; and what would break is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.support.proto_compatibility import baseline, breaking_changes, current

NAME = st.from_regex(r"\A[a-z][a-z0-9_]{0,12}\Z").map(lambda text: "new_" + text)
SCALARS = st.sampled_from([FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.TYPE_DOUBLE])


def test_alerts_proto_breaks_nobody() -> None:
    broken = breaking_changes(baseline(), current())
    assert not broken, (
        "alerts.proto breaks those who were built against it:\n  "
        + "\n  ".join(broken)
        + "\nAdd fields with new numbers instead. If it must be: make proto-baseline"
    )


def every_message(file: FileDescriptorProto) -> list[DescriptorProto]:
    found, waiting = [], list(file.message_type)
    while waiting:
        message = waiting.pop()
        found.append(message)
        waiting.extend(message.nested_type)
    return found


@given(st.data())
def test_additions_break_nobody(data: st.DataObject) -> None:
    new = current()
    for message in every_message(new):
        if message.options.map_entry or not data.draw(st.booleans()):
            continue
        number = max((field.number for field in message.field), default=0)
        field = message.field.add(
            name=data.draw(NAME), number=number + data.draw(st.integers(1, 50)),
            type=data.draw(SCALARS), label=FieldDescriptorProto.LABEL_OPTIONAL,
        )  # fmt: skip
        if data.draw(st.booleans()):
            message.reserved_range.add(start=field.number + 1, end=field.number + 9)
    for enum in new.enum_type:
        if data.draw(st.booleans()):
            enum.value.add(name="NEW", number=max(value.number for value in enum.value) + 1)
    new.message_type.add(name="NewMessage")
    new.enum_type.add(name="NewEnum")
    new.service.add(name="NewService")
    new.service[0].method.add(
        name="NewCall", input_type=".checkpoint.v1.Hit", output_type=".checkpoint.v1.Alert"
    )
    assert breaking_changes(current(), new) == []


def a_field(file: FileDescriptorProto, data: st.DataObject) -> tuple[DescriptorProto, Any]:
    messages = [message for message in every_message(file) if message.field]
    message = data.draw(st.sampled_from(messages))
    return message, data.draw(st.sampled_from(list(message.field)))


def remove_field(file: FileDescriptorProto, data: st.DataObject) -> str:
    message, field = a_field(file, data)
    message.field.remove(field)
    return f"{message.name}.{field.name} = {field.number} is gone"


def renumber_field(file: FileDescriptorProto, data: st.DataObject) -> str:
    message, field = a_field(file, data)
    was, field.number = field.number, 1000 + field.number
    return f"{message.name}.{field.name} = {was} has moved to {field.number}"


def rename_field(file: FileDescriptorProto, data: st.DataObject) -> str:
    message, field = a_field(file, data)
    was, field.name = field.name, "another"
    return f"{message.name}.{was} = {field.number} is now called another"


def retype_field(file: FileDescriptorProto, data: st.DataObject) -> str:
    message, field = a_field(file, data)
    field.type, field.type_name = FieldDescriptorProto.TYPE_SFIXED32, ""
    return f"{message.name}.{field.name} = {field.number} was"


def repeat_field(file: FileDescriptorProto, data: st.DataObject) -> str:
    message, field = a_field(file, data)
    single, many = FieldDescriptorProto.LABEL_OPTIONAL, FieldDescriptorProto.LABEL_REPEATED
    field.label = many if field.label == single else single
    return f"{message.name}.{field.name} = {field.number} is repeated"


def an_enum(file: FileDescriptorProto, data: st.DataObject) -> EnumDescriptorProto:
    found: EnumDescriptorProto = data.draw(st.sampled_from(list(file.enum_type)))
    return found


def remove_value(file: FileDescriptorProto, data: st.DataObject) -> str:
    enum = an_enum(file, data)
    value = enum.value.pop(data.draw(st.integers(0, len(enum.value) - 1)))
    return f"{enum.name}.{value.name} = {value.number} is gone"


def move_value(file: FileDescriptorProto, data: st.DataObject) -> str:
    enum = an_enum(file, data)
    value = data.draw(st.sampled_from(list(enum.value)))
    value.number += 1000
    return f"{enum.name}.{value.name} = {value.number - 1000} has moved to {value.number}"


def remove_message(file: FileDescriptorProto, data: st.DataObject) -> str:
    gone = file.message_type.pop(data.draw(st.integers(0, len(file.message_type) - 1)))
    return f"message {gone.name} is gone"


def remove_call(file: FileDescriptorProto, data: st.DataObject) -> str:
    methods = file.service[0].method
    gone = methods.pop(data.draw(st.integers(0, len(methods) - 1)))
    return f"rpc Alerts.{gone.name} is gone"


def change_call(file: FileDescriptorProto, data: st.DataObject) -> str:
    method = data.draw(st.sampled_from(list(file.service[0].method)))
    side = data.draw(st.sampled_from(["client_streaming", "server_streaming", "output_type"]))
    if side == "output_type":
        method.output_type = ".checkpoint.v1.Evidence"
    else:
        setattr(method, side, not getattr(method, side))
    return f"rpc Alerts.{method.name}: its {side} has changed"


@pytest.mark.parametrize(
    "change",
    [
        remove_field,
        renumber_field,
        rename_field,
        retype_field,
        repeat_field,
        remove_value,
        move_value,
        remove_message,
        remove_call,
        change_call,
    ],
)
@given(st.data())
def test_each_kind_of_break_is_found_and_named(
    change: Callable[[FileDescriptorProto, st.DataObject], str], data: st.DataObject
) -> None:
    new = current()
    expected = change(new, data)
    found = breaking_changes(current(), new)
    assert any(expected in line for line in found), (expected, found)


def test_a_oneof_an_optional_and_a_reserved_number_may_not_change() -> None:
    new = current()
    response = next(one for one in new.message_type if one.name == "SubscribeResponse")
    response.field[0].ClearField("oneof_index")
    alert = next(one for one in new.message_type if one.name == "Alert")
    reviewer = next(one for one in alert.field if one.name == "reviewer")
    reviewer.proto3_optional = False
    reviewer.ClearField("oneof_index")
    old = current()
    old.message_type[0].reserved_range.add(start=700, end=701)
    new.message_type[0].field.add(name="again", number=700, type=9, label=1)
    assert [line.split(" ", 1)[1] for line in breaking_changes(old, new)] == [
        f"{new.message_type[0].name}: number 700 is reserved and used again",
        "Alert.reviewer = 5 is optional in one and not in the other",
        "SubscribeResponse.cursor = 1 has changed its oneof",
    ]
