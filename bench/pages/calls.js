/**
 * Connections of a page that a benchmark drives: publishing and listening by WHIP and WHEP, and page to page.
 */

/** The microphone as it is, without anything that a browser does to a voice. */
export const microphone = () =>
  navigator.mediaDevices.getUserMedia({
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 },
  });

/**
 * How what is sent is protected: `red` (RFC 2198, with in-band FEC), `fec` (Opus' own) or `none`.
 *
 * @param {RTCRtpTransceiver} transceiver
 * @param {string} protection
 */
function protect(transceiver, protection) {
  const { codecs } = RTCRtpSender.getCapabilities("audio") ?? { codecs: [] };
  const of = (type) => codecs.filter(({ mimeType }) => mimeType === `audio/${type}`);
  transceiver.setCodecPreferences(protection === "red" ? [...of("red"), ...of("opus")] : of("opus"));
}

/**
 * An answer whose only candidate is behind an emulated network.
 *
 * @param {string} sdp
 * @param {number | null} port
 */
function redirected(sdp, port) {
  if (port === null) return sdp;
  return sdp
    .replace(/^a=candidate:\S+ \d tcp .*\r\n/gim, "")
    .replace(/^(a=candidate:\S+ \d udp \d+ \S+) \d+/gim, `$1 ${port}`);
}

/** The metadata channel, and what was said over it. */
function metadata(connection) {
  const channel = connection.createDataChannel("metadata", { ordered: true, maxRetransmits: 3 });
  const told = [];
  channel.onmessage = ({ data }) => told.push(JSON.parse(data));
  return { channel, told };
}

const until = async (ready) => {
  while (!ready()) await new Promise((resolve) => setTimeout(resolve, 20));
};

async function post(connection, url, port, munge = (sdp) => sdp) {
  await connection.setLocalDescription();
  const headers = { "Content-Type": "application/sdp" };
  const response = await fetch(url, { method: "POST", headers, body: connection.localDescription.sdp });
  const sdp = await response.text();
  if (!response.ok) throw new Error(sdp);
  await connection.setRemoteDescription({ type: "answer", sdp: munge(redirected(sdp, port)) });
}

/**
 * Connect by WHIP, and send nothing before `speak`.
 *
 * @param {{url: string, port: number | null, protection: string}} how
 */
export async function publish({ url, port, protection }) {
  const connection = new RTCPeerConnection();
  const transceiver = connection.addTransceiver("audio", { direction: "sendonly" });
  protect(transceiver, protection);
  const { channel, told } = metadata(connection);
  const bare = (sdp) => (protection === "none" ? sdp.replaceAll("useinbandfec=1", "useinbandfec=0") : sdp);
  await post(connection, url, port, bare);
  await until(() => channel.readyState === "open");
  return { connection, speak: (track) => transceiver.sender.replaceTrack(track), channel, told };
}

/** Connect by WHEP, and play. */
export async function listen(url) {
  const connection = new RTCPeerConnection();
  connection.addTransceiver("audio", { direction: "recvonly" });
  const track = received(connection);
  await post(connection, url, null);
  return { connection, track: await track };
}

/** The first track that comes, once it is played. */
export function received(connection) {
  return new Promise((resolve) => {
    connection.ontrack = async ({ track }) => {
      const player = new Audio();
      player.srcObject = new MediaStream([track]);
      await player.play();
      resolve(track);
    };
  });
}

/** A description with all its candidates. */
export async function gathered(connection) {
  await connection.setLocalDescription();
  await until(() => connection.iceGatheringState === "complete");
  return connection.localDescription.sdp;
}

/** What the server has counted of a publisher. */
export async function counted({ channel, told }) {
  const before = told.filter(({ type }) => type === "stats").length;
  channel.send(JSON.stringify({ type: "stats" }));
  await until(() => told.filter(({ type }) => type === "stats").length > before);
  return told.findLast(({ type }) => type === "stats");
}
