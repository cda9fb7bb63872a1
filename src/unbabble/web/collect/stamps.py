"""Work stamps: short codes that say how much somebody did, which nobody can make up and which count once.

A stamp is 24 letters and digits in groups of four: a random serial number, how many recordings were made, the last day
on which it counts, and a signature over these together with the task (the campaign's address) and the session (what the
provider, or this site, calls this contributor's sitting). Task and session are not in the code: a stamp for another
task or session does not verify. All that is needed to verify one, on any machine, is the key:

>>> key = stamp_key(b"what lies in the site's data folder as 'secret'")
>>> code = issue(key, "english", "session-7", count=5, expires=date(2030, 1, 31), serial=bytes(4))
>>> code
'0000-0005-0X0C-FH99-Z9DC-QQKC'
>>> used = set()
>>> verify(key, code, "english", "session-7", today=date(2030, 1, 31), used=used)
Stamp(serial='00000000', count=5, expires=datetime.date(2030, 1, 31))
>>> verify(key, code, "english", "session-8", today=date(2030, 1, 31))
Traceback (most recent call last):
unbabble.web.collect.stamps.StampError: This stamp is not genuine, or is for another task or session.
>>> used.add("00000000")
>>> verify(key, code, "english", "session-7", today=date(2030, 1, 31), used=used)
Traceback (most recent call last):
unbabble.web.collect.stamps.StampError: This stamp has been used.

The signature is HMAC-SHA256 (RFC 2104), of which the first 64 bits are kept (RFC 2104, section 5, asks for half of the
hash, 128; here, each guess must ask a person or a page of administrators each time, and 2^64 tries are out of
reach). Letters are Crockford's base 32, without I, L, O and U; reading O for 0, or I or L for 1, does no harm.
"""

import hmac
import secrets
import struct
from collections.abc import Container
from dataclasses import dataclass
from datetime import date, timedelta

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
MISREAD = str.maketrans("OIL", "011")
SERIAL_BYTES, SIGNATURE_BYTES, CODE_BYTES = 4, 8, 15
LETTERS, GROUP = 24, 4
MOST_COUNT = 255
EPOCH = date(2025, 1, 1)
MOST_DAYS = 65535


class StampError(ValueError):
    """Why a stamp does not count, in one sentence."""


@dataclass(frozen=True)
class Stamp:
    """What a genuine stamp says.

    Attributes:
        serial: in hexadecimal; to be remembered once it was used.
        count: recordings.
        expires: the last day on which it counts.
    """

    serial: str
    count: int
    expires: date


def stamp_key(secret: bytes) -> bytes:
    """The key that signs stamps, from the site's secret; who has it can make stamps."""
    return hmac.digest(secret, b"unbabble work stamp 1", "sha256")


def issue(key: bytes, task: str, session: str, count: int, expires: date, serial: bytes | None = None) -> str:
    """A stamp.

    Args:
        key: see ``stamp_key``.
        task: for which it counts.
        session: in which the work was done.
        count: recordings, 0 to 255.
        expires: the last day on which it counts.
        serial: four bytes that no other stamp has; drawn by default.

    Raises:
        ValueError: a count or day that does not fit.
    """
    days = (expires - EPOCH).days
    if not (0 <= count <= MOST_COUNT and 0 <= days <= MOST_DAYS):
        raise ValueError("a stamp counts up to 255 recordings, until a day after 2024")
    body = (secrets.token_bytes(SERIAL_BYTES) if serial is None else serial) + struct.pack(">BH", count, days)
    number = int.from_bytes(body + _signature(key, body, task, session))
    letters = "".join(ALPHABET[number >> 5 * place & 31] for place in reversed(range(LETTERS)))
    return "-".join(letters[start : start + GROUP] for start in range(0, LETTERS, GROUP))


def read(code: str) -> Stamp:
    """What a code claims; nothing says yet that it is genuine.

    Raises:
        StampError: it is no such code.
    """
    return _unpack(_decoded(code)[: CODE_BYTES - SIGNATURE_BYTES])


def verify(
    key: bytes, code: str, task: str, session: str, today: date, used: Container[str] = frozenset()
) -> Stamp:
    """What a stamp says, if it counts.

    Args:
        key: see ``stamp_key``.
        code: as it was typed: case, hyphens and spaces do not matter.
        task: for which it is shown.
        session: by whom.
        today: UTC.
        used: serial numbers that counted before; add ``Stamp.serial`` after counting it.

    Raises:
        StampError: it is not genuine, for something else, too old, or used.
    """
    whole = _decoded(code)
    body, signature = whole[:-SIGNATURE_BYTES], whole[-SIGNATURE_BYTES:]
    if not hmac.compare_digest(signature, _signature(key, body, task, session)):
        raise StampError("This stamp is not genuine, or is for another task or session.")
    stamp = _unpack(body)
    if today > stamp.expires:
        raise StampError(f"This stamp counted until {stamp.expires}.")
    if stamp.serial in used:
        raise StampError("This stamp has been used.")
    return stamp


def _decoded(code: str) -> bytes:
    letters = "".join(code.split()).replace("-", "").upper().translate(MISREAD)
    if len(letters) != LETTERS or not set(letters) <= set(ALPHABET):
        raise StampError(f"A stamp has {LETTERS} letters and digits: this is none.")
    number = 0
    for letter in letters:
        number = number << 5 | ALPHABET.index(letter)
    return number.to_bytes(CODE_BYTES)


def _unpack(body: bytes) -> Stamp:
    count, days = struct.unpack(">BH", body[SERIAL_BYTES:])
    return Stamp(body[:SERIAL_BYTES].hex(), count, EPOCH + timedelta(days=days))


def _signature(key: bytes, body: bytes, task: str, session: str) -> bytes:
    parts = (body, task.encode(), session.encode())
    message = b"".join(struct.pack(">I", len(part)) + part for part in parts)
    return hmac.digest(key, message, "sha256")[:SIGNATURE_BYTES]
