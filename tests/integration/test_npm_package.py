"""The browser SDK as the npm package that somebody installs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from antiphon import __version__
from support.audio import speech, transcripts
from support.server import ServerProcess

pytestmark = pytest.mark.node

ROOT = Path(__file__).parents[2]
SDK = ROOT / "src" / "antiphon" / "web" / "sdk"
PACKAGE = ROOT / "clients" / "js"
NODE_MODULES = ROOT / "tests" / "js" / "node_modules"
COMPILER = NODE_MODULES / "typescript" / "bin" / "tsc"
QUIET = ("--offline", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")

PUBLIC = [
    "AdaptiveBitrateController",
    "AudioCapture",
    "AudioStreamManager",
    "ConnectionCheck",
    "RtcError",
    "SERVER",
    "SegmentRecorder",
    "SocketSignaling",
    "StreamAnalytics",
    "StreamPlayer",
    "WebRTCManager",
    "verdict",
]
"""What the package offers. A name that goes, or changes its meaning, is a new major version."""

CONSUMER = """
import { AudioCapture, AudioStreamManager, StreamPlayer, WebRTCManager, RtcError } from "@antiphon/client";
import { StreamPlayer as Player } from "@antiphon/client/stream-player";

export async function captions(show: (text: string, final: boolean) => void): Promise<() => Promise<void>> {
  const capture = new AudioCapture({ source: "microphone" });
  await capture.start();
  const stream = new AudioStreamManager({ server: "https://voice.example", format: capture.format });
  stream.on("transcript", ({ text, isPartial }) => show(text, !isPartial));
  stream.on("state", ({ state }) => {
    if (state.phase === "ended") show(state.reason, true);
  });
  capture.on("frame", ({ data }) => stream.sendAudioData(data));
  await stream.connect();
  return () => capture.stop();
}

export async function listen(): Promise<number> {
  const player: StreamPlayer = new Player({ server: new URL("https://voice.example") });
  await player.listen({ source: "room:choir", frameMs: 20 });
  return player.stats.level;
}

export async function talk(): Promise<string> {
  const manager = new WebRTCManager({ server: "https://voice.example" });
  manager.on("transcript", ({ user, text }) => console.log(user.trim(), text.trim()));
  await manager.initialize();
  try {
    await manager.join({ room: "choir", user: "Hildegard", captions: "en-US" });
  } catch (error) {
    if (error instanceof RtcError) return error.action;
    throw error;
  }
  return manager.id ?? "";
}
"""

MISTAKES = {
    'new AudioCapture({ source: "radio" });': "radio",
    'new AudioStreamManager().on("transcribed", () => undefined);': "transcribed",
    "new StreamPlayer().listen({ source: 5 });": "number",
    'new WebRTCManager({ topology: "ring" });': "ring",
}
"""Uses that the types have to refuse, each with a word of the compiler's answer."""


def run(*command: str | Path, cwd: Path, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, timeout=100, check=False, **more
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has installed the package from its tarball, without a network."""
    if shutil.which("npm") is None or not COMPILER.exists():
        pytest.skip("no Node packages here: install Node.js 20 or newer, and run `npm ci` in tests/js")
    if not (SDK / "vendor").exists():
        pytest.skip("what the SDK has of others is not here: run `python -m scripts.web_assets`")
    folder = tmp_path_factory.mktemp("project")
    packed = run("npm", "pack", "--json", "--pack-destination", folder, *QUIET[:1], cwd=PACKAGE)
    assert packed.returncode == 0, packed.stderr
    tarball = folder / f"antiphon-client-{__version__}.tgz"
    assert tarball.exists(), packed.stdout
    (folder / "package.json").write_text('{"name": "consumer", "private": true, "type": "module"}')
    installed = run("npm", "install", *QUIET, tarball, cwd=folder)
    assert installed.returncode == 0, installed.stderr
    return folder


def installed(project: Path) -> Path:
    return project / "node_modules" / "@antiphon" / "client"


def compiled(project: Path, source: str, resolution: str) -> subprocess.CompletedProcess[str]:
    """What TypeScript says of a program in the project, the package's own types included."""
    module = "ESNext" if resolution == "Bundler" else "NodeNext"
    (project / "consumer.ts").write_text(source)
    options = {
        "strict": True,
        "noEmit": True,
        "skipLibCheck": False,
        "target": "ES2022",
        "lib": ["ES2022", "DOM", "DOM.Iterable"],
        "types": [],
        "module": module,
        "moduleResolution": resolution,
    }
    (project / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": ["consumer.ts"]}))
    return run("node", COMPILER, "--project", "tsconfig.json", cwd=project)


@pytest.mark.parametrize("resolution", ["NodeNext", "Bundler"])
def test_a_typescript_program_compiles_against_it(project: Path, resolution: str) -> None:
    told = compiled(project, CONSUMER, resolution)
    assert told.returncode == 0, told.stdout


def test_the_examples_of_its_readme_compile(project: Path) -> None:
    examples = re.findall(r"```js\n(.*?)```", (installed(project) / "README.md").read_text(), re.DOTALL)
    assert len(examples) == 3
    readers = "declare function show(...words: unknown[]): void;\ndeclare function draw(...figures: number[]): void;\n"
    for example in examples:
        told = compiled(project, readers + example, "NodeNext")
        assert told.returncode == 0, f"{told.stdout}\n{example}"


@pytest.mark.parametrize("mistake", MISTAKES)
def test_its_types_refuse_a_mistake(project: Path, mistake: str) -> None:
    names = "AudioCapture, AudioStreamManager, StreamPlayer, WebRTCManager"
    imports = f'import {{ {names} }} from "@antiphon/client";\nexport const used = [{names}];\n'
    assert compiled(project, imports, "NodeNext").returncode == 0
    told = compiled(project, imports + mistake, "NodeNext")
    assert told.returncode != 0
    assert "consumer.ts(3," in told.stdout
    assert MISTAKES[mistake] in told.stdout


def test_it_offers_what_is_public_and_nothing_else(project: Path) -> None:
    script = 'import("@antiphon/client").then((all) => console.log(JSON.stringify(Object.keys(all).sort())))'
    done = run("node", "--input-type=module", "--eval", script, cwd=project)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == PUBLIC


def test_every_part_can_be_imported_where_there_is_no_browser(project: Path) -> None:
    exports = json.loads((installed(project) / "package.json").read_text())["exports"]
    # what runs on an audio thread or in a worker needs its own global scope
    parts = [name for name in exports if not name.endswith((".js", ".json"))]
    script = "".join(f'await import("@antiphon/client{name[1:]}");\n' for name in parts)
    done = run("node", "--input-type=module", "--eval", script, cwd=project)
    assert done.returncode == 0, done.stderr


def test_its_exports_are_there_with_their_types(project: Path) -> None:
    package = installed(project)
    exports: dict[str, str] = json.loads((package / "package.json").read_text())["exports"]
    for name, path in exports.items():
        assert (package / path).is_file(), name
        if name.endswith((".js", ".json")):
            continue
        assert (package / path).with_suffix(".d.ts").is_file(), name
    # whatever a browser loads by itself has a name by which a bundler can be told of it
    by_url = {path.relative_to(SDK).as_posix() for path in SDK.rglob("*work*.js") if "start-" not in path.name}
    assert by_url == {name[2:] for name in exports if name.endswith(".js")}


def test_it_asks_for_nothing_and_runs_nothing(project: Path) -> None:
    package = json.loads((installed(project) / "package.json").read_text())
    assert package["version"] == __version__
    assert package["license"] == "Apache-2.0"
    assert not {"dependencies", "peerDependencies", "optionalDependencies"} & package.keys()
    assert package["scripts"].keys() == {"prepack"}
    assert (installed(project) / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert "@antiphon/client" in (installed(project) / "README.md").read_text()
    assert (installed(project) / "dist" / "vendor" / "NOTICE").is_file()


async def test_its_files_are_those_that_the_server_serves(project: Path, hearing: ServerProcess) -> None:
    dist = installed(project) / "dist"
    files = {path.relative_to(dist).as_posix() for path in dist.rglob("*") if path.suffix != ".ts" and path.is_file()}
    assert files == {path.relative_to(SDK).as_posix() for path in SDK.rglob("*") if path.is_file()}
    async with aiohttp.ClientSession() as session:
        for name in sorted(files):
            async with session.get(f"{hearing.url}/static/sdk/{name}") as response:
                assert response.status == 200, name
                assert await response.read() == (dist / name).read_bytes(), name


def test_node_streams_a_file_with_it(project: Path, hearing: ServerProcess, tmp_path: Path) -> None:
    audio = tmp_path / "speech.raw"
    audio.write_bytes(speech("go-forward"))
    task = {
        "url": hearing.url,
        "audio": str(audio),
        "project": str(project),
        "ws": str(NODE_MODULES / "ws" / "wrapper.mjs"),
    }
    script = Path(__file__).parent / "node" / "package.mjs"
    done = run("node", script, cwd=project, input=json.dumps(task))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:-1] == [transcripts()["go-forward.wav"]]
