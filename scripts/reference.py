"""Build the reference of the Python API: ``python -m scripts.reference FOLDER``.

Warnings of the generator, such as a docstring that names what is not there, are errors.
"""

from __future__ import annotations

import importlib
import pkgutil
import shutil
import sys
import warnings
from collections.abc import Iterator

import pdoc.doc
import pdoc.render

import antiphon
from scripts.environment import ROOT


def modules() -> Iterator[str]:
    """All public modules; pdoc itself would leave out the submodules of a package with ``__all__``."""
    yield "antiphon"
    for module in pkgutil.walk_packages(antiphon.__path__, "antiphon."):
        if not any(part.startswith("_") for part in module.name.split(".")):
            yield module.name


def main(arguments: list[str]) -> int:
    folder = ROOT / arguments[0]
    shutil.rmtree(folder, ignore_errors=True)
    pdoc.render.configure(docformat="google", footer_text="Antiphon", show_source=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        documented = {name: pdoc.doc.Module(importlib.import_module(name)) for name in modules()}
        for name, module in documented.items():
            page = folder / f"{name.replace('.', '/')}.html"
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(pdoc.render.html_module(module, documented))
        (folder / "index.html").write_text(pdoc.render.html_index(documented))
        (folder / "search.js").write_text(pdoc.render.search_index(documented))
    for warning in caught:
        print(f"{warning.filename}:{warning.lineno}: {warning.message}", file=sys.stderr)
    if caught:
        print(f"{len(caught)} warnings, which count as errors", file=sys.stderr)
        return 1
    print(f"{len(documented)} modules; open {folder.relative_to(ROOT)}/index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
