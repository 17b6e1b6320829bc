"""Bytes in, whole lines out; a bounded file; what an error message remembers."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.serving.failure import crash_line, is_root_cause, tell
from gate.serving.log import LineSplitter, LogFile, LogMemory


@settings(deadline=None)
@given(st.lists(st.from_regex(r"[ -~]{1,40}", fullmatch=True), max_size=20), st.data())
def test_lines_are_the_same_however_the_stream_is_cut(lines, data):
    stream = "".join(f"{line}\n" for line in lines).encode()
    splitter, seen, at = LineSplitter(), [], 0
    while at < len(stream):
        size = data.draw(st.integers(1, 60))
        seen += splitter.feed(stream[at : at + size])
        at += size
    assert seen + splitter.close() == lines


def test_a_progress_bar_becomes_lines_and_empty_lines_vanish():
    assert LineSplitter().feed(b" 0%\r 50%\r100%\n\r\n\ndone\n") == [" 0%", " 50%", "100%", "done"]


def test_a_line_without_end_is_cut_and_needs_no_memory():
    splitter = LineSplitter(limit=4)
    assert splitter.feed(b"abcdef") == ["abcd"]
    assert splitter.feed(b"ghijkl") == []
    assert splitter.feed(b"mn\nop\n") == ["op"]
    assert splitter.feed(b"abcdef\n") == ["abcd"]


def test_the_last_line_needs_no_end():
    splitter = LineSplitter()
    assert splitter.feed(b"one\ntw") == ["one"]
    assert (splitter.close(), splitter.close()) == (["tw"], [])


def test_control_sequences_and_broken_utf_8_are_made_harmless():
    assert LineSplitter().feed(b"\x1b[31mred\x1b[0m \xff\x07\n") == ["red �"]


def test_a_refused_value_that_the_engine_quotes_is_not_shown():
    line = "ValidationError: input: Input should be a string [type=string_type, input_value='What is'...]"
    assert LineSplitter().feed(line.encode() + b"\n")[0].endswith("input_value=(not shown)")


def test_a_log_file_keeps_its_start_and_its_end_and_stays_bounded(tmp_path: Path):
    log = LogFile(tmp_path / "e.log", head=100)
    for number in range(100):
        log.write([f"line {number:03}"])
    log.close()
    log.close()
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert sorted(sizes) == ["e.log", "e.log.tail", "e.log.tail.1"]
    assert max(sizes.values()) <= 100
    assert (tmp_path / "e.log").read_text().startswith("line 000\n")
    assert (tmp_path / "e.log.tail").read_text().endswith("line 099\n")


def test_a_full_disk_ends_the_file_and_nothing_else():
    log = LogFile(Path("/dev/full"))
    log.write(["one"])
    assert log.error is not None
    log.write(["two"])
    log.close()


def test_memory_keeps_the_first_crash_the_first_cause_and_the_last_lines():
    memory = LogMemory(lines=2, width=60)
    for line in (
        "ERROR [core.py:1] torch.OutOfMemoryError: HIP out of memory. " + "x" * 100,
        "ERROR [core.py:1510] EngineCore failed to start.",
        "RuntimeError: Engine core initialization failed. See root cause above.",
        "the end",
    ):
        memory.feed(line)
    assert memory.cause == ("ERROR [core.py:1] torch.OutOfMemoryError: HIP out of memory. " + "x" * 100)[:60]
    assert memory.crash == "ERROR [core.py:1510] EngineCore failed to start."
    assert memory.last() == (
        "RuntimeError: Engine core initialization failed. See root cause above."[:60],
        "the end",
    )
    assert not memory.port_taken


def test_the_body_of_a_traceback_is_left_out_of_the_last_lines():
    memory = LogMemory()
    prefix = "(APIServer pid=6) ERROR 11-23 21:58:38 [async_llm.py:906] "
    for line in ("Traceback (most recent call last):", '  File "x.py", line 1', "    ^^^^", "ValueError: no"):
        memory.feed(prefix + line)
    memory.feed('  File "y.py", line 2')
    assert memory.last() == (prefix + "Traceback (most recent call last):", prefix + "ValueError: no")


@pytest.mark.parametrize(
    "line",
    [
        "OSError: [Errno 98] Address already in use",
        "[Errno 98] error while attempting to bind on address ('127.0.0.1', 1): address already in use",
        "docker: Error response from daemon: Bind for 127.0.0.1:1 failed: port is already allocated.",
    ],
)
def test_a_taken_port_is_recognised(line):
    memory = LogMemory()
    memory.feed(line)
    assert memory.port_taken


@pytest.mark.parametrize(
    "line",
    [
        "(EngineCore pid=1) ERROR 11-23 21:00:00 [core.py:1512] EngineCore encountered a fatal error.",
        "ERROR 11-23 21:00:00 [core.py:1510] EngineCore failed to start.",
        "RuntimeError: Engine core initialization failed. See root cause above.",
        "ERROR [x.py:1] Worker proc VllmWorker-1 died unexpectedly (exit code: -9), shutting down",
        "WARNING [core_client.py:817] [shutdown] MPClient: engine core exited unexpectedly; starting cleanup",
    ],
)
def test_the_engines_own_words_for_dying_are_recognised(line):
    assert crash_line(line)


@pytest.mark.parametrize(
    ("line", "is_cause"),
    [
        ("ValueError: Free memory on device is less than desired", True),
        (
            "(EngineCore pid=1) ERROR [core.py:1] torch.OutOfMemoryError: HIP out of memory.",
            True,
        ),
        ("RuntimeError: Engine core initialization failed. See root cause above.", False),
        ("vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue.", False),
        ("INFO a healthy line: nothing", False),
        ("no colon at all", False),
        ("(EngineCore pid=1) ERROR [core.py:1512] RuntimeError: cancelled", False),
    ],
)
def test_a_cause_is_an_exception_that_is_not_a_consequence(line, is_cause):
    assert is_root_cause(line) is is_cause


def test_the_message_says_what_happened_then_quotes():
    told = tell("the engine exited", crash="c", cause="r", last=("a", "b"))
    assert told == "the engine exited\ncause: r\nthe engine said: c\nlast lines of its log:\n  | a\n  | b"
    assert tell("gone", crash=None, cause=None, last=()) == "gone\nits log is empty"


@pytest.mark.parametrize(
    ("fate", "words"),
    [
        ("killed-enginecore", "engine core exited unexpectedly"),
        ("killed-worker", "Worker proc VllmWorker-0 died unexpectedly (exit code: -9)"),
    ],
)
def test_a_real_engines_death_is_recognised_in_its_log(fate, words):
    memory = LogMemory()
    path = Path(__file__).parents[2] / "logs" / f"vllm-0.32.0-cpu-w4a8-emulation-{fate}.log"
    for line in path.read_text().splitlines():
        memory.feed(line)
    assert memory.crash is not None
    assert words in memory.crash
    assert memory.cause is None
