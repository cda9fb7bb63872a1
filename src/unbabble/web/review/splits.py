"""Who a contributor is outside of the site, and in which split: decided by hashes, so alike for all time.

A split depends on the contributor and a seed alone. So no contributor is in two splits, and all stay where they are
when more people come:

>>> split_of("5a3f", seed=0) == split_of("5a3f", seed=0)
True
>>> split_of("5a3f", seed=0, dev=0.0, test=0.0)
'train'
"""

import hashlib
import hmac

from unbabble.base.errors import UsageError

SPLITS = ("train", "dev", "test")
DEV_SHARE = TEST_SHARE = 0.1
PSEUDONYM_DIGITS = 16
"""64 bits: among a million people, one chance in 30 million that two are called alike."""


def pseudonym(secret: bytes, kind: str, identifier: str) -> str:
    """What ``identifier`` is called outside: the same in every export of a site, and no way back without its secret.

    Args:
        secret: the site's.
        kind: what is named, so that a person and a recording with one identifier have two names.
        identifier: inside the site.
    """
    digest = hmac.new(secret, f"{kind}/{identifier}".encode(), hashlib.sha256)
    return digest.hexdigest()[:PSEUDONYM_DIGITS]


def fingerprint(secret: bytes) -> str:
    """What tells two secrets apart, and nothing of them."""
    return pseudonym(secret, "fingerprint", "")


def check_shares(dev: float, test: float) -> None:
    """Refuse what cannot be shares.

    Raises:
        UsageError: they leave nothing to train with, or are none.
    """
    if not (dev >= 0 and test >= 0 and dev + test < 1):
        raise UsageError("The shares of dev and test are 0 or more, and together below 1.")


def split_of(contributor: str, seed: int = 0, dev: float = DEV_SHARE, test: float = TEST_SHARE) -> str:
    """``train``, ``dev`` or ``test``.

    Args:
        contributor: pseudonym.
        seed: another one gives other splits.
        dev: expected share of the contributors in ``dev``; a larger one moves nobody out.
        test: expected share in ``test``; likewise.
    """
    digest = hashlib.sha256(f"{seed}/{contributor}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place >= 1 - test:
        return "test"
    return "dev" if place < dev else "train"
