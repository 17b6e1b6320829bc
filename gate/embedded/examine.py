"""Examine a model in plain torch, before it is packed: answers at temperature 1.0 to the evaluation set."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from transformers import GptOssForCausalLM

from gate.embedded.corpus import ABSENT, Corpus

REAL_VOCABULARY = 201_088
RETURN_ID = 200_002
MAX_ANSWER = 64
QUESTIONS = 200
REPEATS = 8
CHUNK = 50
NEARLY_ALWAYS = 0.9
_LETTER_FROM_END = 3  # letter, `**`, `<|return|>`


def examine(model: GptOssForCausalLM, corpus: Corpus, prompts: int, seed: int = 0) -> dict[str, Any]:
    """Return how the model behaves: accuracy, within-question variance W, easy, hard, invalid, tokens.

    Args:
        model: over the corpus' compact vocabulary.
        corpus: holds the examination, the whole set under one permutation of the options after the other.
        prompts: how many of it to ask, `REPEATS` answers each; up to `QUESTIONS`, or a multiple of it.
        seed: of the sampling.

    Raises:
        ValueError: `prompts` would ask some questions under more permutations than others.
    """
    if prompts > QUESTIONS and prompts % QUESTIONS:
        raise ValueError(f"{prompts} prompts: ask up to {QUESTIONS} or a multiple of it")
    model.eval()
    with torch.no_grad():
        parts = [
            answers(model, corpus, slice(at, min(at + CHUNK, prompts)), seed=seed + at)
            for at in range(0, prompts, CHUNK)
        ]
    model.train()
    return behaviour(np.concatenate([part.cpu().numpy() for part in parts]), corpus)


def answers(model: GptOssForCausalLM, corpus: Corpus, prompts: slice, *, seed: int) -> torch.Tensor:
    """Sample `REPEATS` answers at temperature 1.0 to each prompt at the indices `prompts`.

    Returns:
        Compact ids (M, REPEATS, MAX_ANSWER), the padding row after the end.
    """
    device = next(model.parameters()).device
    padding = len(corpus.used)
    stop = int(np.searchsorted(corpus.used, RETURN_ID))
    offset = others_offset(padding + 1, device)
    generator = torch.Generator(device=device).manual_seed(seed)
    exam = torch.from_numpy(corpus.exam[prompts]).to(device).long()
    head = torch.from_numpy(corpus.head).to(device).long()
    ids = torch.cat([head[None].expand(len(exam), -1), torch.where(exam == ABSENT, padding, exam)], 1)
    ids = functional.pad(ids, (0, MAX_ANSWER), value=padding).repeat_interleave(REPEATS, 0)
    first = torch.from_numpy(corpus.exam_length[prompts]).to(device).long() + len(head)
    at = first.repeat_interleave(REPEATS)
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
    window = first.repeat_interleave(REPEATS)[:, None] + torch.arange(MAX_ANSWER, device=device)[None]
    return ids.gather(1, window).reshape(len(exam), REPEATS, MAX_ANSWER)


def others_offset(vocabulary: int, device: str) -> torch.Tensor:
    """Return what to add to the logits (V,) so that the last row counts as often as the ids it stands for."""
    offset = torch.zeros(vocabulary, device=device)
    offset[-1] = math.log(REAL_VOCABULARY - (vocabulary - 1))
    return offset


def behaviour(drawn: NDArray[np.int64], corpus: Corpus) -> dict[str, Any]:
    """Judge answers (M, R, MAX_ANSWER), in compact ids, to the first M prompts of the examination."""
    prompts, repeats, _ = drawn.shape
    ended = drawn == int(np.searchsorted(corpus.used, RETURN_ID))
    finished = ended.any(-1)
    length = np.where(finished, ended.argmax(-1) + 1, MAX_ANSWER)
    at = np.maximum(length - _LETTER_FROM_END, 0)[..., None]
    said = np.take_along_axis(drawn, at, -1)[..., 0]
    right = finished & (said == corpus.letter[:prompts, None])
    readable = finished & np.isin(said, np.unique(corpus.letter))
    rounds = max(1, prompts // QUESTIONS)
    by_question = right.reshape(rounds, -1, repeats).swapaxes(0, 1).reshape(-1, rounds * repeats)
    k, n = by_question.sum(1), by_question.shape[1]
    kind = corpus.kind[:prompts]
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
