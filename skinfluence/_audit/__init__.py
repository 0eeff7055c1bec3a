"""The main job: from a table to its suspect labels, a cleaned copy and a report."""

from skinfluence._audit.csv_table import AuditError
from skinfluence._audit.job import Options, audit

__all__ = ["AuditError", "Options", "audit"]
