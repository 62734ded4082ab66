/**
 * The page that asks for the microphone, since neither a side panel nor an offscreen document can. The answer holds for
 * the whole extension.
 */

import { microphoneProblem } from "./problems.js";
import { Notices } from "./web/notices.js";
import { element } from "./web/page.js";

const notices = new Notices(element("notices", HTMLDivElement));
const ask = element("ask", HTMLButtonElement);

async function askForMicrophone() {
  notices.clear();
  ask.hidden = true;
  try {
    const media = await navigator.mediaDevices.getUserMedia({ audio: true });
    for (const track of media.getTracks()) track.stop();
    notices.show("microphone", "status", {
      title: "The microphone is allowed",
      action: "Go back to your tab and press Start. This page may be closed.",
    });
  } catch (error) {
    const found = microphoneProblem(error);
    ask.hidden = false;
    notices.show("microphone", "alert", {
      ...found,
      action:
        found.code === "microphone_refused"
          ? "Click the icon beside the address of this page, allow the microphone, and press Ask again. If it is allowed there, look in the system’s privacy settings."
          : found.action,
    });
  }
}

ask.addEventListener("click", () => void askForMicrophone());
await askForMicrophone();
