"""Installs keras_apps, the library, and apps, its command line."""

from pathlib import Path

from setuptools import find_packages, setup

version = Path("keras_apps/__init__.py").read_text().split('__version__ = "')[1].split('"')[0]

setup(
    name="keras-apps",
    version=version,
    description="Eight deep-learning tasks in Keras to run, retrain on your own data, and serve",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=["keras_apps", "keras_apps.*", "apps"]),
    install_requires=[
        "absl-py>=2.1,<3",
        "grpcio>=1.60,<2",
        "importlib_resources>=6.0,<8",  # which tensorflow-datasets uses without naming it
        "keras>=3.15,<3.16",
        "keras-hub>=0.32,<0.33",
        "matplotlib>=3.8,<4",
        "pillow>=10.3,<14",
        "psutil>=5.9,<9",
        "regex>=2024.4",
        "sacrebleu>=2.4,<3",
        "scikit-learn>=1.4,<2",
        "scipy>=1.11,<2",
        "sentencepiece>=0.2,<0.3",
        "simple-parsing>=0.1.5,<0.2",
        "starlette>=0.37,<2",
        "tensorflow>=2.21,<2.22",
        "tensorflow-datasets>=4.9.7,<5",
        "tensorflow-serving-api>=2.19,<3",
        "tensorflow-text>=2.21,<2.22; platform_system != 'Windows'",  # which has none; nor does keras-hub ask for it
        "uvicorn>=0.29,<1",
    ],
    extras_require={
        "gpu": ["tensorflow[and-cuda]>=2.21,<2.22"],
        "tensorboard": ["tensorboard>=2.19,<3"],
        "dev": [
            "import-linter>=2.0,<3",
            "pytest>=8.0,<10",
            "pytest-xdist>=3.6,<4",
            "ruff>=0.6,<1",
            "tensorboard>=2.19,<3",
        ],
    },
    entry_points={"console_scripts": ["keras-apps = apps.command_line:main"]},
    classifiers=[
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
