"""What the README shows works."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_python_door_opens(tmp_path):
    snippets = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    (snippet,) = [snippet for snippet in snippets if "train(" in snippet]
    assert 'model={"units": 32}' in snippet
    quick = snippet.replace(
        'model={"units": 32}', 'model={"units": 4}, config=TrainingConfig(epochs=1, steps_per_epoch=2)'
    )
    code = f"from keras_apps.training.config import TrainingConfig\n{quick}"
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert "b'neg'" in result.stdout or "b'pos'" in result.stdout


def test_every_page_that_is_named_is_there():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").glob("*.md")):
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
