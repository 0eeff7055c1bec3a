"""The language model."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from skorch import NeuralNet

from skinfluence.text._hub import _tokenizer
from skinfluence.text._language_model import LoRALanguageModel
from skinfluence.text._loss import AnswerLoss, answer_losses
from skinfluence.text._text_net import _DEFAULTS, _ReadsText
from skinfluence.text._tokens import _answers, _cut, _padded, _read, _Tokens


class CausalLM(_ReadsText, NeuralNet):
    r"""Language model that learns to answer prompts, by low-rank adapters [1]_ on a frozen model.

    X are the prompts, y the answers. The loss of a row is the mean over the tokens of its answer
    (and the end of text after it), each predicted from the prompt and the tokens before it.

    Parameters
    ----------
    model : str
        Directory or hub name, anything that :class:`transformers.AutoModelForCausalLM` opens; see
        `packaged_model`.
    module : class, default=LoRALanguageModel
        ``module__rank`` (8; None trains all parameters), ``module__alpha``, ``module__targets``,
        ``module__layers`` (how many of the last layers get adapters), ``module__dtype``.
    separator : str, default="\n"
        Stands between prompt and answer.
    chat : bool, default=False
        Write the prompt as a turn of the model's own chat template instead.
    max_length : int, default=512
        Tokens of a prompt, and of an answer; longer prompts are cut at their beginning and longer
        answers at their end, with a warning.
    max_new_tokens : int, default=64
        Tokens that `predict` writes at most.
    **kwargs
        Any parameter of :class:`skorch.NeuralNet`, such as ``lr`` (default 1e-3), ``max_epochs``
        (3), ``batch_size`` (16).

    References
    ----------
    .. [1] Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022.

    Examples
    --------
    >>> from skinfluence import InfluenceScorer
    >>> from skinfluence.text import CausalLM, packaged_model
    >>> prompts, answers = ["2 + 3 =", "4 + 4 =", "Spell cat"], ["5", "8", "c a t"]
    >>> net = CausalLM(packaged_model("smollm2"), module__layers=1, max_epochs=1)
    >>> scorer = InfluenceScorer(net, random_state=0)
    >>> scorer.fit(prompts, answers, X_val=["1 + 1 ="], y_val=["2"]).scores_.shape
    (3,)
    """

    def __init__(
        self,
        model: Any,
        module: Any = None,
        *args: Any,
        criterion: Any = None,
        separator: str = "\n",
        chat: bool = False,
        max_length: int = 512,
        max_new_tokens: int = 64,
        **kwargs: Any,
    ) -> None:
        module = LoRALanguageModel if module is None else module
        criterion = AnswerLoss if criterion is None else criterion
        defaults = _DEFAULTS | {"lr": 1e-3}
        super().__init__(module, *args, criterion=criterion, **(defaults | kwargs))
        self.model = model
        self.separator = separator
        self.chat = chat
        self.max_length = max_length
        self.max_new_tokens = max_new_tokens

    def _tokens(self, texts: np.ndarray, y: Any) -> _Tokens:
        """Of prompts and answers; without answers, of the end of text alone."""
        tokenizer = _tokenizer(self.model)
        prompts = self._prompts(tokenizer, texts)
        answers: list[list[int]] = [[] for _ in prompts]
        if y is not None:
            answers = _answers(y, tokenizer)
            answers = _cut(answers, self.max_length - 1, "end")
        ends = [answer + [tokenizer.eos_token_id] for answer in answers]
        # What is predicted from: the prompt and, for each token of the answer, those before it.
        rows = [{"prompt": p, "answer": a} for p, a in zip(prompts, answers, strict=True)]
        return _Tokens(rows, ends)

    def score_samples(self, X: Any, y: Any) -> np.ndarray:
        """Log-likelihood of each answer, (n,): the mean over its tokens; higher is better."""
        self.check_is_fitted(["module_"])
        found = []
        for batch in self.get_iterator(self.get_dataset(X, y), training=False):
            outputs, targets = self.evaluation_step(batch), batch[1].to(self.device)
            found.append(-answer_losses(outputs, targets).double().cpu())
        return torch.cat(found).numpy()

    def score(self, X: Any, y: Any) -> float:
        """Mean of `score_samples`; for the share of exact answers use ``accuracy_score``."""
        return float(self.score_samples(X, y).mean())

    def predict(self, X: Any) -> np.ndarray:
        """Write an answer to each prompt, token by token the most likely one; (n,) of str."""
        self.check_is_fitted(["module_"])
        tokenizer, written = _tokenizer(self.model), []
        prompts = self._prompts(tokenizer, _read(X, None)[0])
        order = np.argsort([len(p) for p in prompts], kind="stable")
        size = self.get_params_for("iterator_valid").get("batch_size", self.batch_size)
        self.module_.eval()
        for start in range(0, len(order), size):
            ids, mask = _padded([prompts[i] for i in order[start : start + size]], left=True)
            new = self.module_.write(
                ids.to(self.device), mask.to(self.device), self.max_new_tokens, tokenizer
            )
            written += tokenizer.batch_decode(new, skip_special_tokens=True)
        answers = np.empty(len(order), dtype=object)
        answers[order] = [text.strip() for text in written]
        return answers.astype(str)

    def _prompts(self, tokenizer: Any, texts: np.ndarray) -> list[list[int]]:
        if self.chat:
            turns = [[{"role": "user", "content": text}] for text in texts]
            written = tokenizer.apply_chat_template(
                turns, add_generation_prompt=True, tokenize=False
            )
            ids = tokenizer(written, add_special_tokens=False).input_ids
        else:
            ids = tokenizer([text + self.separator for text in texts]).input_ids
        empty = [i for i, row in enumerate(ids) if not row]
        if empty:
            raise ValueError(
                f"prompt {empty[0]} has no token, and there is nothing to predict its answer from; "
                "give a separator, or drop the row."
            )
        return _cut(ids, self.max_length, "beginning")
