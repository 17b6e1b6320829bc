import pytest

from gate.embedded import stamp

MODEL = ("model.safetensors", "tokenizer.json", "config.json")


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "compact"
    folder.mkdir()
    for name in ("model.safetensors", "config.json", "used_ids.json"):
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def model(tmp_path, source):
    folder = tmp_path / "expanded"
    folder.mkdir()
    for name in MODEL:
        (folder / name).write_text(name)
    stamp.write(folder, source)
    return folder


def test_a_stamped_model_is_current(model, source):
    assert stamp.is_current(model, source)


@pytest.mark.parametrize("name", [*MODEL, stamp.STAMP])
def test_a_model_with_a_missing_file_is_not(model, source, name):
    (model / name).unlink()

    assert not stamp.is_current(model, source)


def test_a_model_whose_weights_were_altered_is_not(model, source):
    (model / "model.safetensors").write_text("altered")

    assert not stamp.is_current(model, source)


def test_a_model_of_another_checkpoint_is_not(model, source):
    (source / "config.json").write_text("another")

    assert not stamp.is_current(model, source)


def test_a_torn_stamp_is_not_taken_for_a_whole_one(model, source):
    (model / stamp.STAMP).write_text('{"source_sha')

    assert not stamp.is_current(model, source)


def test_the_committed_checkpoint_is_whole_and_small():
    files = list(stamp.checkpoint().iterdir())

    assert {path.name for path in files} >= {"model.safetensors", "config.json", "used_ids.json", "README.md"}
    assert sum(path.stat().st_size for path in files) < 3_000_000
