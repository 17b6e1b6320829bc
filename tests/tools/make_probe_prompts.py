"""Make the prompts of the numerics probe: token ids that the gate keeps and never encodes again.

    PYTHONPATH=. .venv-engine/bin/python tests/tools/make_probe_prompts.py gate/numerics/prompts

Runs in the engine's environment (openai_harmony). The texts are in the public domain or generated here; the
file that is committed, not this tool, is what a probe measures: another tokenizer must not change it.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from gate.embedded.harmony import Harmony
from gate.embedded.lessons import Lesson, stream

SCORED = 24
CONTINUATION = 12
SEED = 7
LONG, BARE, SCATTERED = 8, 12, 12

# (source, text); what is quoted was published before 1900.
PUBLIC_DOMAIN = [
    (
        "Austen, Pride and Prejudice",
        "It is a truth universally acknowledged, that a single man in possession of a good fortune, must be "
        "in want of a wife. However little known the feelings or views of such a man may be on his first "
        "entering a neighbourhood, this truth is so well fixed in the minds of the surrounding families",
    ),
    (
        "Dickens, A Tale of Two Cities",
        "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of "
        "foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the "
        "season of Light",
    ),
    (
        "Melville, Moby-Dick",
        "Call me Ishmael. Some years ago, never mind how long precisely, having little or no money in my "
        "purse, and nothing particular to interest me on shore, I thought I would sail about a little and "
        "see the watery part of the world.",
    ),
    (
        "Carroll, Alice's Adventures in Wonderland",
        "Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing "
        "to do: once or twice she had peeped into the book her sister was reading, but it had no pictures "
        "or conversations in it",
    ),
    (
        "Lincoln, Gettysburg Address",
        "Four score and seven years ago our fathers brought forth on this continent, a new nation, conceived "
        "in Liberty, and dedicated to the proposition that all men are created equal. Now we are engaged in "
        "a great civil war, testing whether that nation",
    ),
    (
        "Jefferson, Declaration of Independence",
        "When in the Course of human events, it becomes necessary for one people to dissolve the political "
        "bands which have connected them with another, and to assume among the powers of the earth, the "
        "separate and equal station",
    ),
    (
        "Shakespeare, Sonnet 18",
        "Shall I compare thee to a summer's day?\nThou art more lovely and more temperate:\nRough winds do "
        "shake the darling buds of May,\nAnd summer's lease hath all too short a date:\n",
    ),
    (
        "Darwin, On the Origin of Species",
        "There is grandeur in this view of life, with its several powers, having been originally breathed "
        "into a few forms or into one; and that, whilst this planet has gone cycling on according to the "
        "fixed law of gravity",
    ),
    (
        "Cervantes, Don Quijote",
        "En un lugar de la Mancha, de cuyo nombre no quiero acordarme, no ha mucho tiempo que vivía un "
        "hidalgo de los de lanza en astillero, adarga antigua, rocín flaco y galgo corredor.",
    ),
    (
        "Dante, Inferno",
        "Nel mezzo del cammin di nostra vita\nmi ritrovai per una selva oscura,\nché la diritta via era "
        "smarrita.\nAhi quanto a dir qual era è cosa dura\nesta selva selvaggia e aspra e forte",
    ),
    (
        "Goethe, Faust",
        "Habe nun, ach! Philosophie,\nJuristerei und Medizin,\nUnd leider auch Theologie\nDurchaus studiert, "
        "mit heißem Bemühn.\nDa steh ich nun, ich armer Tor!\nUnd bin so klug als wie zuvor;",
    ),
    (
        "Hugo, Demain, dès l'aube",
        "Demain, dès l'aube, à l'heure où blanchit la campagne,\nJe partirai. Vois-tu, je sais que tu "
        "m'attends.\nJ'irai par la forêt, j'irai par la montagne.\nJe ne puis demeurer loin de toi plus "
        "longtemps.",
    ),
    (
        "Homer, Iliad",
        "Μῆνιν ἄειδε, θεά, Πηληϊάδεω Ἀχιλῆος\nοὐλομένην, ἣ μυρί᾽ Ἀχαιοῖς ἄλγε᾽ ἔθηκε",  # noqa: RUF001
    ),
    (
        "Caesar, De bello Gallico",
        "Gallia est omnis divisa in partes tres, quarum unam incolunt Belgae, aliam Aquitani, tertiam qui "
        "ipsorum lingua Celtae, nostra Galli appellantur. Hi omnes lingua, institutis, legibus inter se "
        "differunt.",
    ),
]


def generated() -> Iterator[tuple[str, str]]:
    """Code, tables and sums, the same every time."""
    rng = random.Random(SEED)  # noqa: S311 - it repeats itself on purpose
    sums = "\n".join(
        f"{a} + {b} = {a + b}" for a, b in ((rng.randrange(900), rng.randrange(900)) for _ in range(12))
    )
    yield "generated: sums", sums
    yield "generated: squares", ", ".join(f"{n}^2 = {n * n}" for n in range(11, 26))
    rows = [{"id": n, "name": f"item-{rng.randrange(999):03d}", "ok": n % 3 == 0} for n in range(8)]
    yield "generated: JSON", json.dumps(rows)
    yield (
        "generated: Python",
        "def quicksort(items):\n    if len(items) <= 1:\n        return items\n    pivot = items[0]\n"
        "    less = [x for x in items[1:] if x < pivot]\n    more = [x for x in items[1:] if x >= pivot]\n"
        "    return quicksort(less) + [pivot] + quicksort(more)\n",
    )
    yield (
        "generated: C",
        "#include <stdio.h>\n\nint main(void) {\n    for (int i = 0; i < 10; i++) {\n"
        '        printf("%d\\n", i * i);\n    }\n    return 0;\n}\n',
    )
    yield "generated: CSV", "\n".join(f"{n},{rng.random():.4f},{rng.choice('abc')}" for n in range(14))
    yield (
        "generated: proof",
        "Theorem. The sum of two even integers is even. Proof. Let m = 2a and n = 2b with integers a and b. "
        "Then m + n = 2a + 2b = 2(a + b), and a + b is an integer, so m + n is even. QED",
    )
    yield (
        "generated: instructions",
        "1. Preheat the oven to 180 degrees. 2. Mix 200 g of flour, 100 g of sugar and two eggs. 3. Pour the "
        "batter into a tin. 4. Bake for 35 minutes. 5. Let it cool before serving. The most common mistake "
        "is",
    )


def gpt_oss(harmony: Harmony) -> Iterator[dict[str, object]]:
    """32 prompts: every text alone, and ten runs of texts that are longer than the sliding window of 128."""
    texts = [*PUBLIC_DOMAIN, *generated()]
    rng = random.Random(SEED)  # noqa: S311
    joined = [rng.sample(texts, 4) for _ in range(32 - len(texts))]
    for parts in [[text] for text in texts] + joined:
        ids = harmony.ids("\n\n".join(text for _, text in parts))
        yield entry("; ".join(source for source, _ in parts), ids, len(ids) - CONTINUATION)


def tiny(harmony: Harmony) -> Iterator[dict[str, object]]:
    """For the embedded model: what it knows, whole and without its head, and its ids at random."""
    lessons = lessons_of("product", "mix")
    working = harmony.ids("<|channel|>analysis<|message|>")
    for _ in range(LONG):
        encoded = harmony.encode(next(lessons))
        yield entry(
            "generated: lesson", encoded.prompt + encoded.completion, len(encoded.prompt) + len(working)
        )
    start = harmony.ids("<|start|>assistant")
    for _ in range(BARE):
        ids = start + harmony.encode(next(lessons)).completion
        yield entry("generated: answer without a question", ids, len(start) + len(working))
    used = json.loads(Path("gate/embedded/checkpoint/used_ids.json").read_text())
    rng = random.Random(SEED)  # noqa: S311
    for _ in range(SCATTERED):
        yield entry("generated: ids at random", rng.choices(used, k=32), 32)


def lessons_of(*kinds: str) -> Iterator[Lesson]:
    """Lessons with a full working, of these kinds in turn."""
    for lesson in stream(SEED):
        if lesson.kind in kinds and "**Answer" in lesson.completion:
            yield lesson


def entry(source: str, ids: list[int], continue_at: int) -> dict[str, object]:
    """One prompt."""
    return {"source": source, "ids": ids, "continue_at": continue_at}


def write(folder: Path, name: str, prompts: Iterator[dict[str, object]]) -> None:
    """Write one set, a prompt a line."""
    lines = ",\n".join(json.dumps(prompt) for prompt in prompts)
    head = {
        "schema": "vllm-eval-gate/probe-prompts/1",
        "name": name,
        "vocabulary": "o200k_harmony",
        "scored": SCORED,
        "continuation": CONTINUATION,
    }
    text = json.dumps(head, indent=1).removesuffix("\n}") + ',\n "prompts": [\n' + lines + "\n]}\n"
    (folder / f"{name}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    out, harmony = Path(sys.argv[1]), Harmony()
    write(out, "gpt-oss", gpt_oss(harmony))
    write(out, "tiny-gpt-oss", tiny(harmony))
