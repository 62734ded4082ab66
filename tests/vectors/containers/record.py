"""Record the browsers' files of this folder: ``python tests/vectors/containers/record.py [chromium] [firefox]``.

A page plays ``go-forward.wav`` into a MediaRecorder and sends its pieces back. Needs Chromium or Firefox itself
(Debian's ``chromium``, ``firefox-esr``), no driver. Browsers stamp times and random numbers into what they record: each
run gives other bytes, and the tests expect nothing of them that a second recording would not hold.
"""

from __future__ import annotations

import json
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).parent
SPEECH = HERE.parents[1] / "data" / "speech" / "go-forward.wav"
SECONDS = 2.0
SLICE_MS = 250
DEADLINE = 60.0

RECORDINGS = {
    "chromium": {
        "chromium-audio.webm": {"mimeType": "audio/webm;codecs=opus", "video": False},
        "chromium-video.webm": {"mimeType": "video/webm;codecs=vp8,opus", "video": True},
        "chromium-pcm.webm": {"mimeType": "audio/webm;codecs=pcm", "video": False},
    },
    "firefox": {
        "firefox-audio.ogg": {"mimeType": "audio/ogg;codecs=opus", "video": False, "element": True},
        "firefox-audio.webm": {"mimeType": "audio/webm;codecs=opus", "video": False, "element": True},
    },
}

PAGE = """<!doctype html><meta charset="utf-8"><canvas width="32" height="32"></canvas><script>
const tell = (path, body) => fetch(path, { method: "POST", body });
async function graph() {
  const context = new AudioContext({ sampleRate: 48000 });
  const speech = await context.decodeAudioData(await (await fetch("/speech")).arrayBuffer());
  const player = new AudioBufferSourceNode(context, { buffer: speech });
  const out = new MediaStreamAudioDestinationNode(context, { channelCount: 1 });
  player.connect(out);
  return { stream: out.stream, play: () => player.start(0, 0.3) };
}
// Firefox starts no AudioContext on a machine without a sound card, and captures an element's sound all the same.
async function element() {
  const audio = new Audio("/speech");
  await new Promise((done) => { audio.oncanplaythrough = done; audio.load(); });
  audio.currentTime = 0.3;
  const stream = audio.mozCaptureStream();
  await audio.play();
  return { stream, play: () => {} };
}
async function record(name, how) {
  const out = how.element ? await element() : await graph();
  const tracks = [...out.stream.getAudioTracks()];
  if (how.video) {
    const canvas = document.querySelector("canvas").getContext("2d");
    setInterval(() => {
      canvas.fillStyle = `hsl(${Date.now() / 10 % 360} 90% 50%)`;
      canvas.fillRect(0, 0, 32, 32);
    }, 100);
    tracks.push(...document.querySelector("canvas").captureStream(10).getTracks());
  }
  const recorder = new MediaRecorder(new MediaStream(tracks), {
    mimeType: how.mimeType, audioBitsPerSecond: 16000, videoBitsPerSecond: 20000
  });
  const pieces = [];
  recorder.ondataavailable = (event) => event.data.size && pieces.push(event.data);
  const stopped = new Promise((done) => { recorder.onstop = done; });
  recorder.start(SLICE_MS);
  out.play();
  await new Promise((done) => setTimeout(done, how.seconds * 1000));
  recorder.stop();
  await stopped;
  await tell(`/piece/${name}?${pieces.map((piece) => piece.size).join(",")}`, new Blob(pieces));
}
(async () => {
  for (const [name, how] of Object.entries(RECORDINGS)) {
    try { await record(name, how); } catch (error) { await tell(`/failed/${name}`, String(error)); }
  }
  await tell("/done", "");
})();
</script>"""


def page(browser: str) -> bytes:
    wanted = {name: {**how, "seconds": 0.1 if "pcm" in name else SECONDS} for name, how in RECORDINGS[browser].items()}
    return PAGE.replace("SLICE_MS", str(SLICE_MS)).replace("RECORDINGS", json.dumps(wanted)).encode()


def command(browser: str, url: str, folder: Path) -> list[str]:
    if browser == "chromium":
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={folder}"]
        return ["chromium", *flags, "--autoplay-policy=no-user-gesture-required", url]
    (folder / "user.js").write_text(
        'user_pref("media.autoplay.default", 0);\nuser_pref("media.autoplay.blocking_policy", 0);\n'
        'user_pref("datareporting.policy.dataSubmissionEnabled", false);\nuser_pref("app.update.enabled", false);\n'
    )
    program = "firefox" if shutil.which("firefox") else "firefox-esr"
    return [program, "--headless", "--no-remote", "--profile", str(folder), url]


def record(browser: str) -> dict[str, list[int]]:
    """Run the browser once.

    Returns:
        The sizes of the pieces of each file that was written.
    """
    sizes: dict[str, list[int]] = {}
    done: queue.Queue[str] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def answer(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.answer(
                *((SPEECH.read_bytes(), "audio/wav") if self.path == "/speech" else (page(browser), "text/html"))
            )

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            path, _, query = self.path.partition("?")
            _, what, *name = path.split("/")
            if what == "piece":
                (HERE / name[0]).write_bytes(body)
                sizes[name[0]] = [int(size) for size in query.split(",")]
            elif what == "failed":
                print(f"{name[0]}: {body.decode()}", file=sys.stderr)
            self.answer(b"", "text/plain")
            if what == "done":
                done.put(what)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        url = f"http://127.0.0.1:{server.server_port}/"
        process = subprocess.Popen(
            command(browser, url, Path(folder)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            done.get(timeout=DEADLINE)
        finally:
            process.terminate()
            process.wait(10)
            server.shutdown()
    return sizes


def main() -> int:
    index = HERE / "pieces.json"
    pieces = json.loads(index.read_text()) if index.exists() else {}
    for browser in sys.argv[1:] or RECORDINGS:
        pieces |= record(browser)
    lines = [f"  {json.dumps(name)}: {json.dumps(sizes)}" for name, sizes in sorted(pieces.items())]
    index.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
