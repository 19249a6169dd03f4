"""cfn-lint over the templates, as the command line runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from infra.tests.conftest import Synthesised

_CFN_LINT = Path(sys.executable).with_name("cfn-lint")
# CDK's Lambda construct names the role that it refers to as a dependency besides; harmless, and not ours.
_IGNORED = ("W3005",)


def test_cfn_lint_is_clean(either: Synthesised) -> None:
    templates = sorted(map(str, either.folder.glob("*.template.json")))
    assert len(templates) == len(either.templates) == 6
    done = subprocess.run(
        [_CFN_LINT, "--ignore-checks", *_IGNORED, "--", *templates],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
