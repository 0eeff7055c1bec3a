"""The main job: from a table to its suspect labels, a cleaned copy and a report."""

from skinfluence._audit._job import Options, audit
from skinfluence._audit._table import AuditError

__all__ = ["AuditError", "Options", "audit"]
