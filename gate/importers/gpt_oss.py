"""gpt_oss.evals: `EVAL_MODEL-EFFORT_tempT_DATE_allresults.json`, which it always writes below /tmp.

A sample's score is only in the HTML that the file holds for it, and its number nowhere: samples stand in the
order in which they were answered. Read in gpt-oss 0.0.9 (gpt_oss/evals/{__main__,report,gpqa_eval}.py).
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from gate.errors import RecordError
from gate.importers.log import (
    HarnessLog,
    LoggedSample,
    LogPart,
    Question,
    Wanted,
    one_path,
    outcome_of,
    question,
    read_json,
    the_file,
)
from gate.model.canonical import sha256_of

NAME: Final = "gpt-oss"
BAD_REQUEST: Final = "No response (bad request)."
_FILE: Final = re.compile(
    r"(?P<eval>[a-z0-9]+)_(?P<model>.+)-(?P<effort>low|medium|high)_temp(?P<temperature>\d+(?:\.\d+)?)"
    r"_(?P<date>\d{8}_\d{6})(?P<debug>_DEBUG)?_allresults"
)
_RESULTS: Final = re.compile(
    r"<p>Correct Answer: (?P<correct>.*)</p>\s*<p>Extracted Answer: (?P<extracted>.*)</p>\s*"
    r"<p>Score: (?P<score>[\d.]+)</p>\s*\Z",
    re.DOTALL,
)
_CHOICES: Final = re.compile(
    r"(?P<question>.*)\n\n\(A\) (?P<A>.*)\n\(B\) (?P<B>.*)\n\(C\) (?P<C>.*)\n\(D\) (?P<D>.*)\n\n"
    r"(?P<request>Express your final answer .*)\Z",
    re.DOTALL,
)


class Message(LogPart):
    """One message of a conversation."""

    role: str
    content: str


class AllResults(LogPart):
    """An `_allresults.json`."""

    htmls: list[str]
    convos: list[list[Message]]


def read(paths: Sequence[Path], wanted: Wanted) -> HarnessLog:
    """One run: every repeat is in its file.

    Raises:
        RecordError: the file is another one of gpt_oss.evals, is damaged, or holds refused requests.
    """
    hint = "gpt_oss.evals writes *_allresults.json below /tmp, beside the mean score"
    path = the_file(one_path(paths, NAME), "*_allresults.json", "*_allresults.json", hint)
    if not path.name.endswith("_allresults.json") and path.suffix in {".html", ".json"}:
        whole = path.with_name(f"{path.stem}_allresults.json")
        raise RecordError(
            "has no outcomes of single samples", where=str(path), hint=f"import {whole.name}; {hint}"
        )
    results = read_json(path, AllResults)
    if len(results.htmls) != len(results.convos) or not results.convos:
        raise RecordError(
            "has not one conversation for each result",
            where=str(path),
            hint="the run was cut off: let gpt_oss.evals run again",
        )
    named = _named(path, wanted)
    pairs = list(zip(results.convos, results.htmls, strict=True))
    samples, requests = [], Counter[str]()
    for number, (convo, page) in enumerate(pairs):
        sample, request = _sample(convo, page, f"{path}, result {number}", wanted)
        samples.append(sample)
        requests[request] += 1
    return HarnessLog(
        harness=NAME,
        where=str(path),
        version=None,
        benchmark=wanted.benchmark,
        metric="score",
        model=named.pop("model", None),
        settings={name: value for name, value in named.items() if name != "date"},
        protocol=sorted(requests),
        samples=tuple(samples),
        date=named.get("date"),
        lacks=("tokens", "finish"),
        notes={"empty_answers": str(_empty(results))},
    )


def _named(path: Path, wanted: Wanted) -> dict[str, Any]:
    """What the file's name says, if it still has the one it was written under."""
    found = _FILE.fullmatch(path.stem)
    if found is None:
        return {}
    if found["debug"]:
        raise RecordError("is of a run with --debug", where=str(path), hint="run it without")
    if found["eval"] != wanted.benchmark:
        raise RecordError(
            f"measured {found['eval']}, not {wanted.benchmark}",
            where=str(path),
            hint="`imported: {benchmark: ...}` in the config has what --eval was given",
        )
    day, time = found["date"].split("_")
    return {
        "model": found["model"].replace("__", "/"),
        "reasoning_effort": found["effort"],
        "temperature": float(found["temperature"]),
        "date": f"{day[:4]}-{day[4:6]}-{day[6:]}T{time[:2]}:{time[2:4]}:{time[4:]}",
    }


def _sample(convo: Sequence[Message], page: str, where: str, wanted: Wanted) -> tuple[LoggedSample, str]:
    """The sample, and everything around its question that was asked."""
    asked = next((place for place, message in enumerate(convo) if message.role == "user"), None)
    results = _RESULTS.search(page)
    if asked is None or results is None or results["score"] not in ("0.0", "1.0"):
        raise RecordError(
            "is not a question with one right answer", where=where, hint="gpqa and aime25 can be imported"
        )
    answer = convo[-1].content if len(convo) > asked + 1 else ""
    _check_answered(answer, where, wanted)
    subject, request, letters = _question(convo[asked].content, html.unescape(results["correct"]))
    correct = results["score"] == "1.0"
    extracted = html.unescape(results["extracted"])
    before = "\n".join(message.content for message in convo[:asked])
    return LoggedSample(
        question=subject,
        repeat=None,
        outcome=outcome_of(correct=correct, readable=extracted in letters if letters else bool(extracted)),
        answer=sha256_of(answer),
    ), f"{before}\n{request}"


def _check_answered(answer: str, where: str, wanted: Wanted) -> None:
    if answer == BAD_REQUEST:
        raise RecordError(
            "is a request that the server refused, which gpt_oss.evals scores as a wrong answer",
            where=where,
            hint="see the server's log for what was wrong with it (often the token limit), and run again",
        )
    if not answer and not wanted.accept_empty:
        raise RecordError(
            "is empty: gpt_oss.evals writes the same for an empty answer and for a request that was refused",
            where=where,
            hint="if the server's log has no request with status 400, pass --accept-empty",
        )


def _question(prompt: str, correct: str) -> tuple[Question, str, str]:
    """The question, what stands around it in the prompt, and the letters of its options if it has any."""
    found = _CHOICES.fullmatch(prompt)
    if found is None or correct not in {"A", "B", "C", "D"}:
        return question(prompt, correct), "", ""
    options = [found[letter] for letter in "ABCD"]
    return question(found["question"], found[correct], options), found["request"], "ABCD"


def _empty(results: AllResults) -> int:
    return sum(not convo[-1].content for convo in results.convos)
