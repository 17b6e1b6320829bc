"""`docker run` as a list: locked down, named, values of variables kept out of the command line."""

from pathlib import Path

import pytest

from gate.errors import UsageError
from gate.serving.confinement import Confinement
from gate.serving.docker import DockerContainer
from gate.serving.probe import Endpoint

AT = Endpoint(0, Path("/tmp/gate-x/s"))  # noqa: S108
DIGEST = "rocm/vllm@sha256:" + "a" * 64


def container(**changes: object) -> DockerContainer:
    settings: dict[str, object] = {
        "image": DIGEST,
        "name": "gate-1",
        "model": "org/name",
        "served_model": "m",
        "outer": {"PATH": "/usr/bin", "HOME": "/home/u", "GITHUB_TOKEN": "x", "HIP_VISIBLE_DEVICES": "0"},
    }
    inside = {"user", "accelerator", "groups"}
    confinement = Confinement(
        **({"user": "1000:1000"} | {name: changes[name] for name in inside & changes.keys()})
    )
    changes = {name: value for name, value in changes.items() if name not in inside}
    return DockerContainer(**(settings | {"confinement": confinement} | changes))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


def test_the_whole_command(model):
    argv = container(
        model=str(model), env={"VLLM_ROCM_USE_AITER": "1"}, server_args=["--moe-backend", "triton"]
    ).argv(AT)
    names = [argv[i + 1] for i, part in enumerate(argv) if part == "--env"]
    without_env = [p for i, p in enumerate(argv) if p != "--env" and argv[i - 1] != "--env"]
    assert without_env == [
        *("docker", "run", "--rm", "--init", "--pull", "never", "--name", "gate-1"),
        *("--network", "none", "--user", "1000:1000", "--cap-drop", "ALL"),
        *("--security-opt", "no-new-privileges"),
        *("--device", "/dev/kfd", "--device", "/dev/dri", "--group-add", "video"),
        *("--ipc", "host", "--shm-size", "16g"),
        *("--mount", "type=bind,source=/tmp/gate-x,target=/gate"),
        *("--mount", f"type=bind,source={model},target=/model,readonly"),
        *("--entrypoint", "vllm", DIGEST, "serve", "/model", "--uds", "/gate/s"),
        *("--served-model-name", "m", "--moe-backend", "triton", "--no-enable-log-requests"),
    ]
    assert {"VLLM_ROCM_USE_AITER", "HIP_VISIBLE_DEVICES", "VLLM_LOGGING_LEVEL", "HOME"} <= set(names)
    assert not {"PATH", "GITHUB_TOKEN"} & set(names)


def test_values_travel_in_the_clients_environment_and_its_settings_stay_the_users(tmp_path):
    outer = {"PATH": "/usr/bin", "HOME": str(tmp_path), "GITHUB_TOKEN": "x"}
    made = container(env={"VLLM_ROCM_USE_AITER": "1"}, outer=outer)
    # Podman refuses a folder that has no config.json.
    assert "DOCKER_CONFIG" not in made.environment()
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text("{}")
    environment = made.environment()
    assert environment["VLLM_ROCM_USE_AITER"] == "1"
    assert environment["HOME"] == "/tmp"  # noqa: S108
    assert environment["DOCKER_CONFIG"] == str(tmp_path / ".docker")
    assert environment["PATH"] == "/usr/bin"
    assert "GITHUB_TOKEN" not in environment


def test_a_hub_model_comes_from_a_cache_that_is_mounted_read_only(tmp_path):
    made = container(hf_home=tmp_path)
    assert f"type=bind,source={tmp_path},target=/hf,readonly" in made.argv(AT)
    assert made.environment()["HF_HOME"] == "/hf"
    assert made.environment()["HF_HUB_OFFLINE"] == "1"


def test_harmonys_encodings_come_from_this_machine_unless_the_config_names_those_of_the_image(tmp_path):
    outer = {"PATH": "/usr/bin", "TIKTOKEN_ENCODINGS_BASE": str(tmp_path)}
    made = container(outer=outer, hf_home=tmp_path)
    for inside in ("/hf", "/encodings"):
        assert f"type=bind,source={tmp_path},target={inside},readonly" in made.argv(AT)
    assert made.environment()["TIKTOKEN_ENCODINGS_BASE"] == "/encodings"
    images = container(outer=outer, env={"TIKTOKEN_ENCODINGS_BASE": "/etc/encodings"})
    assert images.environment()["TIKTOKEN_ENCODINGS_BASE"] == "/etc/encodings"
    assert not any("/encodings,readonly" in part for part in images.argv(AT))
    gone = container(outer=outer | {"TIKTOKEN_ENCODINGS_BASE": str(tmp_path / "gone")})
    assert "TIKTOKEN_ENCODINGS_BASE" not in gone.environment()
    assert not any("/encodings" in part for part in gone.argv(AT))


def test_devices_follow_the_accelerator():
    cuda = container(accelerator="cuda").argv(AT)
    assert cuda[cuda.index("--gpus") + 1] == "all"
    assert "--ipc" not in cuda
    assert "--device" not in container(accelerator="cpu").argv(AT)
    groups = container(groups=["video", "110"]).argv(AT)
    assert groups[groups.index("110") - 1] == "--group-add"


def test_the_container_is_removed_by_name():
    assert container().cleanup() == [["docker", "rm", "--force", "gate-1"]]
    assert not container().listens_itself


def test_root_is_refused(tmp_path):
    (tmp_path / "docker").write_text("#!/bin/sh\n")
    (tmp_path / "docker").chmod(0o755)
    with pytest.raises(UsageError, match="as root"):
        container(user="0:0", outer={"PATH": str(tmp_path)}).check()
    container(outer={"PATH": str(tmp_path)}).check()


def test_a_missing_docker_is_told():
    with pytest.raises(UsageError, match="docker not found"):
        container(outer={"PATH": "/nowhere"}).check()


def test_a_path_that_docker_would_read_as_options_is_refused(tmp_path):
    (tmp_path / "docker").write_text("#!/bin/sh\n")
    (tmp_path / "docker").chmod(0o755)
    odd = tmp_path / "a,readonly=false"
    odd.mkdir()
    (odd / "config.json").write_text("{}")
    with pytest.raises(UsageError, match="comma"):
        container(model=str(odd), outer={"PATH": str(tmp_path)}).check()
