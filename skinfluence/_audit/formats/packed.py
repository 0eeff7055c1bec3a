"""Compressed files: one packing around a file of any format."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from skinfluence._audit.formats.format import PART, Given, load, told
from skinfluence._audit.table import AuditError, Source, listed

MAX_UNPACKED = 8_000_000_000  # bytes; a small file may unpack to more than any memory holds

PIECE = 1 << 20


@dataclass(frozen=True)
class PackedSource:
    """A source whose file is packed after it is written."""

    inner: Source
    packing: str
    pack: Callable[[Path, Path], None]

    @property
    def suffix(self) -> str:
        """The suffix of the file inside, and the suffix of the packing."""
        return self.inner.suffix + self.packing

    def write(self, path: Path, changes: Mapping[int, Sequence[str] | None]) -> None:
        """Write the changed table and pack it."""
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            plain = Path(folder) / "table"
            self.inner.write(plain, changes)
            self.pack(plain, path)


@dataclass(frozen=True)
class Compression:
    """A compression of one stream of bytes."""

    name: str
    suffix: str
    magic: bytes
    reader: Callable[[IO[bytes]], Any]
    writer: Callable[[IO[bytes]], Any]

    def pack(self, plain: Path, packed: Path) -> None:
        """Compress a file."""
        with open(plain, "rb") as source, open(packed, "wb") as file, self.writer(file) as target:
            shutil.copyfileobj(source, target)

    def unpack(self, given: Given) -> Given:
        """The file inside."""
        data = bytearray()
        with self.reader(io.BytesIO(given.read())) as stream:
            while piece := stream.read(PIECE):
                data += piece
                if len(data) > MAX_UNPACKED:
                    raise _too_large(given)
        name = given.name
        if given.suffix in (self.suffix, ".tgz"):
            name = name[: -len(given.suffix)]
        return Given(name, data=bytes(data), part=given.part)


def _gzip_writer(file: IO[bytes]) -> Any:
    # Without a name and a time, the same table gives the same bytes.
    return gzip.GzipFile("", "wb", fileobj=file, mtime=0)


def _zstandard() -> Any:
    return load("zstandard", "audit", "reading zst")


COMPRESSIONS = (
    Compression("gzip", ".gz", b"\x1f\x8b", lambda file: gzip.GzipFile(fileobj=file), _gzip_writer),
    Compression("bzip2", ".bz2", b"BZh", bz2.open, partial(bz2.open, mode="wb")),
    Compression("xz", ".xz", b"\xfd7zXZ\x00", lzma.open, partial(lzma.open, mode="wb")),
    Compression(
        "Zstandard",
        ".zst",
        b"\x28\xb5\x2f\xfd",
        lambda file: _zstandard().ZstdDecompressor().stream_reader(file, read_across_frames=True),
        lambda file: _zstandard().ZstdCompressor().stream_writer(file),
    ),
)

ZIP_MAGIC = b"PK\x03\x04"


def unpack(given: Given) -> tuple[Given, Callable[[Source], Source]] | None:
    """What is inside a packed file, and how to pack a source again; None if it is not packed."""
    head = given.head()
    compression = next((one for one in COMPRESSIONS if head.startswith(one.magic)), None)
    if compression is None:
        return _unpack_zip(given) if head.startswith(ZIP_MAGIC) else None
    with _told_damage(given, compression.name):
        inner = compression.unpack(given)
    pack, suffix = compression.pack, compression.suffix
    return inner, lambda source: PackedSource(source, suffix, pack)


def zip_members(given: Given) -> list[zipfile.ZipInfo]:
    """The files in a zip file, without folders and what systems add to them."""
    with _told_damage(given, "zip"), zipfile.ZipFile(given.opened()) as archive:
        return [info for info in archive.infolist() if not _is_added(info)]


def _is_added(info: zipfile.ZipInfo) -> bool:
    name = info.filename
    if not name:  # of a damaged file
        return True
    hidden = name.rpartition("/")[2] in (".DS_Store", "Thumbs.db") or name.startswith("__MACOSX/")
    return info.is_dir() or hidden


def _unpack_zip(given: Given) -> tuple[Given, Callable[[Source], Source]] | None:
    members = zip_members(given)
    if any(info.filename in ("[Content_Types].xml", "mimetype") for info in members):
        return None  # an Office document
    info = _choose_member(given, members)
    if info.file_size > MAX_UNPACKED:
        raise _too_large(given)
    if any(member.flag_bits & 1 for member in members):
        raise AuditError(f"{given.shown} is protected by a password; unpack it first.")
    with _told_damage(given, "zip"), zipfile.ZipFile(given.opened()) as archive:
        inner = Given(info.filename, data=archive.read(info))
    return inner, lambda source: PackedSource(source, ".zip", ZipPack(given, info.filename))


def _choose_member(given: Given, members: list[zipfile.ZipInfo]) -> zipfile.ZipInfo:
    chosen = [info for info in members if given.part in (None, info.filename)]
    if len(chosen) == 1:
        return chosen[0]
    names = [info.filename for info in members]
    raise AuditError(
        f"{given.shown} is a zip archive of {len(members)} files ({listed(names) or 'nothing'}); "
        f"name the one that holds the table, as in {given.name or 'file.zip'}{PART}"
        f"{next(iter(names), 'table.csv')}."
    )


@dataclass(frozen=True)
class ZipPack:
    """Packs a file in a copy of a zip file, in place of one of its members."""

    given: Given
    name: str

    def __call__(self, plain: Path, packed: Path) -> None:
        """Write the zip file."""
        with (
            told(f"a changed copy of {self.given.shown} cannot be written"),
            zipfile.ZipFile(self.given.opened()) as old,
            zipfile.ZipFile(packed, "w") as archive,
        ):
            for member in old.infolist():
                info = zipfile.ZipInfo(member.filename, member.date_time)
                info.compress_type = member.compress_type
                info.external_attr = member.external_attr
                is_table = member.filename == self.name
                # The size decides whether the large form is needed.
                info.file_size = plain.stat().st_size if is_table else member.file_size
                opened = plain.open("rb") if is_table else old.open(member)
                with opened as source, archive.open(info, "w") as target:
                    shutil.copyfileobj(source, target)


def _told_damage(given: Given, name: str) -> AbstractContextManager[None]:
    return told(f"{given.shown} is a damaged {name} file")


def _too_large(given: Given) -> AuditError:
    return AuditError(
        f"{given.shown} unpacks to more than {MAX_UNPACKED:,} bytes; audit a sample of its rows."
    )
