"""CIFAR-10 from its binary archive, which holds no code, unlike the one for Python (Krizhevsky 2009)."""

import io
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from gantutor.data.download import SHA256, Damaged, check_digest, check_gzip, find_file, naming_damaged, read_contents

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
(ARCHIVE,) = SHA256["cifar10"]
BATCHES = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
RECORD = 1 + 3 * 32 * 32  # bytes: the label, then red, green and blue, row by row
MOST_BYTES = 20_000 * RECORD  # of a file; the true ones have 10,000 records


def read(split: str, folder: Path) -> tuple[Tensor, Tensor]:
    """Images uint8 (N, 3, 32, 32) and labels uint8 (N,) of a split. Raises `BadInput` for a damaged archive."""
    path = find_file(folder, ARCHIVE) or folder / ARCHIVE
    with naming_damaged(path):
        contents = read_contents(path)
        records = torch.cat([parse(batch) for batch in unpack(contents, BATCHES[split])])
        check_digest("cifar10", ARCHIVE, contents)  # last, because what is wrong helps more than two hashes
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0]


def unpack(contents: bytearray, names: list[str]) -> Iterator[bytearray]:
    """The files of these names in a tar archive, in any folder of it. Nothing is written to the disk."""
    check_gzip(bytes(contents[:512]))
    found = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(contents), mode="r:gz") as archive:
            for member in archive:
                name = Path(member.name).name
                if name in names and member.isfile() and (file := archive.extractfile(member)):
                    if member.size > MOST_BYTES:
                        raise Damaged(f"holds a {name} of {member.size:,} bytes, which is too much")
                    found[name] = bytearray(file.read())
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise Damaged(f"is not a whole .tar.gz ({error})") from error
    for name in names:
        if name not in found:
            raise Damaged(f"holds no {name}")
        yield found.pop(name)


def parse(batch: bytearray) -> Tensor:
    """The records uint8 (N, 3073) of a file, which share its memory."""
    if not batch or len(batch) % RECORD:
        raise Damaged(f"holds a file of {len(batch)} bytes, which are no records of {RECORD}")
    records = torch.frombuffer(batch, dtype=torch.uint8).view(-1, RECORD)
    if records[:, 0].max() >= len(CLASSES):
        raise Damaged(f"holds a label of {int(records[:, 0].max())}, where the largest is {len(CLASSES) - 1}")
    return records
