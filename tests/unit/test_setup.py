"""`gate init`: what it writes, and that it overwrites nothing."""

from pathlib import Path

import pytest

from gate import cells
from gate.cli import main
from gate.errors import UsageError
from gate.setup import WORKFLOWS, Setup, known_configs, set_up

PIN = "acme/vllm-eval-gate@" + "1" * 40


def setup(folder: Path, **changes: object) -> Setup:
    given = {
        "folder": folder,
        "pin": PIN,
        "config": "gpt-oss-20b-rocm-mxfp4-fp8",
        "arch": "gfx942",
        "runs_on": ("self-hosted", "mi300"),
        "gpus": 8,
        "owners": ("@acme/kernels",),
        "engine_command": "/srv/engine/bin/vllm",
        "hf_home": "/srv/hf",
    }
    return Setup(**{**given, **changes})


def test_an_empty_folder_gets_everything_that_a_gate_needs(tmp_path: Path):
    written = {str(path.relative_to(tmp_path)) for path in set_up(setup(tmp_path))}
    assert written == {
        "configs/gpt-oss-20b-rocm-mxfp4-fp8.yaml",
        "configs/models-gfx942.txt",
        "configs/runners.yaml",
        "baselines/.gitattributes",
        *(f".github/workflows/{name}" for name in WORKFLOWS),
        ".github/CODEOWNERS",
        "README.md",
    }


def test_the_list_gives_cells_of_that_architecture(tmp_path: Path):
    set_up(setup(tmp_path))
    specs = cells.cells_of([tmp_path / "configs/models-gfx942.txt"], arch=None)
    assert {spec.cell.arch for spec in specs} == {"gfx942"}


def test_workflows_use_what_was_said_and_no_placeholder(tmp_path: Path):
    set_up(setup(tmp_path))
    texts = {name: (tmp_path / ".github/workflows" / name).read_text() for name in WORKFLOWS}
    for text in texts.values():
        assert f"uses: {PIN}\n" in text
        for placeholder in (
            *("your-org", "Copy to", "0" * 40, "vX.Y.Z"),
            *("gfx950", "/opt/engine", "/data/huggingface"),
        ):
            assert placeholder not in text
    assert "engine-command: /srv/engine/bin/vllm" in texts["gate.yml"]
    assert "configs: configs/models-gfx942.txt" in texts["gate.yml"]


def test_a_readme_and_code_owners_that_exist_only_grow(tmp_path: Path):
    (tmp_path / ".github").mkdir()
    (tmp_path / "README.md").write_text("# Ours\n")
    (tmp_path / ".github/CODEOWNERS").write_text("* @acme/all\n")
    set_up(setup(tmp_path))
    assert (tmp_path / "README.md").read_text().startswith("# Ours\n\n## Regression gate\n")
    owners = (tmp_path / ".github/CODEOWNERS").read_text()
    assert owners.startswith("* @acme/all\n")
    assert owners.endswith("/.github/workflows/ @acme/kernels\n")


def test_the_readme_says_how_to_get_the_gate_and_what_to_do_with_the_baseline(tmp_path: Path):
    set_up(setup(tmp_path))
    text = (tmp_path / "README.md").read_text()
    assert f"`pip install git+https://github.com/{PIN}`" in text
    assert "Commit what it writes below `baselines/`" in text


def test_nothing_is_written_where_one_file_exists(tmp_path: Path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/runners.yaml").write_text("lists: {}\n")
    with pytest.raises(UsageError, match=r"configs/runners\.yaml exists already"):
        set_up(setup(tmp_path))
    assert {p.name for p in tmp_path.rglob("*")} == {"configs", "runners.yaml"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pin": "acme/vllm-eval-gate@main"}, "not OWNER/NAME@COMMIT"),
        ({"config": "no-such"}, "no config 'no-such'"),
        ({"arch": "gfx942; x"}, "no architecture"),
        ({"runs_on": ("a]\nx: y",)}, "no label"),
        ({"owners": ("acme",)}, "no owner"),
        ({"engine_command": "vllm\n  run: x"}, "cannot stand in a workflow"),
        ({"hf_home": "${{ x }}"}, "cannot stand in a workflow"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(
    changes: dict[str, object], said: str, tmp_path: Path
):
    with pytest.raises(UsageError, match=said):
        set_up(setup(tmp_path, **changes))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(UsageError, match="is no folder"):
        set_up(setup(tmp_path / "nowhere"))


def test_every_config_of_this_project_can_be_begun_with():
    assert "gpt-oss-20b-rocm-mxfp4-fp8" in known_configs()
    assert "runners" not in known_configs()


def test_without_a_terminal_the_gate_must_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        main(["init", str(tmp_path)])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert "--gate" in said
    assert "git ls-remote" in said
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_it_wrote_and_what_comes_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as end:
        main(["init", str(tmp_path), "--gate", PIN])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert str(tmp_path / ".github/workflows/gate.yml") in said
    assert "Next, 1: collect a baseline" in said
    assert "Next, 2: let gate.yml and gate-baseline.yml build the engine of a pull request" in said
    assert "they measure what /opt/engine/bin/vllm is on the runner" in said


def test_what_is_left_to_do_begins_with_a_model_that_is_on_no_hub(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    said = []
    for config in ("tiny-gpt-oss-w4a8", "gpt-oss-20b-rocm-mxfp4-fp8"):
        (tmp_path / config).mkdir()
        with pytest.raises(SystemExit) as end:
            main(["init", str(tmp_path / config), "--gate", PIN, "--config", config])
        assert end.value.code == 0
        said.append(capsys.readouterr().out)
    tiny, real = said
    assert (
        "Next, 1: local/tiny-gpt-oss-w4a8, which configs/tiny-gpt-oss-w4a8.yaml names, is on no hub" in tiny
    )
    assert "Next, 1: collect a baseline on a runner" in real
