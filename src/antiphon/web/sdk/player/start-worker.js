/**
 * The worker of a player; a page of another origin than the SDK's gets it by way of a blob, since browsers start workers
 * only from a page's own origin.
 */

/** @returns {Worker} */
export function startWorker() {
  const url = new URL("./worker.js", import.meta.url);
  if (url.origin === globalThis.location?.origin) return new Worker(url, { type: "module", name: "antiphon-player" });
  const source = new Blob([`import ${JSON.stringify(url.href)};`], { type: "text/javascript" });
  const blob = URL.createObjectURL(source);
  const worker = new Worker(blob, { type: "module", name: "antiphon-player" });
  setTimeout(() => URL.revokeObjectURL(blob), 60_000); // it is read after this returns
  return worker;
}
