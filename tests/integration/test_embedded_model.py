"""How the tiny checkpoint is made, in the engine's own environment, where torch and harmony are."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from gate.embedded import stamp
from tests.conftest import EmbeddedEngine


class Made(NamedTuple):
    """What a few steps of the whole chain leave."""

    corpus: Path
    trained: Path
    packed: Path


def in_engine(engine: EmbeddedEngine, root: Path, *arguments: str) -> str:
    """Run the engine's Python on the project's code; its output."""
    done = subprocess.run(
        [str(engine.command.with_name("python")), *arguments],
        cwd=root,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def made(embedded_engine: EmbeddedEngine, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Corpus, training and packing, each by its own command, at the smallest size."""
    folder = tmp_path_factory.mktemp("made")
    made = Made(folder / "corpus.npz", folder / "trained", folder / "packed")
    in_engine(embedded_engine, root, "-m", "gate.embedded.harmony", str(made.corpus), "--lessons", "300")
    size = ("--hidden", "64", "--heads", "2", "--batch", "4", "--steps", "2", "--examine", "1")
    in_engine(embedded_engine, root, "-m", "gate.embedded.train", str(made.corpus), str(made.trained), *size)
    chain = (str(path) for path in (made.trained, made.corpus, made.packed))
    in_engine(embedded_engine, root, "-m", "gate.embedded.quantize", *chain)
    return made


def header(path: Path) -> dict[str, dict[str, object]]:
    """The tensors of a safetensors file: names, types and shapes."""
    with path.open("rb") as file:
        tensors = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    tensors.pop("__metadata__", None)
    return tensors


def test_the_expanded_model_is_the_same_byte_for_byte(
    embedded_engine: EmbeddedEngine, root: Path, tmp_path: Path
):
    target = tmp_path / "model"

    first = in_engine(embedded_engine, root, "-m", "gate.embedded.expand", str(target))
    again = in_engine(embedded_engine, root, "-m", "gate.embedded.expand", str(target))

    assert "expanded" in first
    assert "up to date" in again
    weights = "model.safetensors"
    assert (target / weights).read_bytes() == (embedded_engine.model / weights).read_bytes()
    assert not list(tmp_path.glob(".expanding-*"))


def test_an_altered_model_is_made_again(embedded_engine: EmbeddedEngine, root: Path, tmp_path: Path):
    target = tmp_path / "model"
    target.mkdir()
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        (target / name).write_text("not what it was")
    stamp.write(target, stamp.checkpoint())
    (target / "model.safetensors").write_text("altered since")

    in_engine(embedded_engine, root, "-m", "gate.embedded.expand", str(target))

    assert stamp.is_current(target, stamp.checkpoint())


def test_lessons_hold_the_very_prompt_that_vllm_renders(embedded_engine: EmbeddedEngine, root: Path):
    in_engine(
        embedded_engine,
        root,
        "-c",
        "import os; os.environ['VLLM_SYSTEM_START_DATE'] = '2026-01-01'\n"
        "from vllm.entrypoints.openai.parser import harmony_utils as vllm\n"
        "from gate.embedded.harmony import Harmony\n"
        "from gate.embedded.lessons import examination\n"
        "harmony = Harmony()\n"
        "for lesson in list(examination(1))[:20]:\n"
        "    messages = vllm.build_harmony_preamble(reasoning_effort='low')\n"
        "    messages.append(vllm.get_user_message(lesson.prompt))\n"
        "    theirs = list(vllm.render_for_completion(messages))\n"
        "    assert harmony.encode(lesson).prompt == harmony.prompt(lesson.prompt) == theirs\n",
    )


def test_training_runs_on_a_cpu_and_says_what_it_did(made: Made):
    facts = json.loads((made.trained / "training.json").read_text())

    assert facts["plan"]["device"] == "cpu"
    assert facts["steps_done"] == 3
    assert 0 < facts["loss"] < 20
    assert facts["behaviour"]["invalid"] > 0.5, "three steps teach nothing"


def test_packing_gives_quarks_names_and_types(made: Made):
    tensors = header(made.packed / "model.safetensors")

    expert = "model.layers.0.mlp.experts.7.down_proj"
    types = {
        name.removeprefix(expert): entry["dtype"]
        for name, entry in tensors.items()
        if name.startswith(expert)
    }
    assert types == {".weight": "U8", ".weight_scale": "U8", ".input_scale": "F32", ".bias": "BF16"}
    assert tensors[f"{expert}.weight"]["shape"] == [64, 16]
    assert tensors[f"{expert}.weight_scale"]["shape"] == [64, 1]
    assert tensors["model.layers.0.self_attn.k_proj.output_scale"]["dtype"] == "F32"
    config = json.loads((made.packed / "config.json").read_text())
    assert config["quantization_config"]["quant_method"] == "quark"


def test_packed_weights_are_the_trained_ones_to_within_half_a_step(
    embedded_engine: EmbeddedEngine, root: Path, made: Made
):
    in_engine(
        embedded_engine,
        root,
        "-c",
        "import numpy, sys\n"
        "from safetensors.torch import load_file\n"
        "from gate.embedded.mxfp4 import BLOCK, Packed, dequantize\n"
        "trained, packed = (load_file(folder + '/model.safetensors') for folder in sys.argv[1:])\n"
        "name = 'model.layers.1.mlp.experts'\n"
        "for expert in range(8):\n"
        "    for part in ('gate_up_proj', 'down_proj'):\n"
        "        at = f'{name}.{expert}.{part}'\n"
        "        scales = packed[at + '.weight_scale'].numpy()\n"
        "        got = dequantize(Packed(packed[at + '.weight'].numpy(), scales))\n"
        "        want = trained[f'{name}.{part}'][expert].float().T.numpy()\n"
        "        step = numpy.exp2(scales.astype('float32') - 127).repeat(BLOCK, -1)\n"
        "        assert (abs(got - want) <= 2 * step).all()\n"
        "        assert numpy.corrcoef(got.ravel(), want.ravel())[0, 1] > .98\n",
        str(made.trained),
        str(made.packed),
    )


def test_a_trained_checkpoint_expands_like_the_committed_one(
    embedded_engine: EmbeddedEngine, root: Path, made: Made, tmp_path: Path
):
    in_engine(
        embedded_engine,
        root,
        "-c",
        "import json, sys, torch\n"
        "from pathlib import Path\n"
        "from safetensors.torch import load_file\n"
        "from gate.embedded.expand import VOCABULARY, write_model\n"
        "source, out = (Path(argument) for argument in sys.argv[1:])\n"
        "write_model(source, out)\n"
        "used = json.loads((source / 'used_ids.json').read_text())\n"
        "weights = [load_file(folder / 'model.safetensors') for folder in (source, out)]\n"
        "compact, full = (tensors['lm_head.weight'] for tensors in weights)\n"
        "assert len(full) == VOCABULARY\n"
        "assert torch.equal(full[used], compact[:-1])\n"
        "others = torch.ones(VOCABULARY, dtype=torch.bool)\n"
        "others[used] = False\n"
        "assert (full[others] == compact[-1]).all()\n",
        str(made.packed),
        str(tmp_path),
    )
