"""Everything that reads the code without running it: ``python -m scripts.run_checks``."""

from __future__ import annotations

from scripts import node, rust
from scripts.environment import ROOT
from scripts.parts import BIN, Job

JS = ROOT / "tests" / "js"


def main() -> int:
    job = Job("check")
    job.run("format", [BIN / "ruff", "format", "--check", "."])
    job.run("lint", [BIN / "ruff", "check", "."])
    job.run("types", [BIN / "mypy"])
    job.run("types of the scripts", [BIN / "mypy", "--strict", "scripts"])
    job.run("types of the native core", [BIN / "python", "-m", "mypy.stubtest", "antiphon._native"])
    cargo = rust.environment()
    job.run("format of the Rust", ["cargo", "fmt", "--all", "--check"])
    clippy = ["cargo", "clippy", "--locked", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]
    job.run("lint of the Rust", clippy, environment=cargo)
    job.run("layers", [BIN / "lint-imports", "--no-logo"])
    if (JS / "package.json").exists():
        try:
            node.install(JS)
        except node.NodeError as error:
            job.skip("types of the JavaScript", str(error))
        else:
            job.run("types of the JavaScript", ["npm", "run", "check", "--silent"], JS)
    job.run("page of settings", [BIN / "python", "-m", "scripts.configuration", "--check"])
    job.run("tree", [BIN / "python", "-m", "scripts.tree"])
    return job.finish()


if __name__ == "__main__":
    raise SystemExit(main())
