/**
 * The STUN and TURN servers that the server names, with credentials for a while.
 */

import { RtcError } from "./errors.js";
import { keyHeaders } from "./wire.js";

const DEADLINE_MS = 8_000;

/**
 * @param {string | URL} base Of the server.
 * @param {string} [key] Access key; "" for none.
 * @returns {Promise<{iceServers: RTCIceServer[], ttl: number}>} `ttl` in seconds; none and Infinity where the server
 *   knows of none.
 * @throws {RtcError} It could not be asked, or refused.
 */
export async function fetchIceServers(base, key = "") {
  /** @type {Response} */
  let response;
  try {
    response = await fetch(new URL("/v1/ice-servers", base), {
      headers: keyHeaders(key),
      signal: AbortSignal.timeout(DEADLINE_MS),
    });
  } catch (error) {
    throw RtcError.because("unreachable", error);
  }
  if (response.status === 404) return { iceServers: [], ttl: Infinity };
  /** @type {any} */
  const body = await response.json().catch(() => null);
  if (!response.ok) throw RtcError.fromWire(body);
  return {
    iceServers: Array.isArray(body?.iceServers) ? body.iceServers : [],
    ttl: typeof body?.ttl === "number" && body.ttl > 0 ? body.ttl : Infinity,
  };
}

/**
 * Its addresses one by one, each with the credentials it needs.
 *
 * @param {readonly RTCIceServer[]} servers
 * @returns {{url: string, server: RTCIceServer}[]}
 */
export function eachAddress(servers) {
  return servers.flatMap(({ urls, ...credentials }) =>
    [urls].flat().map((url) => ({ url, server: { ...credentials, urls: url } })),
  );
}

/** The servers that connections are configured with: given once, or asked for whenever their credentials have aged. */
export class IceSource {
  #base;
  #key;
  #given;
  #timers;
  #staleAt = -Infinity;

  /** @type {RTCIceServer[]} */
  servers;

  /**
   * @param {object} options
   * @param {RTCIceServer[] | undefined} options.given
   * @param {string | URL | undefined} options.server Whom to ask where none are given.
   * @param {string} options.key
   * @param {import("./timing.js").Timers} options.timers
   */
  constructor({ given, server, key, timers }) {
    this.servers = given ?? [];
    this.#given = given !== undefined;
    this.#base = server;
    this.#key = key;
    this.#timers = timers;
  }

  /**
   * @param {RTCIceServer[] | null} told What may have come with something else.
   * @throws {RtcError} They were asked for, and did not come; a connection may still come about without.
   */
  async refresh(told) {
    const now = this.#timers.now();
    if (this.#given) return;
    if (told !== null) {
      this.servers = told;
      this.#staleAt = now; // for how long they are good was not said
    } else if (now >= this.#staleAt && this.#base !== undefined) {
      const { iceServers, ttl } = await fetchIceServers(this.#base, this.#key);
      this.servers = iceServers;
      this.#staleAt = now + 500 * ttl;
    }
  }
}
