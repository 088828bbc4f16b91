"""Runs every training and evaluation of the pages in full, which takes hours.

`python -m benchmarks.documented DATA [PAGE ...]`: DATA is a folder in which the files lie by the names that the pages
give them (multi30k/train.en, flickr8k/train.tar, ...). A command whose files are not there is said and passed over.
Runs go to DATA/runs/PAGE; one that is there goes on, or is left.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OF_PATHS = re.compile(r"--(?:data|styles|encoder_weights|feature_weights|runs|init_from|model)$")


def lines(page: Path) -> list[str]:
    """What the shell blocks of a page say to run, without comments; lines that go on are joined."""
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", page.read_text(), re.S)).replace("\\\n", " ")
    stripped = [re.sub(r"(^|\s)# .*", "", line).strip() for line in blocks.splitlines()]
    return [line for line in stripped if line]


def commands(page: Path) -> list[list[str]]:
    """The arguments of the trainings and evaluations of a page, in order, with runs of its own."""
    return [
        [re.sub("^runs/", f"runs/{page.stem}/", word) for word in words]
        for _, *words in map(shlex.split, lines(page))
        if words[1:2] in (["train"], ["evaluate"])
    ]


def missing(arguments: list[str], folder: Path) -> list[str]:
    """The files a command names that are not there."""
    named = [value for flag, value in zip(arguments, arguments[1:], strict=False) if OF_PATHS.match(flag)]
    # What parallel files begin with is no file itself.
    there = {"demo", "imagenet"} | {name for name in named if list(folder.glob(f"{name.rstrip('/')}*"))}
    return [name for name in named if name not in there]


def main(data: str, *pages: str) -> None:
    """Runs them and prints how each ended."""
    folder = Path(data).resolve()
    for page in sorted((ROOT / "docs").glob("*.md")):
        if page.stem == "new_app" or (pages and page.stem not in pages):
            continue
        for arguments in commands(page):
            said = f"keras-apps {shlex.join(arguments)}"
            if absent := missing(arguments, folder):
                print(f"passed over ({', '.join(absent)} not in {folder}): {said}", flush=True)
                continue
            began = time.monotonic()
            command = [sys.executable, "-m", "apps.command_line", *arguments]
            status = subprocess.run(command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}).returncode
            print(f"status {status} after {time.monotonic() - began:.0f} s: {said}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
