# SPDX-License-Identifier: Apache-2.0
"""Build of andpop: the repository root is the package, the CPU engine its one extension."""

import re
from pathlib import Path

from pybind11.setup_helpers import ParallelCompile, Pybind11Extension, build_ext
from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
ROOMS = ("models", "quant", "hw", "flows", "sim")
INIT = (ROOT / "__init__.py").read_text(encoding="utf-8")
VERSION = re.search(r'__version__ = "([^"]+)"', INIT)
assert VERSION is not None

packages = ["andpop"]
for room in ROOMS:
    packages.append(f"andpop.{room}")
    packages += [f"andpop.{room}.{name}" for name in find_packages(str(ROOT / room))]


def engine_files(pattern: str) -> list[str]:
    """Return the CPU engine's sources that match ``pattern``, relative to the root."""
    return sorted(str(p.relative_to(ROOT)) for p in (ROOT / "hw/cpu/src").glob(pattern))


class BuildPy(build_py):
    """Leaves this file out, which lies in the package's folder."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """List the modules of a package as (package, module, file)."""
        found = super().find_package_modules(package, package_dir)
        return [m for m in found if m[:2] != ("andpop", "setup")]


ParallelCompile(default=2).install()

setup(
    version=VERSION.group(1),
    packages=packages,
    package_dir={"andpop": "."},
    package_data={
        "andpop.models": ["zoo/*.safetensors", "zoo/*.json", "zoo/*.andpop"],
        "andpop.hw": [
            "**/*.sv",
            "**/*.svh",
            "**/*.j2",
            "**/*.md",
            "**/*.pyi",
            "boards/*.yaml",
            "synth/*.v",
            "synth/*.txt",
            "targets/**/*.v",
            "targets/*/*.cpp",
            "targets/*/*.hpp",
            "targets/*/boards/*.yaml",
            "kernels/*/costs.json",
        ],
        "andpop.sim": ["*.cpp", "*.hpp", "*.sv", "*.jinja"],
        "andpop.flows": ["templates/*.jinja"],
    },
    exclude_package_data={"andpop.models": ["zoo/*.metrics.json"]},
    # Baseline flags: each instruction set has its own file and turns it on there.
    ext_modules=[
        Pybind11Extension(
            "andpop.hw.cpu._engine",
            engine_files("**/*.cpp"),
            depends=engine_files("**/*.hpp") + engine_files("**/*.inc"),
            include_dirs=["hw/cpu/src"],
            cxx_std=17,
            extra_compile_args=["-O3", "-g0", "-Wall", "-Wextra", "-pthread"],
            extra_link_args=["-pthread"],
        )
    ],
    cmdclass={"build_ext": build_ext, "build_py": BuildPy},
    zip_safe=False,
)
