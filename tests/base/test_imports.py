"""Nothing is searched for garbage while torch is imported, and all is as before afterwards."""

import gc
import sys

from unbabble.base.imports import without_collection


def test_collection_goes_on_afterwards_even_after_an_error(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    frozen = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(gc.isenabled()))
    try:
        with without_collection():
            assert not gc.isenabled()
            raise ImportError
    except ImportError:
        assert gc.isenabled()
    assert frozen == [False]


def test_where_torch_is_already_nothing_is_done(monkeypatch):
    import torch  # noqa: F401

    monkeypatch.setattr(gc, "freeze", lambda: 1 / 0)
    with without_collection():
        assert gc.isenabled()
