"""CausalLM: a language model that learns to answer prompts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from skorch import NeuralNet

from skinfluence.text._hub import load_tokenizer
from skinfluence.text._language_model import LoRALanguageModel
from skinfluence.text._loss import AnswerLoss, answer_losses
from skinfluence.text._text_net import DEFAULTS, TextNet
from skinfluence.text._tokens import TokenRows, pad_ids, read_texts, tokenize_answers, truncate


class CausalLM(TextNet, NeuralNet):
    r"""Language model that learns to answer prompts: a frozen model with low-rank adapters [1]_.

    X holds the prompts and y the answers. Each token of an answer is predicted from the prompt and
    from the earlier tokens of the answer. The loss of a row is the mean over the tokens of its
    answer, including the end-of-text token.

    Parameters
    ----------
    model : str
        Directory or hub name of a model that :class:`transformers.AutoModelForCausalLM` can load;
        see `packaged_model`.
    module : class, default=LoRALanguageModel
        Module of the net. Its parameters include ``module__rank`` (default 8; None trains all
        parameters), ``module__alpha``, ``module__targets``, ``module__layers`` (how many of the
        last layers get adapters) and ``module__dtype``.
    *args : tuple
        Further positional parameters of :class:`skorch.NeuralNet`.
    criterion : class, default=AnswerLoss
        Loss of the logits.
    separator : str, default="\n"
        Text between prompt and answer.
    chat : bool, default=False
        Whether to write the prompt as a turn in the model's chat template, without `separator`.
    max_length : int, default=512
        Maximum number of tokens of a prompt, and also of an answer. Longer prompts are cut at their
        beginning, and longer answers at their end, with a warning.
    max_new_tokens : int, default=64
        Maximum number of tokens that `predict` writes.
    **kwargs : dict
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
        defaults = DEFAULTS | {"lr": 1e-3}
        super().__init__(module, *args, criterion=criterion, **(defaults | kwargs))
        self.model = model
        self.separator = separator
        self.chat = chat
        self.max_length = max_length
        self.max_new_tokens = max_new_tokens

    def _tokenize(self, texts: np.ndarray, y: Any) -> TokenRows:
        """Return prompts and answers; if y is None, only the end of the text is to be predicted."""
        tokenizer = load_tokenizer(self.model)
        prompts = self._tokenize_prompts(tokenizer, texts)
        answers: list[list[int]] = [[] for _ in prompts]
        if y is not None:
            answers = tokenize_answers(y, tokenizer)
            answers = truncate(answers, self.max_length - 1, "end")
        targets = [answer + [tokenizer.eos_token_id] for answer in answers]
        rows = [{"prompt": p, "answer": a} for p, a in zip(prompts, answers, strict=True)]
        return TokenRows(rows, targets)

    def score_samples(self, X: Any, y: Any) -> np.ndarray:
        """Compute the log-likelihood of each answer, as a mean over its tokens.

        Parameters
        ----------
        X : column of str
            Prompts.
        y : column of str
            Answers.

        Returns
        -------
        scores : ndarray of shape (n_samples,), float64
            Higher is better.
        """
        self.check_is_fitted(["module_"])
        found = []
        for batch in self.get_iterator(self.get_dataset(X, y), training=False):
            outputs, targets = self.evaluation_step(batch), batch[1].to(self.device)
            found.append(-answer_losses(outputs, targets).double().cpu())
        return torch.cat(found).numpy()

    def score(self, X: Any, y: Any) -> float:
        """Compute the mean of `score_samples`.

        For the share of exact answers, use :func:`sklearn.metrics.accuracy_score` on `predict`.

        Parameters
        ----------
        X : column of str
            Prompts.
        y : column of str
            Answers.

        Returns
        -------
        score : float
            Higher is better.
        """
        return float(self.score_samples(X, y).mean())

    def predict(self, X: Any) -> np.ndarray:
        """Write an answer to each prompt, choosing the most likely token at each step.

        Parameters
        ----------
        X : column of str
            Prompts.

        Returns
        -------
        answers : ndarray of str of shape (n_samples,)
            Answers, without white space at their beginning and end.
        """
        self.check_is_fitted(["module_"])
        tokenizer, written = load_tokenizer(self.model), []
        prompts = self._tokenize_prompts(tokenizer, read_texts(X, None)[0])
        order = np.argsort([len(p) for p in prompts], kind="stable")
        size = self.get_params_for("iterator_valid").get("batch_size", self.batch_size)
        self.module_.eval()
        for start in range(0, len(order), size):
            ids, mask = pad_ids([prompts[i] for i in order[start : start + size]], left=True)
            new = self.module_.write(
                ids.to(self.device), mask.to(self.device), self.max_new_tokens, tokenizer
            )
            written += tokenizer.batch_decode(new, skip_special_tokens=True)
        answers = np.empty(len(order), dtype=object)
        answers[order] = [text.strip() for text in written]
        return answers.astype(str)

    def _tokenize_prompts(self, tokenizer: Any, texts: np.ndarray) -> list[list[int]]:
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
                f"prompt {empty[0]} has no token from which its answer could be predicted; "
                "give a separator, or drop the row."
            )
        return truncate(ids, self.max_length, "beginning")
