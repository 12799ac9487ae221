"""The vault: what it encrypts, only it decrypts, and only for the same credential."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.kernel.errors import CredentialError
from hookline.secrets.encryption import Vault, for_credential, generate_key, keep_key, load_or_create_key, read_keys

OLD, NEW = bytes(range(32)), bytes(range(32, 64))


@given(plaintext=st.binary(max_size=500), name=st.text(max_size=20), type=st.text(max_size=20))
def test_what_is_encrypted_is_decrypted(plaintext: bytes, name: str, type: str) -> None:
    vault = Vault([OLD])
    assert (
        vault.decrypt(vault.encrypt(plaintext, purpose=for_credential(name, type)), purpose=for_credential(name, type))
        == plaintext
    )


@given(position=st.integers(min_value=0, max_value=200), flip=st.integers(min_value=1, max_value=255))
def test_any_altered_byte_is_rejected(position: int, flip: int) -> None:
    vault = Vault([OLD])
    altered = bytearray(vault.encrypt(b"secret", purpose=for_credential("a", "t")))
    altered[position % len(altered)] ^= flip
    with pytest.raises(CredentialError):
        vault.decrypt(bytes(altered), purpose=for_credential("a", "t"))


@given(size=st.integers(min_value=0, max_value=42))
def test_a_cut_off_ciphertext_is_rejected(size: int) -> None:
    vault = Vault([OLD])
    with pytest.raises(CredentialError):
        vault.decrypt(
            vault.encrypt(b"secret", purpose=for_credential("a", "t"))[:size], purpose=for_credential("a", "t")
        )


@pytest.mark.parametrize(("name", "type"), [("b", "t"), ("a", "u"), ("at", ""), ("", "at")])
def test_a_ciphertext_is_bound_to_its_name_and_type(name: str, type: str) -> None:
    vault = Vault([OLD])
    with pytest.raises(CredentialError, match="another name or type"):
        vault.decrypt(vault.encrypt(b"secret", purpose=for_credential("a", "t")), purpose=for_credential(name, type))


@pytest.mark.rule(34)
def test_the_first_key_encrypts_and_each_ciphertext_names_its_own() -> None:
    old, both, new = Vault([OLD]), Vault([NEW, OLD]), Vault([NEW])
    encrypted = old.encrypt(b"secret", purpose=for_credential("a", "t"))
    assert both.decrypt(encrypted, purpose=for_credential("a", "t")) == b"secret"
    assert not both.is_current(encrypted)
    renewed = both.encrypt(b"secret", purpose=for_credential("a", "t"))
    assert both.is_current(renewed)
    assert new.decrypt(renewed, purpose=for_credential("a", "t")) == b"secret"
    with pytest.raises(CredentialError, match="HOOKLINE_SECRET_KEY"):
        new.decrypt(encrypted, purpose=for_credential("a", "t"))


def test_equal_values_are_encrypted_differently() -> None:
    vault = Vault([OLD])
    assert vault.encrypt(b"x", purpose=for_credential("a", "t")) != vault.encrypt(
        b"x", purpose=for_credential("a", "t")
    )


def test_keys_are_in_no_repr() -> None:
    assert OLD.hex() not in repr(Vault([OLD]))
    assert repr(OLD) not in repr(vars(Vault([OLD])))


def test_keys_read_as_they_are_written() -> None:
    first, second = generate_key(), generate_key()
    assert first != second
    assert read_keys(f" {first} , {second}=") == read_keys(first) + read_keys(second)
    assert all(len(key) == 32 for key in read_keys(first))


def test_both_alphabets_of_base64_are_taken() -> None:
    assert read_keys("-_" * 21 + "8") == read_keys("+/" * 21 + "8=")


@pytest.mark.parametrize("text", ["", "short", "x" * 42, "x" * 44, "é" * 43, "!" * 43, "A" * 43 + ","])
def test_a_bad_key_is_rejected_with_a_remedy_and_not_repeated(text: str) -> None:
    with pytest.raises(CredentialError, match="token_urlsafe") as caught:
        read_keys(text)
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize("keys", [[], [b"short"], [OLD, b""]])
def test_a_vault_needs_whole_keys(keys: list[bytes]) -> None:
    with pytest.raises(CredentialError):
        Vault(keys)


def test_the_key_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "secret.key"
    keys = load_or_create_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_create_key(path) == keys
    assert os.listdir(path.parent) == ["secret.key"]  # noqa: PTH208 - no draft is left


def test_starts_at_the_same_time_agree_on_one_key(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(lambda _: load_or_create_key(path), range(64)))
    assert len(keys) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o777])
def test_a_key_file_that_others_can_read_is_rejected(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "secret.key"
    load_or_create_key(path)
    path.chmod(mode)
    with pytest.raises(CredentialError, match="chmod 600"):
        load_or_create_key(path)


def test_a_key_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "secret.key"
    folder.mkdir(mode=0o700)
    with pytest.raises(CredentialError, match=r"secret\.key"):
        load_or_create_key(folder)


def test_a_key_file_without_a_key_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    path.touch(mode=0o600)
    with pytest.raises(CredentialError, match=r"secret\.key: key 1"):
        load_or_create_key(path)


def test_a_new_key_is_kept_unless_another_process_has_kept_its_own(tmp_path: Path) -> None:
    path, key = tmp_path / "secret.key", generate_key()
    keep_key(path, key)
    assert load_or_create_key(path) == read_keys(key)
    keep_key(path, key)
    with pytest.raises(CredentialError, match="another process has just made this key"):
        keep_key(path, generate_key())
    assert load_or_create_key(path) == read_keys(key)
