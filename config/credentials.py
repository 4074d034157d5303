"""Secrets of the embedded system: made once, kept below ``<home>/secrets`` for its owner only."""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

ADMIN = "admin"


@dataclass(frozen=True)
class Credentials:
    """What Airflow's components share, and the password a person logs in with. ``repr`` shows none of it."""

    password: str
    passwords_file: Path
    fernet_key: str
    jwt_secret: str
    secret_key: str

    def __repr__(self) -> str:
        return f"Credentials(passwords_file={str(self.passwords_file)!r})"


def _make_fernet_key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def _write_once(path: Path, content: str) -> None:
    """Create ``path`` whole and private; one that exists already stays as it is."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as out:
        out.write(content)
    try:
        os.link(partial, path)
    except FileExistsError:
        return
    finally:
        partial.unlink()


def load_credentials(home: Path) -> Credentials:
    """Read the secrets below ``home``, making those that are missing."""
    folder = home / "secrets"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    # The name and form that Airflow's simple auth manager reads.
    passwords_file = folder / "airflow_passwords.json"
    _write_once(passwords_file, json.dumps({ADMIN: secrets.token_urlsafe(15)}))
    made = {
        "fernet_key": _make_fernet_key(),
        "jwt_secret": secrets.token_urlsafe(48),
        "secret_key": secrets.token_urlsafe(48),
    }
    keys_file = folder / "airflow_keys.json"
    _write_once(keys_file, json.dumps(made))
    keys = json.loads(keys_file.read_text())
    password = json.loads(passwords_file.read_text())[ADMIN]
    return Credentials(password, passwords_file, keys["fernet_key"], keys["jwt_secret"], keys["secret_key"])
