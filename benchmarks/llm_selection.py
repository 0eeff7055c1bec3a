"""Which rows should a language model be fine-tuned on? SmolLM2-135M, LoRA on its last four layers.

    python benchmarks/llm_selection.py --output docs/_static

The data are three families of tasks, modeled on the tasks of the DataInf paper. Each family has ten
classes. The benchmark has four parts:

(a) Do the training rows of a reference row's class get the highest scores? AUC and recall@90 are
    measured for each family. Gradients are computed before and after fine-tuning, and for the loss
    of the answers and of the whole texts.
(b) Does selection help? Given the reference rows of one class, a tenth of the training rows is
    selected, and the model is fine-tuned on it. This model is compared with models fine-tuned on a
    random tenth and on all rows, by the loss and the share of exact answers on other rows of the
    class.
(c) 30 % of the answers are swapped. Are the wrong answers found, and does it help to drop as many
    rows?
(d) How long does scoring take, as a multiple of one forward and backward pass over the same rows?

Needs `pip install "skinfluence[text]" rank-bm25` and the models of requirements-data.txt. With
--cache, finished parts and families are not computed again.
"""

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import torch
from intervals import shown, shown_ratio
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import accuracy_score, average_precision_score, roc_auc_score
from sklearn.utils import Bunch

from skinfluence import InfluenceSampleSelector, InfluenceScorer
from skinfluence._core.influence import row_scores
from skinfluence._core.net import FunctionalNet
from skinfluence.curvature import EKFAC
from skinfluence.datasets import corrupt_answers, make_sentence_transformations, make_word_problems
from skinfluence.ensembles import Dropout
from skinfluence.methods import Loss, SelfInfluence
from skinfluence.pairwise import gradient_features, influence_matrix
from skinfluence.rules import Budget
from skinfluence.text import CausalLM, TextEmbedder, packaged_model

try:
    from rank_bm25 import BM25Okapi
except ImportError:
    BM25Okapi = None

FAMILIES: dict[str, Callable] = {
    "sentences": make_sentence_transformations,
    "maths": lambda **sizes: make_word_problems(reasoning=False, **sizes),
    "maths, reasoned": lambda **sizes: make_word_problems(reasoning=True, **sizes),
}


def language_model(epochs, **params):
    defaults = {"module__layers": 4, "module__cache": True, "lr": 2e-3}
    return CausalLM(
        packaged_model("smollm2"),
        batch_size=16,
        max_epochs=epochs,
        max_new_tokens=48,
        **(defaults | params),
    )


def fitted(net, prompts, answers, seed):
    torch.manual_seed(seed)
    return net.fit(list(prompts), list(answers))


# (a) ----------------------------------------------------------------------------------------------


class Rows:
    """Row gradients at several states of a net, and scores from their products."""

    def __init__(self, scorers, task):
        self.sizes = [p.numel() for p in scorers[0]._functional_net().params.values()]
        everything = 10**9  # no projection
        self.train, self.reference = (
            [gradient_features(s, *rows, n_components=everything) for s in scorers]
            for rows in ((task.prompts, task.answers), (task.prompts_test, task.answers_test))
        )

    def product(self, k):
        return self.train[k] @ self.reference[k].T

    def cosine(self, k):
        return unit(self.train[k]) @ unit(self.reference[k]).T

    def parts(self, k):
        """Gradients of the training rows and of the reference rows, for each parameter tensor."""
        ends = np.cumsum(self.sizes)[:-1]
        both = (np.split(side[k], ends, 1) for side in (self.train, self.reference))
        return zip(*both, strict=True)

    def by_layer(self, k):
        return sum(unit(a) @ unit(b).T for a, b in self.parts(k))

    def ensemble(self):
        return sum(self.product(k) for k in range(len(self.train)))

    def cosine_ensemble(self):
        return sum(self.cosine(k) for k in range(len(self.train)))

    def datainf(self, k):
        """The closed form of `skinfluence.curvature.DataInf`, from the stored gradients."""
        total = 0
        for a, b in self.parts(k):
            lam = np.square(a, dtype=np.float64).mean() / 10
            if lam > 0:
                own = a @ a.T
                shares = (a @ b.T) / (lam + np.diag(own))[:, None]
                total = total + (a @ b.T - own @ shares / len(a)) / lam
        return total


def unit(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)


def whole_texts(task):
    """The same rows with the whole text as the answer, so that the loss includes the prompt."""
    found = Bunch()
    for suffix in ("", "_test"):
        prompts, answers = task["prompts" + suffix], task["answers" + suffix]
        found["prompts" + suffix] = np.full(len(prompts), "", dtype=object)
        pairs = zip(prompts, answers, strict=True)
        found["answers" + suffix] = np.array([f"{p}\n{a}" for p, a in pairs], dtype=object)
    return found


def embedded(task):
    embedder = TextEmbedder(packaged_model("minilm"))
    both = (
        [f"{p} {a}" for p, a in zip(*rows, strict=True)]
        for rows in ((task.prompts, task.answers), (task.prompts_test, task.answers_test))
    )
    train, reference = (embedder.fit_transform(texts) for texts in both)
    return train @ reference.T


def bm25(task):
    words = [f"{p} {a}".lower().split() for p, a in zip(task.prompts, task.answers, strict=True)]
    index = BM25Okapi(words)
    asked = zip(task.prompts_test, task.answers_test, strict=True)
    return np.stack([index.get_scores(f"{p} {a}".lower().split()) for p, a in asked], 1)


def matrices(family, task, seed, slow, say):
    """The (n_train, n_reference) scores and the seconds of each method."""
    found, seconds = {}, {}

    def timed(name, make, extra=0.0):
        start = time.perf_counter()
        found[name] = make()
        seconds[name] = time.perf_counter() - start + extra
        say(f"{family}: {name} {seconds[name]:.0f} s")

    start = time.perf_counter()
    net = fitted(language_model(2, lr=5e-4), task.prompts, task.answers, seed)
    say(f"{family}: training {time.perf_counter() - start:.0f} s")
    # Gradients are taken at the initial adapters and at the trained ones.
    torch.manual_seed(seed)
    states = {"before training": language_model(2).initialize(), "after training": net}
    few = slice(0, None, max(len(task.prompts) // 12, 1))
    known = {"X_val": task.prompts_test[::20], "y_val": task.answers_test[::20]}

    def scorer_of(model, rows=few, **params):
        scorer = InfluenceScorer(FrozenEstimator(model), check_gradients=False, **params)
        return scorer.fit(task.prompts[rows], task.answers[rows], **known)

    scorers = [scorer_of(model) for model in states.values()]
    start = time.perf_counter()
    rows = Rows(scorers, task)
    gradients = (time.perf_counter() - start) / len(states)
    for k, state in enumerate(states):
        timed(f"{state}: inner product", lambda k=k: rows.product(k), gradients)
        timed(f"{state}: unit rows", lambda k=k: rows.cosine(k), gradients)
        timed(f"{state}: unit layers", lambda k=k: rows.by_layer(k), gradients)
        timed(f"{state}: DataInf", lambda k=k: rows.datainf(k), gradients)
    timed("both: inner product", rows.ensemble, gradients * len(states))
    timed("both: unit rows", rows.cosine_ensemble, gradients * len(states))
    start = time.perf_counter()
    texts = Rows(scorers[:1], whole_texts(task))
    gradients = time.perf_counter() - start
    timed("before training, whole text: inner product", lambda: texts.product(0), gradients)
    timed("before training, whole text: unit rows", lambda: texts.cosine(0), gradients)
    timed("before training, whole text: unit layers", lambda: texts.by_layer(0), gradients)
    timed("before training, whole text: DataInf", lambda: texts.datainf(0), gradients)
    if slow:
        asked = (task.prompts, task.answers, task.prompts_test, task.answers_test)

        def ensemble():
            model = states["before training"]
            return influence_matrix(scorer_of(model, ensemble=Dropout(), random_state=seed), *asked)

        def ekfac():
            curved = scorer_of(net, slice(None), curvature=EKFAC(), random_state=seed)
            return influence_matrix(curved, *asked)

        timed("before training: IP Ensemble", ensemble)
        timed("after training: EK-FAC", ekfac)
    timed("embedding (MiniLM)", lambda: embedded(task))
    timed("BM25", lambda: bm25(task))
    return net, found, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def detection(found, task):
    """AUC and recall@90 for each reference row."""
    rows = []
    for name, matrix in found.items():
        for j, wanted in enumerate(task.classes_test):
            same = task.classes == wanted
            first = np.argsort(-matrix[:, j], kind="stable")[: same.sum()]
            rows.append((name, roc_auc_score(same, matrix[:, j]), same[first].mean()))
    return pd.DataFrame(rows, columns=["method", "auc", "recall"])


# (b) ----------------------------------------------------------------------------------------------


def evaluated(net, prompts, answers):
    loss = -net.score(list(prompts), list(answers))
    return loss, accuracy_score(answers, net.predict(list(prompts)))


def tuning(family, task, everything, found, seeds, say):
    """Loss and exact answers on rows of a class, for each set of rows to fine-tune on."""
    rows = []
    fresh = FAMILIES[family](n_train_per_class=1, n_test_per_class=20, random_state=1)
    for seed in seeds:
        rng = np.random.RandomState(seed)
        wanted = np.unique(task.classes)[rng.randint(10)]
        known = task.classes_test == wanted
        new = (fresh.classes_test == wanted) & ~np.isin(fresh.prompts_test, task.prompts)
        exam = fresh.prompts_test[new], fresh.answers_test[new]
        n = len(task.prompts) // 10
        chosen = {
            name: np.argsort(-found[name][:, known].mean(1), kind="stable")[:n] for name in SELECTED
        }
        chosen["random"] = rng.permutation(len(task.prompts))[:n]
        fixed = {"all rows": everything, "no row": language_model(1).initialize()}
        for name, net in fixed.items():
            rows.append((family, seed, wanted, name, *evaluated(net, *exam)))
        for name, index in chosen.items():
            net = fitted(language_model(3), task.prompts[index], task.answers[index], seed)
            rows.append((family, seed, wanted, name, *evaluated(net, *exam)))
        say(f"{family}: seed {seed}, class {wanted}")
    found = pd.DataFrame(rows, columns=["family", "seed", "class", "rows", "loss", "exact"])
    # Classes differ far more than selections, so ratios are taken within a class and a seed.
    by_chance = found[found["rows"] == "random"].set_index(["seed", "class"])["loss"]
    keys = pd.MultiIndex.from_frame(found[["seed", "class"]])
    found["loss over random's"] = found["loss"].to_numpy() / by_chance.loc[keys].to_numpy()
    return found


SELECTED = (
    "before training: unit rows",
    "before training, whole text: unit layers",
    "embedding (MiniLM)",
)


# (c) ----------------------------------------------------------------------------------------------


def corrupted(family, task, seeds, say, share=0.3):
    """Average precision of finding swapped answers, and the loss after dropping as many rows."""
    found, after = [], []
    for seed in seeds:
        rng = np.random.RandomState(seed)
        some = np.concatenate(
            [
                rng.permutation(np.flatnonzero(task.classes == c))[:10]
                for c in np.unique(task.classes)
            ]
        )
        prompts, clean = task.prompts[some], task.answers[some]
        answers, wrong = corrupt_answers(
            clean, share, classes=task.classes[some], random_state=seed
        )
        trusted = {"X_val": task.prompts_test[::2], "y_val": task.answers_test[::2]}
        exam = list(task.prompts_test[1::2]), list(task.answers_test[1::2])
        net = fitted(language_model(2), prompts, answers, seed)
        torch.manual_seed(seed)
        untrained = language_model(2).initialize()
        methods = {
            "inner product": (net, {}),
            "unit rows": (net, {"normalize": "both"}),
            "unit rows, before training": (untrained, {"normalize": "both"}),
            "self-influence": (net, {"method": SelfInfluence()}),
            "loss": (net, {"method": Loss()}),
            "loss, before training": (untrained, {"method": Loss()}),
        }
        kept = {"all rows": np.arange(len(some)), "clean rows": np.flatnonzero(~wrong)}
        for name, (model, params) in methods.items():
            scorer = InfluenceScorer(FrozenEstimator(model), check_gradients=False, **params)
            selector = InfluenceSampleSelector(scorer, Budget(share), random_state=seed)
            selector.fit(list(prompts), list(answers), **trusted)
            found.append((family, seed, name, average_precision_score(wrong, -selector.scores_)))
            kept[name] = selector.sample_indices_
        kept["random rows"] = np.sort(rng.permutation(len(some))[: len(kept["loss"])])
        for name, index in kept.items():
            net = fitted(language_model(2), prompts[index], answers[index], seed)
            after.append((family, seed, name, -net.score(*exam)))
        say(f"{family}: corrupted, seed {seed}")
    names = ["family", "seed"]
    return (
        pd.DataFrame(found, columns=[*names, "method", "ap"]),
        pd.DataFrame(after, columns=[*names, "rows", "loss"]),
    )


# (d) ----------------------------------------------------------------------------------------------


def passes(task, n, say):
    """Ratio of scoring time to a training step without the optimizer, in turns of 40 rows."""
    prompts, answers = np.array(task.prompts)[:n], np.array(task.answers)[:n]
    rows = []
    for layers, cache in ((4, False), (4, True), (None, False)):
        net = language_model(1, module__layers=layers, module__cache=cache)
        net.set_params(batch_size=8)
        fnet = FunctionalNet(net.initialize())
        U = {name: torch.randn(1, *p.shape) for name, p in fnet.params.items()}

        def step(some, fnet=fnet, net=net):
            for X, y in fnet.batches(prompts[some], answers[some]):
                net.criterion_(net.module_(**X), y).backward()

        def score(some, fnet=fnet, U=U):
            row_scores(fnet, U, prompts[some], answers[some])

        if cache:  # fill the cache before timing
            score(slice(None))
        step(slice(8)), score(slice(8))
        seconds = []
        for start in range(0, n, 40):
            for work in (step, score):
                begin = time.perf_counter()
                work(slice(start, start + 40))
                seconds.append(time.perf_counter() - begin)
        steps, scores = np.reshape(seconds, (-1, 2)).sum(0)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        rows.append((layers or "all", cache, n, steps, scores, peak, scores / steps))
        say(f"layers {layers}, cache {cache}: {rows[-1][-1]:.2f} passes")
    names = ["layers", "cache", "rows", "pass (s)", "scoring (s)", "peak (GB)", "passes"]
    return pd.DataFrame(rows, columns=names).round(3)


# --------------------------------------------------------------------------------------------------


SHOWN = {
    "auc": shown,
    "recall": shown,
    "loss": shown,
    "loss over random's": shown_ratio,
    "exact": shown,
    "ap": shown,
}


def by_method(table):
    """One row per method, with columns for each family."""
    wide = table.set_index(["method", "family"]).unstack(sort=False)
    return wide.set_axis([", ".join(pair) for pair in wide], axis=1).fillna("").reset_index()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="directory for the tables")
    parser.add_argument("--cache", type=Path, help="directory in which results are kept")
    parser.add_argument("--families", nargs="+", choices=list(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--train", type=int, default=90, help="rows per class (default: 90)")
    parser.add_argument(
        "--test", type=int, default=10, help="reference rows per class (default: 10)"
    )
    parser.add_argument(
        "--seeds", type=int, default=3, help="fine-tunings of parts b and c (default: 3)"
    )
    parser.add_argument(
        "--cost-rows", type=int, default=1000, help="rows of part d (default: 1000)"
    )
    parser.add_argument("--slow", action="store_true", help="also IP Ensemble and EK-FAC in part a")
    parser.add_argument("--parts", default="abcd", help="(default: abcd)")
    args = parser.parse_args()
    if BM25Okapi is None:
        parser.error("rank_bm25 is not installed: pip install rank-bm25")
    begin = time.perf_counter()

    def say(text):
        print(f"[{time.perf_counter() - begin:6.0f} s] {text}", flush=True)

    keep = joblib.Memory(args.cache, verbose=0).cache if args.cache else (lambda f, **_: f)
    of_matrices = keep(matrices, ignore=["say"])
    of_tuning = keep(tuning, ignore=["everything", "say"])
    of_corrupted = keep(corrupted, ignore=["say"])
    parts = {"a": [], "cost": [], "b": [], "c": [], "c_after": [], "d": []}
    if "d" in args.parts:
        task = make_sentence_transformations(n_train_per_class=100, random_state=0)
        parts["d"].append(passes(task, args.cost_rows, say))
    for family in args.families if set(args.parts) & set("abc") else ():
        task = FAMILIES[family](
            n_train_per_class=args.train, n_test_per_class=args.test, random_state=0
        )
        net, found, seconds, memory = of_matrices(family, task, 0, args.slow, say)
        if "a" in args.parts:
            parts["a"].append(detection(found, task).assign(family=family))
            of_method = pd.Series(seconds).round().astype(int)
            cost = {"family": family, "seconds": of_method, "peak_gb": round(memory, 1)}
            parts["cost"].append(pd.DataFrame(cost).rename_axis("method").reset_index())
        if "b" in args.parts:
            parts["b"].append(of_tuning(family, task, net, found, range(args.seeds), say))
        if "c" in args.parts:
            ap, after = of_corrupted(family, task, range(args.seeds), say)
            parts["c"].append(ap)
            parts["c_after"].append(after)
    keys = {
        "a": ["family", "method"],
        "b": ["family", "rows"],
        "c": ["family", "method"],
        "c_after": ["family", "rows"],
    }
    for name, frames in parts.items():
        if not frames:
            continue
        table = pd.concat(frames)
        if name in keys:
            numbers = [name for name in SHOWN if name in table]
            groups = table.groupby(keys[name], sort=False)[numbers]
            table = groups.agg({number: SHOWN[number] for number in numbers}).reset_index()
        if name == "a":
            table = by_method(table)
        print("\n", table.to_string(index=False))
        if args.output:
            table.to_csv(args.output / f"llm_{name}.csv", index=False)
    say("done")


if __name__ == "__main__":
    main()
