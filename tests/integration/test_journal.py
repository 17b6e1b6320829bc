"""The journal on a real file system, under a real kill -9."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gate.errors import RecordError, StorageError
from gate.evals.journal import Journal
from gate.model.sample import Finish, Outcome, Sample

KEY = {"head": "a" * 40, "base": "b" * 40, "cell": "cpu/tiny/default", "baseline": None}
WRITER = """
import itertools, sys
from pathlib import Path
from gate.evals.journal import Journal
from gate.model.sample import Finish, Outcome, Sample
with Journal.open(Path(sys.argv[1]), {"head": "a"}) as journal:
    for n in itertools.count(len(journal.samples)):
        journal.append(Sample(f"{n % 500:012x}", n // 500, Outcome.CORRECT, 31, Finish.STOP))
        print(n, flush=True)
"""


LOADER = """
import json, sys, time
from pathlib import Path
from gate.evals.journal import Journal
seconds = []
for _ in range(5):
    started = time.process_time()
    with Journal.open(Path(sys.argv[1]), json.loads(sys.argv[2])) as journal:
        seconds.append(time.process_time() - started)
print(len(journal.samples), min(seconds))
"""


def sample(number=0, repeat=0, outcome=Outcome.CORRECT):
    return Sample(f"{number:012x}", repeat, outcome, 17, Finish.STOP)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal" / "cell.jsonl"


def written(path, *samples):
    with Journal.open(path, KEY) as journal:
        for one in samples:
            journal.append(one)
    return path


def test_what_was_written_is_there_when_it_is_opened_again(path):
    samples = [sample(1), sample(1, 1, Outcome.INVALID), sample(2, 0, Outcome.WRONG)]
    written(path, *samples)
    with Journal.open(path, KEY) as journal:
        assert list(journal.samples.values()) == samples
        assert journal.samples["000000000001", 1].outcome is Outcome.INVALID


def test_lines_go_on_after_those_that_are_there(path):
    written(path, sample(1))
    written(path, sample(2))
    assert path.read_bytes().count(b"\n") == 3
    assert json.loads(path.read_text().splitlines()[0])["key"] == KEY


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_torn_last_line_is_dropped_and_written_anew(path, cut):
    written(path, sample(1), sample(2))
    path.write_bytes(path.read_bytes()[:-cut])
    with Journal.open(path, KEY) as journal:
        assert list(journal.samples.values()) == [sample(1)]
        journal.append(sample(2))
    with Journal.open(path, KEY) as journal:
        assert list(journal.samples.values()) == [sample(1), sample(2)]


def test_a_torn_header_is_a_new_journal(path):
    written(path)
    path.write_bytes(path.read_bytes()[:-3])
    with Journal.open(path, KEY) as journal:
        assert not journal.samples
    written(path, sample(1))


@pytest.mark.parametrize(
    "line",
    [
        "",
        "torn",
        "[]",
        "\udcff",
        '{"q":"000000000001"}',
        '{"f":"s","o":"1","q":"What is","r":0,"t":1}',
        '{"f":"s","o":".","q":"000000000009","r":0,"t":1}',
        '{"f":"?","o":"1","q":"000000000009","r":0,"t":1}',
        '{"f":"s","o":"1","q":"000000000009","r":-1,"t":1}',
        '{"f":"s","o":"1","q":"000000000009","r":true,"t":1}',
        '{"f":"s","o":"1","q":"000000000009","r":0,"t":1.5}',
        '{"f":"s","o":"1","q":9,"r":0,"t":1}',
        '{"f":["s"],"o":"1","q":"000000000009","r":0,"t":1}',
        '{"f":"s","o":"1","q":"000000000009","r":0,"t":1,"x":1}',
    ],
)
def test_a_line_that_is_no_sample_is_an_error_by_line(path, line):
    written(path, sample(1), sample(2))
    lines = path.read_bytes().splitlines()
    lines[1] = line.encode("utf-8", "surrogateescape")
    path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(RecordError, match=r"cell\.jsonl:2: not a ") as caught:
        Journal.open(path, KEY)
    assert "What is" not in str(caught.value)


def test_a_sample_that_is_there_twice_is_an_error(path):
    written(path, sample(1))
    with path.open("a") as file:
        file.write(path.read_text().splitlines()[1] + "\n")
    with pytest.raises(RecordError, match=r"cell\.jsonl:3: question 000000000001, repeat 0 twice"):
        Journal.open(path, KEY)


def test_a_sample_is_not_written_twice(path):
    with Journal.open(path, KEY) as journal:
        journal.append(sample(1))
        with pytest.raises(RecordError, match="question 000000000001, repeat 0 twice"):
            journal.append(sample(1, 0, Outcome.WRONG))


def test_another_sequence_is_refused_naming_what_differs(path):
    written(path)
    other = {**KEY, "head": "c" * 40, "baseline": "d"}
    with pytest.raises(RecordError, match="another sequence: baseline, head differ"):
        Journal.open(path, other)


@pytest.mark.parametrize("header", ['{"key":{},"schema":"vllm-eval-gate/journal/2"}', "{}", "garbage"])
def test_a_file_that_is_no_journal_of_this_schema_is_refused(path, header):
    path.parent.mkdir()
    path.write_text(header + "\n")
    with pytest.raises(RecordError, match=r"cell\.jsonl:1: "):
        Journal.open(path, KEY)


def test_a_key_in_another_header_is_refused(path):
    path.parent.mkdir()
    path.write_text('{"key":[],"schema":"vllm-eval-gate/journal/1"}\n')
    with pytest.raises(RecordError, match="base, cell, head differ"):
        Journal.open(path, KEY)


def test_the_key_can_be_read_without_opening(path):
    assert Journal.stored_key(path) is None
    written(path, sample(1))
    assert Journal.stored_key(path) == KEY
    path.write_text("garbage\n")
    assert Journal.stored_key(path) is None
    path.write_text('{"key":')
    assert Journal.stored_key(path) is None


def test_two_processes_do_not_write_one_journal(path):
    with (
        Journal.open(path, KEY),
        pytest.raises(RecordError, match="another process is measuring this sequence"),
    ):
        Journal.open(path, KEY)
    Journal.open(path, KEY).close()


def test_a_full_disk_is_an_error():
    full = Path("/dev/full")
    descriptor = os.open(full, os.O_WRONLY)
    with pytest.raises(RecordError, match="/dev/full: cannot be written: No space left on device"):
        Journal(full, descriptor, {}).append(sample(1))
    os.close(descriptor)


def test_a_disk_that_finds_no_room_only_when_it_must_hold_the_lines_is_an_error(path):
    reader, writer = os.pipe()  # what cannot be synced at all stands for a disk that refuses to
    with pytest.raises(StorageError, match="cannot be written: Invalid argument"):
        Journal(path, writer, {}).sync()
    os.close(reader)
    os.close(writer)


def test_a_line_that_could_be_written_in_part_only_is_an_error(path):
    with Journal.open(path, KEY) as journal:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 5, hard))
        try:
            with pytest.raises(RecordError, match=r"cell\.jsonl: only a part of a line could be written"):
                journal.append(sample(1))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with Journal.open(path, KEY) as journal:
        assert not journal.samples


def test_closing_twice_does_no_harm(path):
    journal = Journal.open(path, KEY)
    journal.close()
    journal.close()


def test_a_kill_in_the_middle_loses_nothing_that_was_reported(tmp_path):
    path = tmp_path / "journal.jsonl"
    reported = -1
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        ) as writer:
            for _ in range(200):
                reported = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
        with Journal.open(path, {"head": "a"}) as journal:
            numbers = [repeat * 500 + int(question, 16) for question, repeat in journal.samples]
        assert numbers == list(range(len(numbers)))
        assert reported < len(numbers)


def test_a_hundred_thousand_samples_are_loaded_in_a_second(path):
    written(path)
    line = '{{"f":"s","o":"1","q":"{:012x}","r":{},"t":231}}\n'
    with path.open("a") as file:
        file.writelines(line.format(n % 200, n // 200) for n in range(100_000))
    # Measuring coverage takes three times as long, and follows into processes through the environment.
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-c", LOADER, str(path), json.dumps(KEY)]
    timed = subprocess.run(command, env=plain, capture_output=True, text=True, check=True)
    number, seconds = timed.stdout.split()
    assert int(number) == 100_000
    assert float(seconds) < 1


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_cut_anywhere_a_journal_keeps_the_samples_before_the_cut(tmp_path, data):
    path = tmp_path / "journal.jsonl"
    path.unlink(missing_ok=True)
    samples = [sample(n) for n in range(5)]
    content = written(path, *samples).read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:cut])
    with Journal.open(path, KEY) as journal:
        assert list(journal.samples.values()) == samples[: max(0, content[:cut].count(b"\n") - 1)]
