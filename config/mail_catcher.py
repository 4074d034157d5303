"""A mail server for one machine: takes every mail, keeps it as a file and shows it on a page. Nothing is sent on."""

from __future__ import annotations

import argparse
import asyncio
import email
import email.policy
import os
import re
from email.message import EmailMessage
from pathlib import Path

import uvicorn
from aiosmtpd.smtp import SMTP, Envelope, Session

from config.mail_pages import build_page
from include.records import write_file_atomically

_NUMBERED = re.compile(r"(\d{6})\.eml")


class MailStore:
    """Mails as ``<folder>/<number>.eml``, numbered from 1 in the order they came."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def list_numbers(self) -> list[int]:
        """Numbers of all mails, oldest first."""
        found = (_NUMBERED.fullmatch(path.name) for path in self.folder.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def keep(self, content: bytes) -> Path:
        """Write one mail whole and return its file."""
        numbers = self.list_numbers()
        path = self.folder / f"{(numbers[-1] if numbers else 0) + 1:06d}.eml"
        write_file_atomically(path, content)
        return path

    def read(self, number: int) -> EmailMessage | None:
        """One mail, or None when there is no such number."""
        path = self.folder / f"{number:06d}.eml"
        if not path.is_file():
            return None
        message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        assert isinstance(message, EmailMessage)  # noqa: S101 - what the default policy makes; tells the type checker
        return message


class _Keeper:
    """aiosmtpd's handler: an answer of 250 means that the mail is on disk."""

    def __init__(self, store: MailStore) -> None:
        self.store = store

    async def handle_DATA(  # noqa: N802 - the name aiosmtpd calls
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        content = envelope.original_content or b""
        head = "".join(f"X-Envelope-To: {recipient}\r\n" for recipient in envelope.rcpt_tos).encode()
        path = self.store.keep(head + content)
        print(f"mail {path.name} for {', '.join(envelope.rcpt_tos)}", flush=True)
        return "250 kept"


async def serve(folder: Path, host: str, smtp_port: int, page_port: int) -> None:
    """Serve mail and page until stopped."""
    store = MailStore(folder)
    loop = asyncio.get_running_loop()
    smtp = await loop.create_server(lambda: SMTP(_Keeper(store), loop=loop), host, smtp_port)
    page = uvicorn.Server(
        uvicorn.Config(build_page(store), host=host, port=page_port, log_level="warning", access_log=False)
    )
    print(f"mail catcher {os.getpid()}: SMTP on {host}:{smtp_port}, page on {host}:{page_port}", flush=True)
    async with smtp:
        await page.serve()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--smtp-port", type=int, required=True)
    parser.add_argument("--page-port", type=int, required=True)
    options = parser.parse_args()
    asyncio.run(serve(options.folder, options.host, options.smtp_port, options.page_port))


if __name__ == "__main__":
    main()
