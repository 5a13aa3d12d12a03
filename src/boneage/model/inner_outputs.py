"""Tensors inside an ONNX network as further outputs, without the library that edits such networks.

An ONNX file is one protobuf message, and of two messages one after the other a reader makes one: lists are joined, and
messages inside are merged in the same way (protobuf's encoding, "Last One Wins"). So a message that holds nothing but a
graph with one output more, put behind the file, is that network with one output more; its weights stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

# Numbers of the fields in onnx.proto3.
_MODEL_GRAPH: Final = 7
_GRAPH_OUTPUT: Final = 12
_VALUE_NAME: Final = 1
_VALUE_TYPE: Final = 2
_TYPE_TENSOR: Final = 1
_TENSOR_ELEMENT: Final = 1
_TENSOR_SHAPE: Final = 2
_SHAPE_AXIS: Final = 1
_AXIS_NAME: Final = 2
_FLOAT32: Final = 1


def with_outputs(network: bytes, tensors: Iterable[str]) -> bytes:
    """The ONNX network with more outputs.

    Args:
        network: the content of an `.onnx` file.
        tensors: names of tensors inside it, float32 [n, C] each. Whether there is such a tensor shows when the network
            is opened.
    """
    return network + b"".join(_message(_MODEL_GRAPH, _message(_GRAPH_OUTPUT, _output(name))) for name in tensors)


def _output(name: str) -> bytes:
    axes = b"".join(_message(_SHAPE_AXIS, _message(_AXIS_NAME, axis)) for axis in (b"n", b"features"))
    tensor = _number(_TENSOR_ELEMENT, _FLOAT32) + _message(_TENSOR_SHAPE, axes)
    return _message(_VALUE_NAME, name.encode()) + _message(_VALUE_TYPE, _message(_TYPE_TENSOR, tensor))


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
