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
    inside = {"user", "accelerator", "groups", "docker", "uid", "gid"}
    usual = {"user": "1000:1000", "uid": 1000, "gid": 1000}
    confinement = Confinement(**(usual | {name: changes[name] for name in inside & changes.keys()}))
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
    names = variables(argv)
    without_env = [p for i, p in enumerate(argv) if p != "--env" and argv[i - 1] != "--env"]
    assert without_env == [
        *("docker", "run", "--rm", "--init", "--pull", "never", "--name", "gate-1"),
        *("--network", "none", "--user", "1000:1000", "--cap-drop", "ALL"),
        *("--security-opt", "no-new-privileges", "--log-driver", "none", "--pids-limit", "-1"),
        *("--device", "/dev/kfd", "--device", "/dev/dri", "--group-add", "video", "--ipc", "host"),
        *("--mount", "type=bind,source=/tmp/gate-x,target=/gate"),
        *("--mount", f"type=bind,source={model},target=/model,readonly"),
        *("--entrypoint", "vllm", DIGEST, "serve", "/model", "--uds", "/gate/s"),
        *("--served-model-name", "m", "--moe-backend", "triton", "--no-enable-log-requests"),
    ]
    assert {"VLLM_ROCM_USE_AITER", "HIP_VISIBLE_DEVICES", "VLLM_LOGGING_LEVEL", "HOME=/tmp"} <= set(names)
    assert not {"PATH", "GITHUB_TOKEN"} & {name.partition("=")[0] for name in names}


def variables(argv: list[str]) -> list[str]:
    return [argv[i + 1] for i, part in enumerate(argv) if part == "--env"]


def test_values_travel_in_the_clients_environment_and_its_settings_stay_the_users():
    podman = {"CONTAINERS_STORAGE_CONF": "/etc/s.conf", "XDG_DATA_HOME": "/data", "DOCKER_TLS_VERIFY": "1"}
    outer = {"PATH": "/usr/bin", "HOME": "/home/u", "USER": "u", "GITHUB_TOKEN": "x", **podman}
    made = container(env={"VLLM_ROCM_USE_AITER": "1", "HF_TOKEN": "secret"}, outer=outer)
    assert {"VLLM_ROCM_USE_AITER", "HF_TOKEN", "HOME=/tmp", "USER=gate"} <= set(variables(made.argv(AT)))
    environment = made.environment()
    assert environment["VLLM_ROCM_USE_AITER"] == "1"
    # Rootless Podman looks for its images below HOME.
    assert {name: environment[name] for name in ("PATH", "HOME", "USER", *podman)} == {
        name: value for name, value in outer.items() if name != "GITHUB_TOKEN"
    }
    assert "GITHUB_TOKEN" not in environment


def test_a_variable_of_the_config_that_would_act_on_the_client_does_not_reach_it():
    config = {
        "LD_PRELOAD": "/opt/x.so",
        "PATH": "/x",
        "DOCKER_HOST": "tcp://x",
        "GODEBUG": "x",
        "HOME": "/x",
    }
    made = container(env=config, outer={"PATH": "/usr/bin", "HOME": "/home/u"})
    inside = variables(made.argv(AT))
    assert {f"{name}={value}" for name, value in config.items() if name != "HOME"} <= set(inside)
    assert {k: v for k, v in made.environment().items() if k in config} == {
        "PATH": "/usr/bin",
        "HOME": "/home/u",
    }


def test_a_proxy_of_the_clients_own_settings_does_not_reach_the_engine():
    outer = {"PATH": "/usr/bin", "HTTPS_PROXY": "http://u:p@proxy"}
    made = container(outer=outer, env={"NO_PROXY": "*"})
    inside = variables(made.argv(AT))
    # Docker unsets a variable that is named and not there; so it does not add the one of its config.json.
    assert {"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "no_proxy", "NO_PROXY=*"} <= set(inside)
    assert "NO_PROXY" not in inside
    assert "HTTPS_PROXY" not in made.environment()


@pytest.mark.parametrize(
    ("client", "uid", "user", "mapped"),
    [
        ("podman", 1000, "1000:1000", ["keep-id"]),
        ("/usr/bin/podman", 1001, "1000:1000", ["keep-id:uid=1000,gid=1000"]),
        ("podman", 0, "1000:1000", []),
        ("sudo podman", 1000, "1000:1000", []),
        ("docker", 1000, "1000:1000", []),
    ],
)
def test_podman_without_root_keeps_the_user_who_owns_the_socket(client, uid, user, mapped):
    argv = container(docker=client.split(), uid=uid, user=user).argv(AT)
    assert [argv[i + 1] for i, part in enumerate(argv) if part == "--userns"] == mapped


def test_podman_is_asked_for_nvidias_gpus_in_its_own_words():
    argv = container(docker=["sudo", "podman"], accelerator="cuda").argv(AT)
    assert argv[argv.index("--device") + 1] == "nvidia.com/gpu=all"
    assert "--gpus" not in argv


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
    assert "TIKTOKEN_ENCODINGS_BASE=/encodings" in variables(made.argv(AT))
    images = container(outer=outer, env={"TIKTOKEN_ENCODINGS_BASE": "/etc/encodings"})
    assert "TIKTOKEN_ENCODINGS_BASE=/etc/encodings" in variables(images.argv(AT))
    assert not any("/encodings,readonly" in part for part in images.argv(AT))
    gone = container(outer=outer | {"TIKTOKEN_ENCODINGS_BASE": str(tmp_path / "gone")})
    assert not any("TIKTOKEN_ENCODINGS_BASE" in part for part in gone.argv(AT))
    assert not any("/encodings" in part for part in gone.argv(AT))


def test_devices_follow_the_accelerator():
    cuda = container(accelerator="cuda").argv(AT)
    assert cuda[cuda.index("--gpus") + 1] == "all"
    assert "--ipc" not in cuda
    assert cuda[cuda.index("--shm-size") + 1] == "16g"
    # Podman: cannot set shmsize when running in the host IPC namespace.
    assert "--shm-size" not in container(accelerator="rocm").argv(AT)
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
