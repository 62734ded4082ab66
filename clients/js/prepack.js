/**
 * What `npm pack` runs first: copies the SDK from where the server serves it, writes its types beside it, and adds the
 * licence. The sources are not kept here, so that there is one place to change them.
 */

import { spawnSync } from "node:child_process";
import { copyFileSync, cpSync, existsSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** @param {string} name From the root of the repository. */
const path = (name) => fileURLToPath(new URL(`../../${name}`, import.meta.url));

const compiler = path("tests/js/node_modules/typescript/bin/tsc");
if (!existsSync(compiler)) {
  console.error("TypeScript, which writes the types, is not installed; run `npm ci` in tests/js first.");
  process.exit(1);
}
if (!existsSync(path("src/antiphon/web/sdk/vendor"))) {
  console.error("The decoder that the SDK has of others is missing; run `.venv/bin/python -m scripts.web_assets` first.");
  process.exit(1);
}
rmSync(path("clients/js/dist"), { recursive: true, force: true });
cpSync(path("src/antiphon/web/sdk"), path("clients/js/dist"), { recursive: true });
copyFileSync(path("LICENSE"), path("clients/js/LICENSE"));

const compiled = spawnSync(process.execPath, [compiler, "--project", path("clients/js/tsconfig.json")], {
  stdio: ["ignore", process.stderr, process.stderr], // npm may have its own use for stdout
});
process.exit(compiled.status ?? 1);
