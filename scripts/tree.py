"""Check the files that git tracks, or would: nothing of one machine in them, no secret, no dead link.

``python -m scripts.tree`` prints ``FILE:LINE: what is wrong`` for each finding, and fails if there is one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from scripts.environment import ROOT

MAX_TEXT = 2_000_000
"""Bytes; a larger file is data."""

MACHINE_PATH = re.compile(r"(?<![\w.~:/-])/(?:home|Users|root|work|workspace|farm)/[\w.-]+|\b[A-Z]:\\Users\\")
REGISTRY_SETTING = re.compile(
    r"(?i)(?:index-url|find-links|registry|goproxy|\"resolved\")[\"']?\s*[=:]\s*[\"']?https?://"
)
SECRETS = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36}"),
    re.compile(r"\bgithub_pat_[A-Za-z0-9_]{22}"),
    re.compile(r"\bxox[abprs]-[0-9A-Za-z-]{10}"),
    re.compile(r"\bAIza[0-9A-Za-z_-]{35}"),
    re.compile(r"\bsk-[A-Za-z0-9_-]{32}"),
    re.compile(r"\bey[JK][A-Za-z0-9_-]{20,}\.ey[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20}"),
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^()\s]+)(?:\s+\"[^\"]*\")?\)|!\[[^\]]*\]\(([^()\s]+)\)")
FENCE = re.compile(r"^ {0,3}(```|~~~)")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$")


def tracked() -> list[Path]:
    """The files of the checkout that git has or would add.

    Raises:
        subprocess.CalledProcessError: This is no git checkout.
    """
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = sorted(set(listing.stdout.decode().split("\0")) - {""})
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def registry_hosts() -> set[str]:
    """Hosts that this machine was told to install packages from: they are nobody else's business."""
    settings = [value for name, value in os.environ.items() if re.search(r"(?i)index_url|registry|goproxy", name)]
    for command in (
        [sys.executable, "-m", "pip", "config", "list"],
        ["npm", "config", "list", "--loglevel=error"],
    ):
        if shutil.which(command[0]):
            shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False).stdout
            settings += [line for line in shown.splitlines() if re.search(r"(?i)index-url|registry", line)]
    hosts = {urlsplit(url).hostname for text in settings for url in re.findall(r"https?://[^\s\"']+", text)}
    return {host for host in hosts if host and host != "localhost"}


def leaks(text: str, hosts: set[str]) -> Iterator[tuple[int, str]]:
    """Line numbers and findings of what belongs to one machine or one person."""
    for number, line in enumerate(text.splitlines(), 1):
        if found := MACHINE_PATH.search(line):
            yield number, f"path of one machine: {found[0]}"
        if REGISTRY_SETTING.search(line) or any(host in line for host in hosts):
            yield number, "address of a package registry"
        if any(secret.search(line) for secret in SECRETS):
            yield number, "looks like a secret"


def anchors(text: str) -> set[str]:
    """The fragments by which the headings of a Markdown page can be linked to."""
    found: dict[str, int] = {}
    names: set[str] = set()
    for _, line in prose(text):
        if heading := HEADING.match(line):
            title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
            slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
            count = found.get(slug, 0)
            found[slug] = count + 1
            names.add(f"{slug}-{count}" if count else slug)
    return names


def prose(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a Markdown page outside its code blocks, with code spans blanked."""
    inside = ""
    for number, line in enumerate(text.splitlines(), 1):
        if fence := FENCE.match(line):
            inside = "" if inside == fence[1] else inside or fence[1]
        elif not inside:
            yield number, line


def dead_links(page: Path, text: str) -> Iterator[tuple[int, str]]:
    """Line numbers and findings of relative links of a Markdown page that lead nowhere."""
    for number, line in prose(text):
        for match in LINK.finditer(re.sub(r"`[^`]*`", "", line)):
            target = match[1] or match[2]
            address = urlsplit(target)
            if address.scheme or address.netloc:
                continue
            path = (page.parent / unquote(address.path)).resolve() if address.path else page
            if not path.exists():
                yield number, f"dead link: {target}"
            elif address.fragment and path.suffix == ".md" and address.fragment not in anchors(path.read_text()):
                yield number, f"no such heading: {target}"


def main() -> int:
    try:
        files = tracked()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"This check reads what git tracks, and git gave no list: {error}", file=sys.stderr)
        return 1
    hosts = registry_hosts()
    count = 0
    for path in files:
        data = path.read_bytes()[: MAX_TEXT + 1]
        if b"\0" in data or len(data) > MAX_TEXT:
            continue
        text = data.decode("utf-8", "replace")
        findings = list(leaks(text, hosts))
        if path.suffix == ".md":
            findings += dead_links(path, text)
        for number, what in findings:
            print(f"{path.relative_to(ROOT)}:{number}: {what}")
        count += len(findings)
    print(f"{len(files)} files, {count} findings")
    return int(count > 0)


if __name__ == "__main__":
    raise SystemExit(main())
