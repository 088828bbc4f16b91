"""The installed command: `keras-apps APP VERB [flags]`."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import apps
from apps import runner
from keras_apps import __version__


def all_apps() -> dict[str, runner.App]:
    """Every app by name: each module beside this one that has an `APP`."""
    modules = [importlib.import_module(f"apps.{module.name}") for module in pkgutil.iter_modules(apps.__path__)]
    found = [module.APP for module in modules if hasattr(module, "APP")]
    return {app.name: app for app in sorted(found, key=lambda app: app.name)}


def main() -> None:
    """Runs an app, or lists them."""
    found = all_apps()
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help", "--helpfull", "help"):
        print("usage: keras-apps APP VERB [flags]\n")
        for app in found.values():
            print(f"  {app.name:<16} {app.summary}")
        print("\nverbs: train, evaluate, predict, export, serve; `keras-apps APP VERB --help` lists the flags")
        return
    if sys.argv[1] == "--version":
        print(f"keras_apps {__version__}")
        return
    if sys.argv[1] not in found:
        runner.fail(f"no app {sys.argv[1]!r}; there are: {', '.join(found)}")
    runner.main(found[sys.argv[1]], [sys.argv[0], *sys.argv[2:]])


if __name__ == "__main__":
    main()
