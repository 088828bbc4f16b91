"""The page that goes with an export: what goes in, what comes out, and an example that was run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_readme(path: Path, description: dict[str, Any], summary: str) -> None:
    """Writes README.md, and request.json beside it where the example is too long for a command.

    Args:
        path: of README.md.
        description: the content of signature.json.
        summary: one line on what the model does.
    """
    name = description["model"]
    parts = [
        f"# {name}, version {description['version']}",
        summary or f"A {description['model_class']}.",
        (f"Trained on {description['data']['data']}. " if description["data"]["data"] else "")
        + "Made with keras_apps. `assets.extra/model.keras` is the same model for Keras, to evaluate or to fine-tune.",
        "## Signatures",
        *(_signature(signature, entry) for signature, entry in description["signatures"].items()),
        _example(path.with_name("request.json"), name, description["signatures"]["serving_default"]),
        "## Servers",
        "The graphs may use the operations of TensorFlow Text, which TensorFlow Serving has built in; to load them in "
        "Python, `import tensorflow_text` first where `tf.saved_model.load` asks for it.",
        "The `_xla` signatures need a server started with `--xla_cpu_compilation_enabled` or "
        "`--xla_gpu_compilation_enabled`; "
        + (
            "this export warms them up, so it loads on such a server only."
            if description["server_xla"]
            else "export with `--server_xla` to have them warmed up too."
        ),
        "One request that is refused (an empty text, bytes that are no picture) fails those that the server batched "
        "with it: check inputs in the client.",
    ]
    path.write_text("\n\n".join(parts) + "\n")


def _signature(name: str, entry: dict[str, Any]) -> str:
    rows = ["| | name | type | shape |", "|---|---|---|---|"]
    for kind in ("inputs", "outputs"):
        for key, spec in entry[kind].items():
            shape = ", ".join("any" if size is None else str(size) for size in spec["shape"])
            rows.append(f"| {kind[:-1]} | `{key}` | {spec['dtype']} | [{shape}] |")
    return f"### `{name}` (compiled by XLA: `{entry['xla']}`)\n\n" + "\n".join(rows)


def _example(request_file: Path, name: str, entry: dict[str, Any]) -> str:
    request = json.dumps({"inputs": entry["example"]["request"]}, ensure_ascii=False)
    answer = json.dumps({"outputs": entry["example"]["answer"]}, ensure_ascii=False, indent=2)
    quoted, where = request.replace("'", "'\\''"), ""
    if len(quoted) > 2000:
        request_file.write_text(request + "\n")
        quoted, where = f"@{request_file.name}", "In this folder:\n\n"
    return f"""## Example

{where}```sh
curl -d '{quoted}' http://localhost:8501/v1/models/{name}:predict
```

answers

```json
{answer if len(answer) <= 4000 else answer[:4000] + " ..."}
```"""
