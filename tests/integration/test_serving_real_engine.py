"""The real vLLM: what it says of itself, a fault that the numerics probe hears, and its death at work."""

import asyncio
import os
import signal
import time
from pathlib import Path

import aiohttp
import psutil

from gate.embedded import faults
from gate.evals.client import EngineClient
from gate.model.probe import Probe
from gate.numerics.ask import ask_prompts, packed
from gate.numerics.collect import values_of
from gate.numerics.compare import compare, distances
from gate.numerics.prompts import load_prompts
from gate.numerics.store import Healthy, ProbeBaseline
from gate.serving.engine_log import check_evidence
from gate.serving.launch import LocalProcess
from gate.serving.server import serve
from gate.stats.drift import SHIFT_FLOOR
from tests.conftest import EmbeddedEngine
from tests.support import probes

CANARY = "canary-7f3a"
ARGUMENTS = ["--dtype", "bfloat16", "--max-model-len", "512", "--max-num-seqs", "16", "--enforce-eager"]
# No fault may find in a cache what the healthy engine computed.
ARGUMENTS += ["--kv-cache-dtype", "fp8", "--no-enable-prefix-caching"]
PROMPTS = 8


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


async def probed(url: str) -> Probe:
    """What the engine says of the first of the embedded model's prompts."""
    whole = load_prompts("tiny-gpt-oss")
    prompts = whole.model_copy(update={"prompts": whole.prompts[:PROMPTS]})
    async with EngineClient(url, headers={}, concurrency=16, timeout_seconds=600) as client:
        return packed(await ask_prompts(client, prompts, "m"), probes.fingerprint(), 0.0)


async def a_fault_while_decoding_is_heard(url: str, switch: Path) -> None:
    """Probes the healthy engine twice, breaks it, probes again."""
    first, again = await probed(url), await probed(url)
    healthy = Healthy(name="again", values=values_of(again, first))
    stored = ProbeBaseline(probe=first, healthy=(healthy,), provenance={})
    assert compare(again, stored, alpha=0.001).state == "unchanged"
    switch.write_text("decode_down_scale")
    broken = await probed(url)
    found = compare(broken, stored, alpha=0.001)
    assert found.state in ("changed", "broken")
    assert found.path == "decode"
    assert distances(broken, first).values[:2].max() < SHIFT_FLOOR
    switch.write_text("")


async def test_a_fault_while_decoding_is_heard_and_kill_9_of_the_engine_core_is_noticed_and_leaves_nothing(
    embedded_engine: EmbeddedEngine, tmp_path: Path
):
    switch = tmp_path / "sabotage"
    switch.touch()
    launcher = LocalProcess(
        command=[str(embedded_engine.command)],
        model=str(embedded_engine.model),
        served_model="m",
        server_args=ARGUMENTS,
        env={"VLLM_CPU_KVCACHE_SPACE": "1", faults.VARIABLE: str(switch)},
    )
    log = tmp_path / "engine.log"
    async with serve(launcher, log_path=log, startup_seconds=400, on_line=lambda _: None) as server:
        expect = {"moe": "EMULATION", "activation": "fp8", "scheme": "w_mxfp4_a_fp8", "quantization": "quark"}
        assert all(check.ok for check in check_evidence((await server.evidence()), expect, []))
        assert await ask(server.base_url) == 200
        await a_fault_while_decoding_is_heard(server.base_url, switch)

        processes = psutil.Process(server.pid).children(recursive=True)
        core = next(p for p in processes if p.cmdline()[:1] == ["VLLM::EngineCore"])
        asking = [asyncio.create_task(ask(server.base_url)) for _ in range(32)]
        await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        os.kill(core.pid, signal.SIGKILL)
        killed = time.monotonic()
        error = await asyncio.wait_for(server.died(), 60)
        assert time.monotonic() - killed < 30
        # On a quick machine the API server has ended too before the loss of its core is reported.
        assert "VLLM::EngineCore" in str(error) or "the engine exited" in str(error)
        assert "engine core" in str(error).lower()
        await asyncio.gather(*asking)
    assert not [process for process in processes if process.is_running()]
    assert CANARY not in log.read_text()
