"""How long does scoring take, as a multiple of one forward and backward pass over the same rows?

    python benchmarks/scoring_cost.py [--rows 16384] [--repeats 11] [--device cpu]
    python benchmarks/scoring_cost.py --profile
    python benchmarks/scoring_cost.py --compile
    python benchmarks/scoring_cost.py --autocast
    python benchmarks/scoring_cost.py --device cuda --nets "ResNet-18" "MiniLM-size encoder"
    python benchmarks/scoring_cost.py --device cuda --nets "decoder 1B, LoRA" --batch-size 16

For each net, the benchmark times

- one plain pass, which is a forward and a backward pass as in training, but without the optimizer;
- scoring by one forward-mode pass, scoring with normalized rows, and scoring along ten directions;
- self-influence;
- per-row gradients by vmap, for 256 rows or as many as fit into 1 GB; the time is scaled to all
  rows.

The passes run in turn in one process, in several rounds. Each time is divided by the time of the
plain pass of the same round, and the median of these ratios is reported. Memory is the peak rise of
the memory of the process or of the GPU. It is measured in a plain pass, in scoring (including the
direction), and in scoring four times as many rows. --profile shows where the time goes, --compile
tries torch.compile, and --autocast tries bfloat16.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from functools import cache, partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from skorch import NeuralNetClassifier
from torch import nn
from torch.profiler import ProfilerActivity, profile

from skinfluence._core.directions import Objective, directions
from skinfluence._core.gradients import forward, pushforward, row_gradients
from skinfluence._core.influence import row_scores
from skinfluence._core.kernels import plain_kernels
from skinfluence._core.net import FunctionalNet
from skinfluence._core.pairs import self_influences
from skinfluence.targets import Utility


class Block(nn.Module):
    """Two convolutions with BatchNorm and a shortcut."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.shortcut = nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, X):
        return torch.relu(self.path(X) + self.shortcut(X))


class Encoder(nn.Module):
    """Transformer encoder over token ids."""

    def __init__(self, tokens: int = 1000, width: int = 128, layers: int = 2) -> None:
        super().__init__()
        self.embed = nn.Embedding(tokens, width)
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, 10)

    def forward(self, X):
        return self.head(self.layers(self.embed(X)).mean(1))


class Decoder(nn.Module):
    """A Llama with 1.1 billion random weights, adapters of rank 8 and a head."""

    def __init__(self) -> None:
        super().__init__()
        from peft import LoraConfig, get_peft_model
        from transformers import LlamaConfig, LlamaModel

        config = LlamaConfig(
            vocab_size=32000,
            hidden_size=2048,
            intermediate_size=8192,
            num_hidden_layers=16,
            num_attention_heads=32,
            num_key_value_heads=8,
            attn_implementation="eager",  # the fused one has no forward mode
            use_cache=False,
        )
        adapters = LoraConfig(r=8, target_modules=["q_proj", "v_proj"])
        self.body = get_peft_model(LlamaModel(config), adapters)
        self.head = nn.Linear(2048, 10)

    def forward(self, X):
        return self.head(self.body(input_ids=X).last_hidden_state.mean(1))


def resnet18() -> nn.Module:
    widths = [(64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)]
    blocks = [b for a, c, s in widths for b in (Block(a, c, s), Block(c, c, 1))]
    stem = nn.Sequential(nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU())
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))
    return nn.Sequential(stem, *blocks, head)


def mlp(*widths: int) -> nn.Module:
    layers = [m for a, b in pairwise(widths) for m in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def table(n: int, rng) -> np.ndarray:
    return rng.standard_normal((n, 64), dtype=np.float32)


def images(n: int, rng, side: int = 16) -> np.ndarray:
    return rng.standard_normal((n, 3, side, side), dtype=np.float32)


def words(n: int, rng, tokens: int = 1000) -> np.ndarray:
    return rng.integers(0, tokens, (n, 32))


NETS = {
    "MLP 0.1M": (lambda: mlp(64, 256, 256, 64, 10), table, 1),
    "MLP 1M": (lambda: mlp(64, 1024, 896, 64, 10), table, 1),
    "ResNet-like CNN": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 16, 3, 1, 1), Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
        ),
        images,
        8,
    ),
    "transformer encoder": (Encoder, words, 8),
}  # fmt: skip
LARGE = {  # for a GPU
    "ResNet-18": (resnet18, partial(images, side=32), 1),
    "MiniLM-size encoder": (lambda: Encoder(30522, 384, 6), partial(words, tokens=30522), 1),
    "decoder 1B, LoRA": (Decoder, partial(words, tokens=32000), 8),
}
GRADIENTS = 2**28  # numbers in the row gradients that vmap forms: 1 GB of float32


def problem(name: str, rows: int, batch_size: int, device: str):
    module, make_rows, shrink = (NETS | LARGE)[name]
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    n = max(batch_size, rows // shrink)
    net = NeuralNetClassifier(
        module(),
        criterion=nn.CrossEntropyLoss,
        train_split=None,
        batch_size=batch_size,
        iterator_valid__batch_size=batch_size,
        device=device,
    ).initialize()
    return net, make_rows(n, rng), rng.integers(0, 10, n)


def plain_pass(net, X, y) -> None:
    """Forward, loss and backward over all rows, in eval mode like the scores."""
    module = net.module_.eval()
    for start in range(0, len(y), net.batch_size):
        rows = slice(start, start + net.batch_size)
        Xb = torch.as_tensor(X[rows], device=net.device)
        yb = torch.as_tensor(y[rows], device=net.device)
        nn.functional.cross_entropy(module(Xb), yb).backward()
        module.zero_grad()
    synchronize()


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def tasks(net, X, y):
    fnet = FunctionalNet(net)
    m = min(len(y), 512)
    u = directions(fnet, Objective(Utility(), X[:m], y[:m], True))

    @cache  # made only where it is used, so that it takes no memory elsewhere
    def ten() -> dict[str, torch.Tensor]:
        return {name: torch.randn(10, *p.shape, device=p.device) for name, p in fnet.params.items()}

    def vmap() -> None:
        some = slice(0, few(net, y))
        Xb, yb = next(iter(fnet.batches(X[some], y[some])))
        row_gradients(fnet, Xb, fnet.cotangents(forward(fnet, Xb), Xb, yb))

    return {
        "plain": lambda: plain_pass(net, X, y),
        "scores": lambda: row_scores(fnet, u, X, y),
        "normalized scores": lambda: row_scores(fnet, u, X, y, normalize=True),
        "ten directions": lambda: row_scores(fnet, ten(), X, y),
        "self-influence": lambda: self_influences(fnet, X, y),
        "vmap": vmap,
    }


def few(net, y) -> int:
    """Number of rows whose gradients are formed: 256, or as many as fit into memory."""
    width = sum(p.numel() for p in net.module_.parameters() if p.requires_grad)
    return max(1, min(256, len(y), GRADIENTS // width))


def timed(function) -> float:
    start = time.perf_counter()
    function()
    synchronize()
    return time.perf_counter() - start


def ratios(name: str, rows: int, repeats: int, batch_size: int, device: str) -> dict[str, float]:
    net, X, y = problem(name, rows, batch_size, device)
    work = tasks(net, X, y)
    for function in work.values():
        function()
    times = {key: [] for key in work}
    for _ in range(repeats):
        for key, function in work.items():
            times[key].append(timed(function))
    scale = {"vmap": len(y) / few(net, y)}
    plain = times["plain"]
    found = {
        key: scale.get(key, 1) * statistics.median(t / p for t, p in zip(ts, plain, strict=True))
        for key, ts in times.items()
    }
    parameters = sum(p.numel() for p in net.module_.parameters())
    return {"parameters": parameters, "rows": len(y), "seconds": statistics.median(plain)} | found


def peak(name: str, rows: int, batch_size: int, device: str, queue) -> None:
    net, X, y = problem(name, rows, batch_size, device)
    tasks(net, X[:batch_size], y[:batch_size])["scores"]()  # warm-up
    grown = grown_on_gpu if "cuda" in device else grown_on_cpu
    queue.put([grown(lambda: plain_pass(net, X, y)), grown(lambda: tasks(net, X, y)["scores"]())])


def grown_on_gpu(function) -> float:
    """Rise of the GPU's peak memory while the function runs, in MB."""
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    function()
    return (torch.cuda.max_memory_allocated() - before) / 1e6


def grown_on_cpu(function) -> float:
    """Rise of the process's peak memory while the function runs, in MB (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak to the current memory
    before = held("VmRSS")
    function()
    return (held("VmHWM") - before) / 1e6


def held(what: str) -> int:
    """Bytes of this process (Linux): VmRSS now, VmHWM at the peak."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split(what + ":")[1].split()[0])


def measured_peak(*args) -> list[float]:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=peak, args=(*args, queue))
    process.start()
    result = queue.get()
    process.join()
    return result


def shares(name: str, rows: int, batch_size: int) -> str:
    """Shares of the scoring time by operation, from torch's profiler."""
    net, X, y = problem(name, rows, batch_size, "cpu")
    work = tasks(net, X, y)["scores"]
    work()
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        seconds = timed(work)
    events = sorted(seen.key_averages(), key=lambda e: -e.self_cpu_time_total)
    total = sum(e.self_cpu_time_total for e in events)
    most = ", ".join(f"{e.key} {e.self_cpu_time_total / total:.0%}" for e in events[:6])
    return f"{name}: {total / 1e6 / seconds:.0%} of the time in torch's operations: {most}"


def in_half(name: str, rows: int, batch_size: int) -> str:
    """Time with autocast to bfloat16, and rank correlation of the scores with float32."""
    net, X, y = problem(name, rows, batch_size, "cpu")
    work = tasks(net, X, y)["scores"]

    def half():
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            return work()

    agreement = spearmanr(np.ravel(work()), np.ravel(half())).statistic
    times = [(timed(work), timed(half)) for _ in range(5)]
    before, after = (statistics.median(side) for side in zip(*times, strict=True))
    return f"{name}: {after / before:.2f} of the time; rank correlation {agreement:.4f}"


def compiled(name: str, rows: int, batch_size: int) -> str:
    """Time of a compiled forward-mode pass over one batch, and of its compilation."""
    net, X, _ = problem(name, batch_size, batch_size, "cpu")
    fnet, Xb = FunctionalNet(net), torch.as_tensor(X[:batch_size])
    u = {key: torch.randn_like(p) for key, p in fnet.params.items()}
    U = {key: t.unsqueeze(0) for key, t in u.items()}
    call = partial(torch.func.functional_call, net.module_.eval())
    fast = torch.compile(lambda: torch.func.jvp(lambda p: call(p, (Xb,)), (fnet.params,), (u,)))
    with plain_kernels(fnet):
        compilation = timed(fast)
        times = [(timed(lambda: pushforward(fnet, Xb, U)), timed(fast)) for _ in range(15)]
    before, after = (statistics.median(side) for side in zip(*times, strict=True))
    rows = batch_size * compilation / (before - after)
    said = f"pays off after {rows:,.0f} rows" if rows > 0 else "never pays off"
    return f"{name}: {after / before:.2f} of the time; {compilation:.0f} s of compilation, {said}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=16384)
    every = [*NETS, *LARGE]
    parser.add_argument("--nets", nargs="+", default=list(NETS), choices=every, metavar="NET")
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, help="directory for scoring_cost.csv")
    for flag, look, what in (
        ("--profile", shares, "only show where the time goes"),
        ("--compile", compiled, "only try torch.compile"),
        ("--autocast", in_half, "only try bfloat16 by torch.autocast"),
    ):
        parser.add_argument(flag, dest="look", action="store_const", const=look, help=what)
    args = parser.parse_args()
    print(f"torch {torch.__version__}, {args.device}, {torch.get_num_threads()} threads")
    if args.look:
        for name in args.nets:
            print(args.look(name, args.rows, args.batch_size), flush=True)
        return
    found = []
    for name in args.nets:
        r = ratios(name, args.rows, args.repeats, args.batch_size, args.device)
        plain, scores = measured_peak(name, args.rows, args.batch_size, args.device)
        _, scores_4x = measured_peak(name, 4 * args.rows, args.batch_size, args.device)
        memory = {"plain": plain, "scores": scores, "scores, 4x rows": scores_4x}
        found.append(
            {"net": name, "parameters": r.pop("parameters"), "rows": r.pop("rows")}
            | {"plain pass, s": f"{r.pop('seconds'):.3f}"}
            | {key: f"{value:.2f}" for key, value in r.items() if key != "plain"}
            | {f"MB, {key}": f"{value:.1f}" for key, value in memory.items()}
        )
        print(found[-1], flush=True)
    if args.output:
        pd.DataFrame(found).to_csv(args.output / "scoring_cost.csv", index=False)


if __name__ == "__main__":
    main()
