"""What the site hands out as a tar archive, unpacked."""

import tarfile
from pathlib import Path


def unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """Into a folder, and nowhere else; Python 3.11 knows filters from 3.11.4 on alone."""
    if hasattr(tarfile, "data_filter"):
        archive.extractall(folder, filter="data")
    else:
        archive.extractall(folder)
