"""Train the tiny gpt-oss model on a corpus: `python -m gate.embedded.train CORPUS.npz OUT [--device cuda]`.

Runs where torch and transformers are: on a GPU in minutes, on a CPU with a smaller model (`--hidden 64
--heads 2 --batch 64`). The same seed and number of steps give the same model on the same machine and library
versions; other machines round differently.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch.nn import functional
from transformers import GptOssConfig, GptOssForCausalLM

from gate.embedded.corpus import ABSENT, Corpus

REAL_VOCABULARY = 201_088
RETURN_ID = 200_002
IGNORED = -100
MAX_ANSWER = 64
NEARLY_ALWAYS = 0.9
_LETTER_FROM_END = 3  # letter, `**`, `<|return|>`


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


def others_offset(vocabulary: int, device: str) -> torch.Tensor:
    """Return what to add to the logits (V,) so that the last row counts as often as the ids it stands for."""
    offset = torch.zeros(vocabulary, device=device)
    offset[-1] = math.log(REAL_VOCABULARY - (vocabulary - 1))
    return offset


def train(corpus: Corpus, plan: Plan) -> tuple[GptOssForCausalLM, dict[str, Any]]:
    """Return the trained model, in float32, and what there is to tell about the run."""
    torch.manual_seed(plan.seed)
    torch.set_float32_matmul_precision("high")
    batches = Batches(corpus, plan.device)
    vocabulary = batches.padding + 1
    config = architecture(plan, vocabulary)
    config._attn_implementation = "eager"
    model = GptOssForCausalLM(config).float().to(plan.device)
    generator = torch.Generator(device=plan.device).manual_seed(plan.seed + 1)
    experts = use_fastest_experts(model, batches.take(torch.arange(4, device=plan.device))[0])
    optimizer = torch.optim.AdamW(model.parameters(), lr=plan.rate, betas=(0.9, 0.95), weight_decay=0.01)
    offset = others_offset(vocabulary, plan.device)
    started = time.monotonic()
    step, progress = 0, 0.0
    while progress < 1:
        progress = max(step / plan.steps, (time.monotonic() - started) / 60 / plan.minutes)
        for group in optimizer.param_groups:
            group["lr"] = plan.rate * min(1, (step + 1) / 100) * (1 - 0.97 * min(1, progress))
        ids, labels = batches.take(
            torch.randint(0, len(batches), (plan.batch,), device=plan.device, generator=generator)
        )
        with torch.autocast(plan.device, dtype=torch.bfloat16, enabled=plan.device == "cuda"):
            logits = model(input_ids=ids).logits[:, :-1]
        loss = functional.cross_entropy(
            (logits.float() + offset).reshape(-1, vocabulary), labels[:, 1:].reshape(-1), ignore_index=IGNORED
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0:
            print(f"step {step} loss {loss.item():.4f} after {time.monotonic() - started:.0f} s", flush=True)
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
        "device": torch.cuda.get_device_name() if plan.device == "cuda" else platform.processor() or "cpu",
    }
    return model, facts


def answers(
    model: GptOssForCausalLM, corpus: Corpus, prompts: slice, *, repeats: int, seed: int
) -> torch.Tensor:
    """Sample `repeats` answers at temperature 1.0 to each prompt at the indices `prompts`.

    Returns:
        Compact ids (len(prompts), repeats, MAX_ANSWER), the padding row after the end.
    """
    device = next(model.parameters()).device
    padding = len(corpus.used)
    stop = int(np.searchsorted(corpus.used, RETURN_ID))
    offset = others_offset(padding + 1, device)
    generator = torch.Generator(device=device).manual_seed(seed)
    exam = torch.from_numpy(corpus.exam[prompts]).to(device).long()
    head = torch.from_numpy(corpus.head).to(device).long()
    ids = torch.cat([head[None].expand(len(exam), -1), torch.where(exam == ABSENT, padding, exam)], 1)
    ids = functional.pad(ids, (0, MAX_ANSWER), value=padding).repeat_interleave(repeats, 0)
    first = torch.from_numpy(corpus.exam_length[prompts]).to(device).long() + len(head)
    at = first.repeat_interleave(repeats)
    rows = torch.arange(len(ids), device=device)
    open_ = torch.ones(len(ids), dtype=torch.bool, device=device)
    for _ in range(MAX_ANSWER):
        longest = int(at.max())
        logits = model(input_ids=ids[:, :longest]).logits[rows, at - 1].float() + offset
        drawn = torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]
        ids[rows[open_], at[open_]] = drawn[open_]
        open_ &= drawn != stop
        at = at + open_.long()
        if not open_.any():
            break
    window = first.repeat_interleave(repeats)[:, None] + torch.arange(MAX_ANSWER, device=device)[None]
    return ids.gather(1, window).reshape(len(exam), repeats, MAX_ANSWER)


def behaviour(
    model: GptOssForCausalLM, corpus: Corpus, repeats: int = 8, prompts: int = 400, seed: int = 0
) -> dict[str, Any]:
    """Examine the model: accuracy, within-question variance W, easy, hard and invalid ones, tokens."""
    model.eval()
    stop = int(np.searchsorted(corpus.used, RETURN_ID))
    with torch.no_grad():
        chunks = [
            answers(model, corpus, slice(at, min(at + 50, prompts)), repeats=repeats, seed=seed + at)
            .cpu()
            .numpy()
            for at in range(0, prompts, 50)
        ]
    drawn = np.concatenate(chunks)
    model.train()
    ended = drawn == stop
    finished = ended.any(-1)
    length = np.where(finished, ended.argmax(-1) + 1, MAX_ANSWER)
    said = np.take_along_axis(drawn, np.maximum(length - _LETTER_FROM_END, 0)[..., None], -1)[..., 0]
    right = finished & (said == corpus.letter[:prompts, None])
    readable = finished & np.isin(said, np.unique(corpus.letter))
    kind = corpus.kind[:prompts]
    questions = len(right) // 200 or 1
    per_question = (
        right.reshape(questions, -1, repeats).transpose(1, 0, 2).reshape(len(right) // questions, -1)
    )
    k, n = per_question.sum(1), per_question.shape[1]
    return {
        "accuracy": round(float(right.mean()), 4),
        "W": round(float((k * (n - k) / (n * (n - 1))).mean()), 4),
        "nearly_always_right": round(float((k / n > NEARLY_ALWAYS).mean()), 3),
        "nearly_always_wrong": round(float((k / n < 1 - NEARLY_ALWAYS).mean()), 3),
        "invalid": round(float(1 - readable.mean()), 4),
        "truncated": round(float(1 - finished.mean()), 4),
        "tokens": [int(length.min()), round(float(length.mean()), 1), int(length.max())],
        "by_kind": {name: round(float(right[kind == name].mean()), 3) for name in np.unique(kind).tolist()},
    }


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
        facts["behaviour"] = behaviour(model, corpus, prompts=examined)
    (out / "training.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts, indent=1), flush=True)


if __name__ == "__main__":
    main()
