"""suspects.csv and cleaned.csv: lines of the input, untouched but for what the audit is about."""

ADDED = ("row", "given_label", "suggested_label", "score")


def write_suspects(path, table, findings):
    """The suspects, most suspect first, behind four columns of our own."""
    header = [*added_names(table.names), *table.names]
    with _open(path, table) as file:
        file.write(table.format_row(header))
        for i in findings.suspects:
            row = findings.rows[i]
            ours = [row + 1, findings.given[i], findings.suggested[i], f"{findings.scores[i]:.6g}"]
            file.write(table.format_row([*ours, *table.cells[row]]))


def write_cleaned(path, table, findings, action):
    """Write the table without the suspects, or with their labels replaced; returns how many."""
    suspects = findings.suspects
    if action == "drop":
        new_texts = {findings.rows[i]: "" for i in suspects}
    else:
        other = [i for i in suspects if findings.suggested[i].strip() != findings.given[i].strip()]
        new_texts = {findings.rows[i]: _relabeled_row(table, findings, i) for i in other}
    with _open(path, table) as file:
        file.write(table.header_text)
        file.writelines(new_texts.get(row, text) for row, text in enumerate(table.row_texts))
    return len(new_texts)


def added_names(names):
    """Names for our columns that no column of the table has."""
    prefix = "skinfluence_"
    while any(name.strip().startswith(prefix) for name in names):
        prefix = "_" + prefix
    return [prefix + name for name in ADDED]


def _relabeled_row(table, findings, i):
    cells = list(table.cells[findings.rows[i]])
    cells[findings.problem.label] = findings.suggested[i]
    return table.format_row(cells)


def _open(path, table):
    # newline="": line ends are written as they were read
    return open(path, "w", encoding=table.encoding, newline="")
