import pytest


@pytest.fixture
def store_tfds(tmp_path, monkeypatch):
    """Writes a set of tensorflow-datasets, {split: examples}, to where it is looked for."""
    import tensorflow_datasets as tfds

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))

    def store(name, features, splits, supervised_keys=None):
        place = tmp_path / name / "1.0.0"
        place.mkdir(parents=True)
        identity = tfds.core.dataset_info.DatasetIdentity(
            name=name, version=tfds.core.Version("1.0.0"), data_dir=str(place), module_name=name
        )
        if isinstance(features, dict):
            features = tfds.features.FeaturesDict(features)
        info = tfds.core.DatasetInfo(builder=identity, features=features, supervised_keys=supervised_keys)
        writer = tfds.core.SequentialWriter(info, 1000)
        writer.initialize_splits(list(splits))
        writer.add_examples(splits)
        writer.close_all()

    return store
