import gc
import os

import pytest
import tensorflow as tf

from keras_apps.quiet import import_tensorflow


@pytest.fixture(autouse=True)
def unfrozen():
    yield
    gc.unfreeze()


def test_what_is_imported_is_not_looked_through_again(capfd):
    import_tensorflow()
    assert gc.isenabled() and gc.get_freeze_count() > 100_000
    os.write(2, b"said")
    assert capfd.readouterr().err == "said"


def test_an_import_that_fails_leaves_all_as_it_was(capfd, monkeypatch):
    def fail():
        os.write(2, b"news")
        raise RuntimeError("no such library")

    monkeypatch.setattr(tf.config, "list_physical_devices", fail)
    with pytest.raises(RuntimeError, match="no such library"):
        import_tensorflow()
    assert gc.isenabled()
    os.write(2, b"said")
    assert capfd.readouterr().err == "said"
