"""Recordings in a folder or at an fsspec URL: whole under their key, or not there."""

import io
from dataclasses import replace

import pytest
import soundfile

from tests.web.conftest import visit, wav
from unbabble.base.errors import InputError, UsageError
from unbabble.web.app import create_app
from unbabble.web.pages import stored_file
from unbabble.web.storage import Storage


@pytest.fixture(params=["folder", "memory"])
def url(request, tmp_path):
    return str(tmp_path / "kept") if request.param == "folder" else f"memory://{tmp_path.name}"


def test_what_is_put_is_there_until_it_is_deleted(url, tmp_path):
    storage, source = Storage(url), tmp_path / "source"
    source.write_bytes(b"sound")
    storage.put("a/b.flac", source)
    assert storage.size("a/b.flac") == 5
    with storage.open("a/b.flac") as file:
        assert file.read() == b"sound"
    assert storage.fetch("a/b.flac", tmp_path / "target").read_bytes() == b"sound"
    storage.delete("a/b.flac")
    storage.delete("a/b.flac")
    assert storage.size("a/b.flac") is None
    for gone in (lambda: storage.open("a/b.flac"), lambda: storage.fetch("a/b.flac", tmp_path / "target")):
        with pytest.raises(InputError, match="no longer there"):
            gone()


def test_what_cannot_be_put_leaves_nothing(url, tmp_path, monkeypatch):
    storage, source = Storage(url), tmp_path / "source"
    source.write_bytes(b"sound")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("unbabble.web.storage.os.replace", full)
    monkeypatch.setattr(storage.files, "mv", full, raising=False)
    with pytest.raises(OSError, match="No space"):
        storage.put("a/b.flac", source)
    assert storage.files.find(storage.root) == []


@pytest.mark.parametrize(
    "key", ["../b", "a/../../b", "/etc/passwd", "", "a//b", ".hidden", "a\x00b", "a/b\n"]
)
def test_keys_lead_nowhere_else(url, key, tmp_path):
    storage = Storage(url)
    for use in (storage.open, storage.size, storage.delete):
        with pytest.raises(ValueError, match="not a key"):
            use(key)


def test_a_name_to_save_under_stays_a_name(url, tmp_path):
    storage, source = Storage(url), tmp_path / "source"
    source.write_bytes(b"sound")
    storage.put("a.wav", source)
    headers = stored_file(storage, "a.wav", "audio/wav", 'ü";\r\nset-cookie: a=b.wav').headers
    assert list(headers).count("set-cookie") == 0
    assert "%22%3B%0D%0A" in headers["content-disposition"]


def test_unknown_storage_is_one_sentence():
    with pytest.raises(UsageError, match="nowhere"):
        Storage("nowhere://x")


def test_a_site_works_with_storage_elsewhere(light_settings, tmp_path):
    app = create_app(replace(light_settings, storage=f"memory://{tmp_path.name}"))
    browser = visit(app)
    state = browser.upload(wav(0.5))
    job = browser.post("/api/studio/jobs", json={"recordings": [state["id"]]}).json()
    answer = browser.get(f"/studio/jobs/{job['id']}/inputs/0")
    samples, rate = soundfile.read(io.BytesIO(answer.content))
    assert (len(samples), rate) == (4000, 8000)
    app.state.database.close()
