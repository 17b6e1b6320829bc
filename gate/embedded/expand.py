"""Give the committed compact checkpoint harmony's real vocabulary: `python -m gate.embedded.expand OUT_DIR`.

Runs in the engine's environment (torch, transformers, oss-harmony), offline: the tokenizer is rebuilt from
the ranks that the oss-harmony wheel embeds. The result, 132 MB, is what `vllm serve` is given.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from openai_harmony import HarmonyEncodingName, load_harmony_encoding
from openai_harmony.openai_harmony import PyHarmonyEncoding
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

from gate.embedded import stamp

VOCABULARY = 201_088
RANKS = 199_998
START_OF_TEXT, END_OF_TEXT, RETURN, CALL = 199_998, 199_999, 200_002, 200_012
SPECIAL = {
    START_OF_TEXT: "<|startoftext|>",
    END_OF_TEXT: "<|endoftext|>",
    RETURN: "<|return|>",
    200_003: "<|constrain|>",
    200_005: "<|channel|>",
    200_006: "<|start|>",
    200_007: "<|end|>",
    200_008: "<|message|>",
    CALL: "<|call|>",
    200_018: "<|endofprompt|>",
}

# The pre-tokenizer of o200k, from openai/tiktoken, tiktoken_ext/openai_public.py.
O200K_PATTERN = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
# vLLM renders gpt-oss through harmony itself; the template is for tools that insist on one.
CHAT_TEMPLATE = (
    "{%- for m in messages -%}<|start|>{{ m['role'] }}<|message|>{{ m['content'] }}<|end|>{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|start|>assistant{%- endif -%}"
)
_CHECK_TEXT = "<|start|>user<|message|>What is 2*9+1 modulo 10?\n\n(A) 3  don't Ünïcode 12345\n\n x<|end|>"


def prepare(directory: Path, source: Path | None = None) -> bool:
    """Make sure that `directory` holds the expanded model; returns whether there was anything to do.

    The model is written beside `directory` and moved there whole, so that nothing is ever half done.
    """
    source = source or stamp.checkpoint()
    if stamp.is_current(directory, source):
        return False
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".expanding-") as scratch:
        made = Path(scratch) / directory.name
        made.mkdir()
        write_tokenizer(made)
        write_model(source, made)
        (made / "model.safetensors").chmod(0o644)
        stamp.write(made, source)
        if directory.exists():
            shutil.rmtree(directory)
        made.rename(directory)
    return True


def write_model(source: Path, out: Path) -> None:
    """Write weights, config and generation config with a row for every real id."""
    tensors = load_file(source / "model.safetensors")
    used = torch.tensor(json.loads((source / "used_ids.json").read_text()))
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        compact = tensors[name]
        rows = compact[-1:].repeat(VOCABULARY, 1)
        rows[used] = compact[:-1]
        tensors[name] = rows.contiguous()
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    ids = {"bos_token_id": START_OF_TEXT, "pad_token_id": END_OF_TEXT}
    config = json.loads((source / "config.json").read_text())
    config |= {**ids, "eos_token_id": RETURN, "vocab_size": VOCABULARY}
    generation = {**ids, "eos_token_id": [RETURN, END_OF_TEXT, CALL], "do_sample": True}
    (out / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    (out / "generation_config.json").write_text(json.dumps(generation, indent=1, sort_keys=True) + "\n")


def merges(ranks: dict[bytes, int]) -> Iterator[tuple[bytes, bytes]]:
    """Yield every way to make a token of two others, in byte-pair encoding's order of preference."""
    for token in sorted(ranks, key=ranks.__getitem__):
        halves = [(token[:cut], token[cut:]) for cut in range(1, len(token))]
        known = [pair for pair in halves if pair[0] in ranks and pair[1] in ranks]
        yield from sorted(known, key=lambda pair: (ranks[pair[0]], ranks[pair[1]]))


def embedded_ranks(encoding: PyHarmonyEncoding) -> dict[bytes, int]:
    """Return o200k's tokens with their ranks, read back from the encoding that the wheel embeds."""
    return {encoding.decode_bytes([rank]): rank for rank in range(RANKS)}


def write_tokenizer(out: Path) -> None:
    """Write a tokenizer.json equal to o200k_harmony.

    Raises:
        ValueError: it does not encode a check text as harmony does.
    """
    encoding = load_harmony_encoding(HarmonyEncodingName.HARMONY_GPT_OSS)._inner
    ranks = embedded_ranks(encoding)
    letters = bytes_to_unicode()

    def spelled(token: bytes) -> str:
        return "".join(letters[byte] for byte in token)

    tokenizer = Tokenizer(
        models.BPE(
            vocab={spelled(token): rank for token, rank in ranks.items()},
            merges=[(spelled(left), spelled(right)) for left, right in merges(ranks)],
            ignore_merges=True,
        )
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(O200K_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    names = [SPECIAL.get(row, f"<|reserved_{row}|>") for row in range(RANKS, VOCABULARY)]
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=SPECIAL[START_OF_TEXT],
        eos_token=SPECIAL[RETURN],
        pad_token=SPECIAL[END_OF_TEXT],
    )
    wrapped.chat_template = CHAT_TEMPLATE
    got = wrapped(_CHECK_TEXT, add_special_tokens=False).input_ids
    if got != list(encoding.encode(_CHECK_TEXT, list(SPECIAL.values()))):
        raise ValueError(
            "the rebuilt tokenizer does not encode as oss-harmony does: has the wheel's version changed?"
        )
    wrapped.save_pretrained(out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Expand a compact checkpoint into what `vllm serve` takes.")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--checkpoint", type=Path, help="compact checkpoint; default: the committed one")
    given = parser.parse_args()
    done = prepare(given.out, given.checkpoint)
    print(f"expanded the model to {given.out}" if done else f"{given.out} is up to date")
