"""Makes tests/data/gpt_oss_0.0.9.json: what the real gpt_oss.evals 0.0.9 reads, asks and scores.

Run it in an environment of its own, since the package asks for Python 3.12 but works on 3.11:

    pip install --ignore-requires-python --no-deps gpt-oss==0.0.9
    pip install pandas numpy jinja2 tqdm openai
    PYTHONPATH=. python tests/tools/make_gpt_oss_table.py

The questions are invented; no GPQA text is in them.
"""

from __future__ import annotations

import csv
import hashlib
import json
import random
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from gpt_oss.evals.abcd_grader import extract_abcd
from gpt_oss.evals.gpqa_eval import GPQAEval
from gpt_oss.evals.types import SamplerResponse

DATA = Path(__file__).resolve().parent.parent / "data"
TABLE = DATA / "gpt_oss_0.0.9.json"
QUESTIONS = DATA / "gpt_oss_questions.csv"
REPEATS = 3

HANDWRITTEN = [
    "",
    " ",
    "\n\n\n",
    "A",
    "b",
    "C.",
    "D)",
    "**",
    "****",
    "**A**",
    "**A",
    "__B__",
    "_C_",
    "*D*",
    "**E**",
    "E",
    "(E)",
    "Answer: E",
    "x",
    "?",
    "é",
    "答案是B",
    "答案\uff1aC",
    "Ответ: \u0410",
    "\uff21",
    "🙂 D",
    "42",
    "Answer",
    "Answer:",
    "Answer: ",
    "answer: a",
    "ANSWER: D",
    "Answer:C",
    "Answer : B",
    "Answers: B",
    "Answer - C",
    "Answer \u2013 D",
    "Answer \u2014 D",
    "Answer is B",
    "The answer is C.",
    "The answer is (C).",
    "the correct answer is option d",
    "The correct option is B",
    "Option B",
    "option: c",
    "Choice: A",
    "Choice \u2013 D",
    "I choose B",
    "Answer: Because it is so",
    "Answer: depends",
    "Answer: both A and B",
    "Answer: (B) or (C)",
    "Answer: A\nAnswer: B",
    "First I thought Answer: A. But no.\n\nAnswer: B",
    "(A) is wrong, (B) is wrong, so **C**",
    "A is wrong.\nB is wrong.\nD",
    "Because of symmetry the field vanishes.",
    "Actually, none of these.",
    "Could be anything.",
    "Done.",
    "Anything\nwithout letters that matter",
    "\n  B) the second\n",
    "\tC",
    "so\n**D) the fourth option**",
    "so **D) the\nfourth option**",
    "so __A) the first__ it is",
    "**Answer: B**",
    "**Answer:** B",
    "**Answer** B",
    "*Answers* \u2013 B",
    "*Answer:* b",
    "__Answer:__ C",
    "__Answer__ - C",
    "**Answer: (C)**",
    "**Answer (C)**",
    "**Final answer: D**",
    "Final answer: **D**",
    "**Final Answer:** $\\boxed{A}$",
    "## Answer\n\nB",
    "### Answer: C",
    "> Answer: C",
    "- Answer: C",
    "1. Answer: C",
    "Answer:\nC",
    "Answer:\n\n**C**",
    "Answer: **C**",
    "Answer: __C__",
    "Answer: *c*",
    "Answer: `C`",
    'Answer: "C"',
    "Answer: 'C'",
    "Answer: [C]",
    "Answer: {C}",
    "Answer: <C>",
    "Answer: $C$",
    "Answer: \\(C\\)",
    "Answer: ( C )",
    "Answer: (c)",
    "Answer: ((C))",
    "Answer: CD",
    "Answer: C D",
    "Answer: A,B",
    "Answer:AB",
    "AnswerC",
    "myAnswer: C",
    "Answered: C",
    "Answers C",
    "An\u017fwer: C",
    "\\boxed{A}",
    "\\boxed{ B }",
    "$\\boxed{C}$",
    "\\boxed{(D)}",
    "\\boxed{a}",
    "\\boxed{\\text{B}}",
    "\\boxed{\\textbf{C}}",
    "\\boxed{\\mathrm{D}}",
    "\\boxed{\\text{A } 2.08\\times10^{-6}\\,\\mathrm{m}}",
    "\\boxed{2.08\\times10^{-6}\\ \\text{(D)}}",
    "\\boxed{\\text{Answer: } \\textbf{B}}",
    "\\boxed{\\text{no letter}}",
    "\\boxed{42} so C",
    "\\boxed{}\\boxed{B}",
    "\\boxed{A",
    "\\boxed A",
    "\\boxed{Both}",
    "\\boxed{x}\n\\textbf{D}",
    "\\textbf{C}",
    "\\textbf{Answer: b}",
    "\\textbf{the C one}",
    "\\text{C}",
    "\\textbf{\\boxed{B}}",
    "(a)",
    "( B )",
    "[C]",
    "[ D ]",
    "(A]",
    "x(A)",
    "(A)x",
    "(A).",
    "1(A)2",
    "{A}",
    "f(A) = B",
    "f(B)",
    "see (A) and (D)",
    "x**A**y",
    "**a**",
    "* A",
    "- A",
    "1) A",
    "A1",
    "A B C D",
    "ABCD",
    "DNA",
    "The DNA strand",
    "Carbon",
    "carbon",
    "Apple\nBanana",
    "no\nBanana",
    "no\n  Banana",
    "no\n\n\n\n\t Carbon dioxide",
    "x\r\nB",
    "x\rB",
    "x\u2028B",
    "x\u00a0B",
    "\u00a0B",
    "\ufeffB",
    "\u200bB",
    "x\n\u3000C",
    "x\x00A",
    "<|channel|>final<|message|>**Answer: B**",
    "analysis We need C. final Answer D",
    "assistantfinal**B**",
    "B" * 50,
    "Answer " * 50,
    "**" * 50,
    " " * 200 + "C",
    "x" + "\n" * 200 + "D",
    "x" + " \n" * 200 + " D",
    "Answer:" + "\n" * 200 + "(B)",
    "(" + " " * 200 + "A" + " " * 200 + ")",
    "x" + " " * 200 + "A",
    "**Answer:**" + "\t" * 200 + "C",
]
WRAPPERS = ["{}", "**{}**", "*{}*", "__{}__", "_{}_", "({})", "[{}]", "\\boxed{{{}}}", "\\textbf{{{}}}"]
LEADS = ["", "Answer: ", "**Answer:** ", "the answer is ", "Option ", "So finally,\n", "(A) no. "]
TAILS = ["", ".", ") because it is", "\nThat is all."]


def texts() -> list[str]:
    draw = random.Random(9)  # noqa: S311
    generated = [
        lead + wrapper.format(draw.choice("ABCDabcdE")) + draw.choice(TAILS)
        for lead in LEADS
        for wrapper in WRAPPERS
    ]
    return list(dict.fromkeys([*HANDWRITTEN, *generated]))


def write_questions() -> None:
    rows = [
        (f"What is {n} plus {n}?", f"right {2 * n}", f"first {n}", f"second {n}", f"third {n}")
        for n in range(16)
    ]
    rows += [
        ('A "quoted", comma', "a, b", 'say "c"', "d;e", "f|g"),
        ("Two\nlines\r\nand a third", "x\ny", "z", "{A}", "{Question} %s"),
        ("  spaces around  ", " right ", "right", "left ", " left"),
        ("Unicode: naïve \u2211\u03b1\u1d62 \u2192 答案", "é", "e\u0301", "ﬁ", "fi"),
        ("LaTeX \\frac{a}{b} $\\boxed{A}$", "\\(x\\)", "\\(y\\)", "\\(z\\)", "\\(w\\)"),
        ("The right text stands twice", "twice", "twice", "once", "never"),
        ("Numbers alone", "1", "2", "3", "4"),
    ]
    with QUESTIONS.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        columns = ["Correct Answer", *(f"Incorrect Answer {i}" for i in (1, 2, 3))]
        writer.writerow(["Question", *columns, "Subdomain"])
        writer.writerows([*row, "none"] for row in rows)


class RecordingSampler:
    """Answers each prompt with one of the texts, by the prompt's hash, and keeps what it was asked."""

    def __init__(self, answers: list[str]) -> None:
        self.answers = answers
        self.asked: dict[str, list[tuple[str, int]]] = {}

    def _pack_message(self, role: str, content: str) -> dict[str, str]:
        return {"role": role, "content": content}

    def __call__(self, messages: list[dict[str, str]]) -> SamplerResponse:
        prompt = messages[0]["content"]
        return SamplerResponse(
            response_text=answer_to(prompt, self.answers),
            response_metadata={},
            actual_queried_message_list=messages,
        )


def answer_to(prompt: str, answers: list[str]) -> str:
    return answers[int(digest(prompt)[:8], 16) % len(answers)]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def scored(evaluation: GPQAEval, answers: list[str]) -> list[list[object]]:
    """[prompt's SHA-256, score] of every sample, in the order of the examples."""
    sampler = RecordingSampler(answers)
    result = []
    examples = evaluation.examples
    for example in examples:
        evaluation.examples = [example]
        one = evaluation(sampler)
        result.append([digest(one.convos[0][0]["content"]), int(one.score)])
    return result


def main() -> None:
    if version("gpt-oss") != "0.0.9":
        raise SystemExit("this table is that of gpt-oss 0.0.9")
    write_questions()
    answers = texts()
    real_read_csv = pd.read_csv
    pd.read_csv = lambda _url: real_read_csv(QUESTIONS)
    whole = GPQAEval(n_repeats=REPEATS)
    subset = GPQAEval(n_repeats=1, num_examples=7)
    table = {
        "made_by": "tests/tools/make_gpt_oss_table.py with gpt-oss 0.0.9",
        "answers": [[text, extract_abcd(text)] for text in answers],
        "repeats": REPEATS,
        "permutations": [example["permutation"] for example in whole.examples],
        "samples": scored(whole, answers),
        "subset": scored(subset, answers),
    }
    TABLE.write_text(json.dumps(table, indent=0) + "\n")


if __name__ == "__main__":
    main()
