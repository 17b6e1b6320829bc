"""Train the tiny gpt-oss model on a corpus: `python -m gate.embedded.train CORPUS.npz OUT [--device cuda]`.

Runs where torch and transformers are: on a GPU in minutes, on a CPU with a smaller model (`--hidden 64
--heads 2 --batch 64`). The same seed and number of steps give the same model on the same machine and library
versions; other machines round differently.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.nn import functional
from transformers import GptOssConfig, GptOssForCausalLM

from gate.embedded.corpus import ABSENT, Corpus
from gate.embedded.examine import examine, others_offset

IGNORED = -100
WARM_UP = 100
LAST_RATE = 0.03


@dataclass(frozen=True)
class Plan:
    """How to train; `minutes` ends a run early, the learning rate then falls faster, to the same end."""

    hidden: int = 128
    layers: int = 3
    experts: int = 8
    heads: int = 4
    batch: int = 512
    steps: int = 2000
    minutes: float = 60.0
    rate: float = 3e-3
    seed: int = 0
    device: str = "cpu"


def architecture(plan: Plan, vocabulary: int) -> GptOssConfig:
    """Return gpt-oss' architecture at a toy size over a compact vocabulary of `vocabulary` rows."""
    rope = {
        "rope_type": "yarn",
        "factor": 8.0,
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "truncate": False,
        "original_max_position_embeddings": 512,
        "rope_theta": 150000.0,
    }
    return GptOssConfig(
        num_hidden_layers=plan.layers,
        num_local_experts=plan.experts,
        num_experts_per_tok=2,
        vocab_size=vocabulary,
        hidden_size=plan.hidden,
        intermediate_size=plan.hidden // 2,
        head_dim=32,
        num_attention_heads=plan.heads,
        num_key_value_heads=2,
        sliding_window=128,
        max_position_embeddings=4096,
        initial_context_length=512,
        initializer_range=0.08,
        tie_word_embeddings=False,
        rope_parameters=rope,
        bos_token_id=vocabulary - 1,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
    )


class Batches:
    """The corpus on the training device: ids padded with the last row, labels on completions only."""

    def __init__(self, corpus: Corpus, device: str) -> None:
        self.padding = len(corpus.used)
        self._head = torch.from_numpy(corpus.head).to(device)
        self._rows = torch.from_numpy(corpus.lessons).to(device)
        self._lengths = torch.from_numpy(corpus.prompt_length).to(device)
        self._width = len(corpus.head)

    def take(self, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ids and labels (B, T) int64 of the lessons at `index`, cut at the longest."""
        rows = self._rows[index].long()
        width = int((rows != ABSENT).sum(1).max())
        rows = rows[:, :width]
        answer = torch.arange(width, device=rows.device)[None] >= self._lengths[index].long()[:, None]
        labels = torch.where(answer & (rows != ABSENT), rows, IGNORED)
        rows = torch.where(rows == ABSENT, self.padding, rows)
        head = self._head.long()[None].expand(len(rows), -1)
        return torch.cat([head, rows], 1), torch.cat([torch.full_like(head, IGNORED), labels], 1)

    def __len__(self) -> int:
        return len(self._rows)


def use_fastest_experts(model: GptOssForCausalLM, ids: torch.Tensor) -> str:
    """Choose the first experts implementation that runs forward and backward here; returns its name."""
    for name in ("grouped_mm", "batched_mm", "eager"):
        try:
            model.set_experts_implementation(name)
            model(input_ids=ids).logits.sum().backward()
        except (RuntimeError, ValueError, NotImplementedError) as error:
            print(f"experts implementation {name} does not run here: {error!r:.120}")
        else:
            model.zero_grad()
            return name
    raise RuntimeError("no experts implementation of transformers runs on this device")


def train(corpus: Corpus, plan: Plan) -> tuple[GptOssForCausalLM, dict[str, Any]]:
    """Return the trained model, in float32, and what there is to tell about the run."""
    torch.manual_seed(plan.seed)
    torch.set_float32_matmul_precision("high")
    batches = Batches(corpus, plan.device)
    config = architecture(plan, batches.padding + 1)
    config._attn_implementation = "eager"
    model = GptOssForCausalLM(config).float().to(plan.device)
    experts = use_fastest_experts(model, batches.take(torch.arange(4, device=plan.device))[0])
    optimizer = torch.optim.AdamW(model.parameters(), lr=plan.rate, betas=(0.9, 0.95), weight_decay=0.01)
    generator = torch.Generator(device=plan.device).manual_seed(plan.seed + 1)
    offset = others_offset(batches.padding + 1, plan.device)
    started = time.monotonic()
    step, progress = 0, 0.0
    while progress < 1:
        seconds = time.monotonic() - started
        progress = min(1, max(step / plan.steps, seconds / 60 / plan.minutes))
        for group in optimizer.param_groups:
            group["lr"] = plan.rate * min(1, (step + 1) / WARM_UP) * (1 - (1 - LAST_RATE) * progress)
        index = torch.randint(0, len(batches), (plan.batch,), device=plan.device, generator=generator)
        loss = loss_of(model, *batches.take(index), offset)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0:
            print(f"step {step} loss {loss.item():.4f} after {seconds:.0f} s", flush=True)
        step += 1
    facts = {
        "plan": asdict(plan),
        "steps_done": step,
        "seconds": round(time.monotonic() - started),
        "loss": round(loss.item(), 4),
        "experts_implementation": experts,
        "parameters": sum(p.numel() for p in model.parameters()),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "device": torch.cuda.get_device_name() if plan.device == "cuda" else platform.machine(),
    }
    return model, facts


def loss_of(
    model: GptOssForCausalLM, ids: torch.Tensor, labels: torch.Tensor, offset: torch.Tensor
) -> torch.Tensor:
    """Return the mean cross-entropy of the labelled ids; half precision on a GPU."""
    device = ids.device.type
    with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
        logits = model(input_ids=ids).logits[:, :-1]
    scores = (logits.float() + offset).flatten(0, 1)
    return functional.cross_entropy(scores, labels[:, 1:].flatten(), ignore_index=IGNORED)


def main() -> None:
    """Train, examine, and save a bfloat16 checkpoint with the compact vocabulary and the run's facts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--examine", type=int, default=400, help="prompts to examine, 8 answers each; slow on a CPU"
    )
    for name, default in asdict(Plan()).items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    options = vars(parser.parse_args())
    corpus = Corpus.load(options.pop("corpus"))
    out: Path = options.pop("out")
    examined: int = options.pop("examine")
    model, facts = train(corpus, Plan(**options))
    model.to(torch.bfloat16).save_pretrained(out)
    (out / "used_ids.json").write_text(json.dumps(corpus.used.tolist()) + "\n")
    if examined:
        facts["behaviour"] = examine(model, corpus, examined)
    (out / "training.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts, indent=1), flush=True)


if __name__ == "__main__":
    main()
