"""Certificates for servers of tests that speak TLS."""

import subprocess
from pathlib import Path


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for a host, and its key."""
    found, key = folder / "server.crt", folder / "server.key"
    folder.mkdir()
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
            "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", key, "-out", found,
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return found, key
