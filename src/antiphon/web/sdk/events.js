/**
 * Events with a type for each.
 */

/**
 * An `EventTarget` whose events are told by name.
 *
 * @template {object} Events Their names, each with the `detail` of its `CustomEvent`.
 */
export class Emitter extends EventTarget {
  #lifetime = new AbortController();

  /** Aborted when nothing is told any more. */
  get lifetime() {
    return this.#lifetime.signal;
  }

  /**
   * Listen to an event until the returned function is called.
   *
   * @template {keyof Events & string} T
   * @param {T} type
   * @param {(detail: Events[T]) => void} listener
   * @returns {() => void}
   */
  on(type, listener) {
    const heard = (/** @type {Event} */ event) => listener(/** @type {CustomEvent<Events[T]>} */ (event).detail);
    this.addEventListener(type, heard);
    return () => this.removeEventListener(type, heard);
  }

  /**
   * @protected
   * @template {keyof Events & string} T
   * @param {T} type
   * @param {Events[T]} detail
   */
  emit(type, detail) {
    if (!this.#lifetime.signal.aborted) this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /** @protected */
  fallSilent() {
    this.#lifetime.abort();
  }
}
