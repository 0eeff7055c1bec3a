"""A folder of embeddings, one file per image or text."""

from __future__ import annotations

import hashlib
import os
import uuid
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

DIGEST = 32


class EmbeddingCache:
    """Embeddings in a folder, each under a hash of the network and of the image or text.

    A file holds a checksum and an embedding. Each file is written under another name and then
    renamed, so it is either complete or missing. A file with a wrong checksum is ignored.
    """

    def __init__(self, folder: str | PathLike[str], network: bytes) -> None:
        self.folder, self.network = Path(folder), network
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise ValueError(
                f"cache={str(folder)!r}: expected a folder, but it is a file."
            ) from error

    def key(self, content: bytes) -> str:
        """Return the key of an image or text, from its content."""
        return hashlib.blake2b(self.network + content, digest_size=DIGEST).hexdigest()

    def get(self, key: str) -> np.ndarray | None:
        """Return the embedding under a key, or None if it is missing or damaged."""
        try:
            found = self._path(key).read_bytes()
        except FileNotFoundError:
            return None
        checksum, data = found[:DIGEST], found[DIGEST:]
        if not data or checksum != _checksum(key, data):
            return None
        return np.frombuffer(data, dtype="<f4")

    def put(self, key: str, row: np.ndarray) -> None:
        """Store an embedding."""
        path, data = self._path(key), row.astype("<f4").tobytes()
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
        try:
            temporary.write_bytes(_checksum(key, data) + data)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / key


def _checksum(key: str, data: bytes) -> bytes:
    return hashlib.blake2b(key.encode() + data, digest_size=DIGEST).digest()


def digest_of(module: nn.Module, *settings: object) -> bytes:
    """Hash of what decides an embedding: class, structure and weights of a network, and settings.

    The code of the class is not included.
    """
    kind = type(module)
    found = hashlib.blake2b(digest_size=DIGEST)
    for part in (f"{kind.__module__}.{kind.__qualname__}", repr(module), repr(settings)):
        found.update(part.encode() + b"\0")
    for name, value in module.state_dict().items():
        if isinstance(value, Tensor):
            found.update(f"{name} {value.dtype} {tuple(value.shape)}\0".encode())
            plain = value.detach().cpu().contiguous().reshape(-1)
            found.update(plain.view(torch.uint8).numpy().tobytes())
        else:
            found.update(f"{name} {value!r}\0".encode())
    return found.digest()
