"""What an encrypted file must be; that rclone makes just that is proven where rclone runs."""

import pytest

from outreach_assets.steps.backups.crypt import (
    BLOCK_BYTES,
    HEADER_BYTES,
    MAGIC,
    NO_SIZE,
    cipher_of,
    clear_size,
    is_header,
)

HEADER = MAGIC + b"\xff" * 24  # the nonce of the second block begins again at 0


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, 2 * BLOCK_BYTES + 1])
def test_a_size_is_told_from_that_of_the_encryption(size: int) -> None:
    content = bytes(size)
    blocks = [content[at : at + BLOCK_BYTES] for at in range(0, size, BLOCK_BYTES)]
    cipher = cipher_of("correct horse battery", None)
    assert clear_size(sum(map(len, cipher.encrypted(blocks, HEADER)))) == size


@pytest.mark.parametrize("size", [0, HEADER_BYTES - 1, HEADER_BYTES + 1, HEADER_BYTES + 16])
def test_what_is_no_encryption_has_no_size(size: int) -> None:
    assert clear_size(size) == NO_SIZE


def test_a_key_is_known_by_its_mark_alone() -> None:
    ciphers = [cipher_of("correct horse battery", salt) for salt in (None, "", "staple staple")]
    assert ciphers[0].mark == ciphers[1].mark != ciphers[2].mark
    assert ciphers[0].key.hex() not in repr(ciphers[0])
    assert repr(ciphers[0].key) not in repr(ciphers[0])


def test_only_rclones_own_header_is_one() -> None:
    assert is_header(HEADER)
    assert not is_header(HEADER[:-1])
    assert not is_header(b"x" * HEADER_BYTES)
