"""The real vLLM: what it says of itself, and its death in the middle of its work."""

import asyncio
import os
import signal
import time
from pathlib import Path

import aiohttp
import psutil

from gate.serving.engine_log import check_evidence
from gate.serving.launch import LocalProcess
from gate.serving.server import serve
from tests.conftest import EmbeddedEngine

CANARY = "canary-7f3a"
ARGUMENTS = ["--dtype", "bfloat16", "--max-model-len", "512", "--max-num-seqs", "16", "--enforce-eager"]


async def ask(url: str) -> int | None:
    """HTTP status of one question; None where the connection broke."""
    body = {"model": "m", "messages": [{"role": "user", "content": CANARY}], "max_tokens": 400}
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{url}/v1/chat/completions", json=body) as r,
        ):
            return r.status
    except aiohttp.ClientError:
        return None


async def test_kill_9_of_the_engine_core_under_load_is_noticed_in_seconds_and_leaves_nothing(
    embedded_engine: EmbeddedEngine, tmp_path: Path
):
    launcher = LocalProcess(
        command=[str(embedded_engine.command)],
        model=str(embedded_engine.model),
        served_model="m",
        server_args=ARGUMENTS,
        env={"VLLM_CPU_KVCACHE_SPACE": "1"},
    )
    log = tmp_path / "engine.log"
    async with serve(launcher, log_path=log, startup_seconds=400, on_line=lambda _: None) as server:
        expect = {"moe": "EMULATION", "activation": "fp8", "scheme": "w_mxfp4_a_fp8", "quantization": "quark"}
        assert all(check.ok for check in check_evidence((await server.evidence()), expect, []))
        assert await ask(server.base_url) == 200

        processes = psutil.Process(server.pid).children(recursive=True)
        core = next(p for p in processes if p.cmdline()[:1] == ["VLLM::EngineCore"])
        asking = [asyncio.create_task(ask(server.base_url)) for _ in range(32)]
        await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        os.kill(core.pid, signal.SIGKILL)
        killed = time.monotonic()
        error = await asyncio.wait_for(server.died(), 30)
        assert time.monotonic() - killed < 10
        # On a quick machine the API server has ended too before the loss of its core is reported.
        assert "VLLM::EngineCore" in str(error) or "the engine exited" in str(error)
        assert "engine core" in str(error).lower()
        await asyncio.gather(*asking)
    assert not [process for process in processes if process.is_running()]
    assert CANARY not in log.read_text()
