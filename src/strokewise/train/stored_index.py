"""The index of a checkpoint of torch.distributed.checkpoint, read without running code.

The index (``.metadata``) is a pickle, and a pickle may call anything. Here only the few types that describe
tensors can be made; every other name is refused, and so are entries of bytes, which DCP would unpickle.
Knows DCP's reader and these types; refuses to know what the tensors are for.
"""

import io
import pickle
from typing import Any

import torch
from torch.distributed.checkpoint import FileSystemReader
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta

from strokewise.errors import CheckpointError

PERMITTED = {
    "torch.distributed.checkpoint.metadata": {
        "ChunkStorageMetadata",
        "Metadata",
        "MetadataIndex",
        "StorageMeta",
        "TensorProperties",
        "TensorStorageMetadata",
        "_MEM_FORMAT_ENCODING",
    },
    "torch.distributed.checkpoint.filesystem": {"_StorageInfo"},
    "torch.serialization": {"_get_layout"},
    "torch": {"Size"},
    "pathlib": {"Path", "PosixPath"},
    "pathlib._local": {"Path", "PosixPath"},
}


class IndexReader(FileSystemReader):
    """DCP's reader of a folder, with an index that cannot call anything."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """Return the index.

        Raises:
            CheckpointError: if it names a type that describes no tensor, or a file outside its folder.
        """
        with self.fs.create_stream(self._get_metadata_path(kwargs.get("rank")), "rb") as file:
            metadata = _Unpickler(io.BytesIO(file.read())).load()
        if not isinstance(metadata, Metadata):
            raise CheckpointError(f"the index of {self.path} describes no checkpoint")
        for place in (metadata.storage_data or {}).values():
            name = place.relative_path
            if not isinstance(name, str) or "/" in name or "\\" in name or place.transform_descriptors:
                raise CheckpointError(f"the index of {self.path} names {name!r}, which is no file of its own")
        if metadata.storage_meta is None:
            metadata.storage_meta = StorageMeta()
        metadata.storage_meta.load_id = self.load_id
        return metadata


class _Unpickler(pickle.Unpickler):
    """Makes the types of an index alone."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and isinstance(found := getattr(torch, name, None), torch.dtype):
            return found
        if name in PERMITTED.get(module, ()):
            return super().find_class(module, name)
        raise CheckpointError(f"its index names {module}.{name}, which describes no tensor; it was not read")
