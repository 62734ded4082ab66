/**
 * The options page: keeps where the server is, and looks whether it answers.
 */

import { originSetting, problem } from "./problems.js";
import { askServer } from "./server-check.js";
import { keepSettings, readAddress, readCodec, readSettings } from "./settings.js";
import { Notices } from "./web/notices.js";
import { element } from "./web/page.js";

const notices = new Notices(element("notices", HTMLDivElement));
const server = element("server", HTMLInputElement);
const key = element("key", HTMLInputElement);
const language = element("language", HTMLInputElement);
const languages = element("languages", HTMLDataListElement);
const codec = element("codec", HTMLSelectElement);
const check = element("check", HTMLButtonElement);

async function saveAndCheck() {
  notices.clear();
  const address = readAddress(server.value);
  server.setAttribute("aria-invalid", String(address === null));
  if (address === null) {
    notices.show("address", "alert", problem("bad_address"));
    server.focus();
    return;
  }
  server.value = address;
  const settings = { server: address, key: key.value.trim(), language: language.value.trim(), codec: readCodec(codec.value) };
  await keepSettings(settings);
  check.disabled = true;
  const found = await askServer(settings);
  check.disabled = false;
  if ("problem" in found) {
    notices.show("server", "alert", found.problem);
    return;
  }
  const { info } = found;
  languages.replaceChildren(...info.languages.map((name) => new Option(name, name)));
  const own = settings.language === "" || info.languages.includes(settings.language);
  notices.show("server", "status", {
    title: "The server answers",
    action: own ? `It hears ${info.languages.join(", ")} with ${info.engine}.` : `It may not know ${settings.language}: it hears ${info.languages.join(", ")}.`,
  });
}

element("form", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  void saveAndCheck();
});
element("origin", HTMLElement).textContent = `antiphon serve ${originSetting()}`;

const settings = await readSettings();
server.value = settings.server;
key.value = settings.key;
language.value = settings.language;
codec.value = settings.codec;
