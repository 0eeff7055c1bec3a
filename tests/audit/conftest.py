import pytest


@pytest.fixture
def quick(monkeypatch):
    """The command with a quick detector in place of the nets."""
    from small_audit import QuickDetector

    from skinfluence._audit import job

    monkeypatch.setattr(
        job, "make_detector", lambda options, _: QuickDetector(options.contamination)
    )


@pytest.fixture
def table(tmp_path):
    """Path of a small table with two wrong labels, in the rows 4 and 41."""
    from small_audit import mixed_csv

    path = tmp_path / "my table.csv"
    path.write_text(mixed_csv(), encoding="utf-8", newline="")
    return path
