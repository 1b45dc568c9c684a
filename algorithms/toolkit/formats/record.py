"""The protobuf message `aialgs.data.Record` that AWS's algorithms exchange.

The descriptor is built here, so that neither a compiler nor generated code is needed. As a file:

    syntax = "proto2"; package aialgs.data;
    message Float32Tensor { repeated float  values = 1 [packed = true];
                            repeated uint64 keys = 2 [packed = true];
                            repeated uint64 shape = 3 [packed = true]; }
    message Float64Tensor { the same with double }    message Int32Tensor { with int32 }
    message Bytes { repeated bytes value = 1; optional string content_type = 2; }
    message Value { oneof value { Float32Tensor float32_tensor = 2;
                                  Float64Tensor float64_tensor = 3;
                                  Int32Tensor int32_tensor = 7; Bytes bytes = 9; } }
    message Record { map<string, Value> features = 1; map<string, Value> label = 2;
                     optional string uid = 3; optional string metadata = 4;
                     optional string configuration = 5; }
"""

from __future__ import annotations

from functools import cache
from typing import Any

_PACKAGE = "aialgs.data"
_TENSORS = {"Float32Tensor": "float", "Float64Tensor": "double", "Int32Tensor": "int32"}
_VALUES = {
    "float32_tensor": ("Float32Tensor", 2),
    "float64_tensor": ("Float64Tensor", 3),
    "int32_tensor": ("Int32Tensor", 7),
    "bytes": ("Bytes", 9),
}


@cache
def record_class() -> Any:
    """The class of a Record."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    types = {
        "float": field.TYPE_FLOAT,
        "double": field.TYPE_DOUBLE,
        "int32": field.TYPE_INT32,
        "uint64": field.TYPE_UINT64,
    }
    file = descriptor_pb2.FileDescriptorProto(
        name="aialgs/data/record.proto", package=_PACKAGE, syntax="proto2"
    )
    for name, kind in _TENSORS.items():
        tensor = file.message_type.add(name=name)
        for number, (column, of) in enumerate(
            (("values", kind), ("keys", "uint64"), ("shape", "uint64")), 1
        ):
            added = tensor.field.add(
                name=column, number=number, label=field.LABEL_REPEATED, type=types[of]
            )
            added.options.packed = True
    raw = file.message_type.add(name="Bytes")
    raw.field.add(name="value", number=1, label=field.LABEL_REPEATED, type=field.TYPE_BYTES)
    raw.field.add(name="content_type", number=2, label=field.LABEL_OPTIONAL, type=field.TYPE_STRING)
    value = file.message_type.add(name="Value")
    value.oneof_decl.add(name="value")
    for name, (kind, number) in _VALUES.items():
        value.field.add(
            name=name,
            number=number,
            label=field.LABEL_OPTIONAL,
            type=field.TYPE_MESSAGE,
            type_name=f".{_PACKAGE}.{kind}",
            oneof_index=0,
        )
    record = file.message_type.add(name="Record")
    for number, name in enumerate(("features", "label"), 1):
        entry = record.nested_type.add(name=f"{name.capitalize()}Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, label=field.LABEL_OPTIONAL, type=field.TYPE_STRING)
        entry.field.add(
            name="value",
            number=2,
            label=field.LABEL_OPTIONAL,
            type=field.TYPE_MESSAGE,
            type_name=f".{_PACKAGE}.Value",
        )
        record.field.add(
            name=name,
            number=number,
            label=field.LABEL_REPEATED,
            type=field.TYPE_MESSAGE,
            type_name=f".{_PACKAGE}.Record.{entry.name}",
        )
    for number, name in enumerate(("uid", "metadata", "configuration"), 3):
        record.field.add(
            name=name, number=number, label=field.LABEL_OPTIONAL, type=field.TYPE_STRING
        )
    # A pool of its own: the SageMaker SDK registers the same names in the default one.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Record"))
