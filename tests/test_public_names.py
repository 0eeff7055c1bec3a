"""Every public name can be imported from its public path."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import skinfluence

PUBLIC = {
    "skinfluence": [
        "FilteredEstimator",
        "InfluenceSampleSelector",
        "InfluenceScorer",
        "NoisyLabelDetector",
    ],
    "skinfluence.active": [
        "InfluenceQuery",
        "LDMQuery",
        "influence_query_scores",
        "least_disagree_metric",
    ],
    "skinfluence.attacks": [
        "Attack",
        "Crossing",
        "FGSM",
        "FromART",
        "PGD",
    ],
    "skinfluence.columns": ["ColumnEncoder"],
    "skinfluence.curvature": [
        "CG",
        "Curvature",
        "DataInf",
        "EKFAC",
        "Exact",
        "LiSSA",
        "check_curvature",
    ],
    "skinfluence.datasets": [
        "corrupt_answers",
        "flip_labels",
        "load_adult",
        "load_compas",
        "load_german_credit",
        "load_tweets",
        "make_noisy_moons",
        "make_reasoning_tasks",
        "make_sentence_transformations",
        "make_word_problems",
    ],
    "skinfluence.diffusion": [
        "Denoiser",
        "DenoisingDiffusion",
        "VariationalBound",
    ],
    "skinfluence.ensembles": [
        "Checkpoints",
        "Dropout",
        "Ensemble",
        "Member",
        "Seeds",
        "Snapshots",
        "Training",
        "WeightNoise",
    ],
    "skinfluence.images": [
        "Backbone",
        "ImageEmbedder",
        "unreadable",
    ],
    "skinfluence.methods": [
        "InnerProduct",
        "LayerAware",
        "Loss",
        "Margin",
        "Method",
        "OutlierGradients",
        "SelfInfluence",
    ],
    "skinfluence.metrics": [
        "detection_curve",
        "detection_report",
        "leave_one_out_correlation",
        "linear_datamodeling_score",
        "precision_at_k",
    ],
    "skinfluence.nets": [
        "MLP",
        "TabularClassifier",
        "TabularRegressor",
        "split_head",
        "table_batches",
    ],
    "skinfluence.pairwise": [
        "TopRows",
        "gradient_features",
        "influence_matrix",
        "top_rows",
    ],
    "skinfluence.plotting": [
        "AgreementDisplay",
        "DetectionCurveDisplay",
        "ImageGridDisplay",
        "InfluenceDisplay",
        "RemovalCurveDisplay",
        "ScoreDistributionDisplay",
        "SuspectRowsDisplay",
        "SuspectShareDisplay",
        "rows_table",
    ],
    "skinfluence.retraining": [
        "RemovalCurve",
        "brittleness",
        "draw_subsets",
        "leave_one_out",
        "leave_some_out",
        "removal_curve",
        "retrain",
        "row_losses",
    ],
    "skinfluence.rules": [
        "AdaptiveGreedy",
        "Budget",
        "Decision",
        "Reweight",
        "Rule",
        "Threshold",
    ],
    "skinfluence.stream": [
        "score_stream",
    ],
    "skinfluence.subsets": [
        "group_influence",
    ],
    "skinfluence.targets": [
        "DemographicParity",
        "EqualOpportunity",
        "EqualizedOdds",
        "Reference",
        "Robustness",
        "Target",
        "Utility",
        "WeightedSum",
    ],
    "skinfluence.text": [
        "AnswerLoss",
        "CausalLM",
        "EncoderClassifier",
        "LoRALanguageModel",
        "TextClassifier",
        "TextEmbedder",
        "packaged_model",
    ],
}
NAMES = [(module, name) for module, names in PUBLIC.items() for name in names]


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_public_name_can_be_imported(module, name):
    assert hasattr(importlib.import_module(module), name)


@pytest.mark.parametrize("module", PUBLIC)
def test_no_public_name_is_missing_from_this_list(module):
    found = importlib.import_module(module)
    assert set(getattr(found, "__all__", PUBLIC[module])) <= set(PUBLIC[module])


MODULES = sorted(name.removeprefix("skinfluence.") for name in PUBLIC if "." in name)


def test_modules_are_imported_when_they_are_first_used():
    code = (
        "import sys, skinfluence; assert 'skinfluence.pairwise' not in sys.modules; "
        "print(skinfluence.pairwise.top_rows.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("top_rows\n", "")


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_an_attribute_of_the_package(module):
    assert getattr(skinfluence, module) is importlib.import_module(f"skinfluence.{module}")


def test_dir_shows_the_estimators_and_all_public_modules():
    assert set(dir(skinfluence)) >= {*PUBLIC["skinfluence"], *MODULES, "__version__"}


def test_type_checkers_see_all_public_modules():
    tree = ast.parse(Path(skinfluence.__file__).read_text(encoding="utf-8"))
    (block,) = (n for n in ast.walk(tree) if getattr(n, "module", None) == "skinfluence")
    assert [alias.name for alias in block.names] == MODULES


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'skinfluence' has no attribute 'pairwize'"):
        skinfluence.pairwize  # noqa: B018
    assert not hasattr(skinfluence, "__path_of_nothing__")
