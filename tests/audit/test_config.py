"""Options in a TOML file."""

import pytest
from small_audit import run

from skinfluence._audit.config import read_config, read_options, save_config
from skinfluence._audit.options import Options
from skinfluence._audit.table import AuditError


def write(tmp_path, text):
    path = tmp_path / "audit.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_saved_options_are_read_again(tmp_path):
    options = Options(
        table='a "b".csv',
        label="größe",
        contamination=0.25,
        numeric=("a", "b"),
        skip_rows=2,
        no_header=True,
        quiet=True,
    )
    path = str(tmp_path / "audit.toml")
    save_config(path, options)
    assert Options(**read_config(path), quiet=True) == options


def test_names_may_be_those_of_the_command_line(tmp_path):
    text = 'skip-rows = 1\nfail-above = 0\ncontamination = "auto"\nignore = "a"\n'
    assert read_config(write(tmp_path, text)) == {
        "skip_rows": 1,
        "fail_above": 0,
        "contamination": "auto",
        "ignore": ("a",),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("target = 'x'", "'target' in --config is not an option; the options are: action"),
        ("cv = '5'", "cv = '5' in --config: expected a value of type int"),
        ("cv = true", "cv = True in --config: expected a value of type int"),
        ("ignore = [1]", "expected a string or a list of strings"),
        ("action = 'burn'", "expected 'none' or 'drop' or 'relabel'"),
        ("cv = ", "is not a TOML file"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, text, message):
    with pytest.raises(AuditError, match=message):
        read_config(write(tmp_path, text))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(AuditError, match="cannot be read: No such file"):
        read_config(str(tmp_path / "none.toml"))
    with pytest.raises(AuditError, match="cannot be written: No such file"):
        save_config(str(tmp_path / "none" / "x.toml"), Options())


def test_the_command_line_comes_before_the_file(quick_audit, audit_table, tmp_path, capsys):
    path = write(tmp_path, f'table = "{audit_table}"\nlabel = "kind"\ntop = 1\nembed = "none"\n')
    saved = tmp_path / "saved.toml"
    arguments = ["--config", path, "--top", "2", "--save-config", saved, "--output", tmp_path / "o"]
    assert run(*arguments) == 0
    assert "label     kind\n" in capsys.readouterr().out
    again = read_config(str(saved))
    assert (again["top"], again["label"]) == (2, "kind")


def test_an_option_of_the_command_line_comes_first_even_if_it_is_the_default(tmp_path):
    path = write(tmp_path, "cv = 3\nseed = 7\n")
    options = read_options(Options, {"config": path, "cv": 5})
    assert (options.cv, options.seed) == (5, 7)
