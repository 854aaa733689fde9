"""A version's schema for other programs: embedded images, described as features of `datasets`.

With the features in the Parquet metadata, `datasets.load_dataset` and the Hub's viewer decode the
images automatically.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""An image of `datasets`: its encoded bytes, and a name."""
IMAGES = pa.list_(IMAGE)


def embedded(schema: pa.Schema) -> pa.Schema:
    """`schema` with IMAGES for its column of hashes, and the features in its metadata."""
    fields = [
        pa.field("images", IMAGES) if f.name == "images" else pa.field(f.name, f.type)
        for f in schema
    ]
    return described(fields)


def described(fields: list[pa.Field]) -> pa.Schema:
    """A schema of these, with the features in its metadata."""
    return pa.schema(fields, {"huggingface": json.dumps({"info": {"features": features(fields)}})})


def features(fields: list[pa.Field]) -> dict[str, Any]:
    """Column -> its feature."""
    return {f.name: feature(f.type) for f in fields}


def feature(type: pa.DataType) -> Any:
    """A column's type as a feature of `datasets`."""
    if type == IMAGE:
        return {"_type": "Image"}
    if pa.types.is_list(type):
        return {"feature": feature(type.value_type), "_type": "List"}
    if pa.types.is_struct(type):
        return {child.name: feature(child.type) for child in type}
    names = {"float": "float32", "double": "float64"}
    return {"dtype": names.get(str(type), str(type)), "_type": "Value"}
