// The wire between this page and the gateway, drawn: taut, slack or parted, and each frame a spark that runs along it.

import { byId, element } from "./dom.js";
import { personFlag } from "./flag.js";

// More than these at once would be a blur, and work for the browser.
const MOST_SPARKS = 24;
const RUN_MS = 520;

export class Stay {
  #span = byId("stay-span");
  #user = byId("stay-user");
  #gateway = byId("stay-gateway");
  #still = matchMedia("(prefers-reduced-motion: reduce)");
  #sparks = 0;

  ends(user, connection) {
    this.#user.replaceChildren(...(user ? [personFlag(user), element("span", { text: user })] : []));
    const words = connection ? `gateway · ${connection.slice(0, 6)}` : "gateway";
    this.#gateway.replaceChildren(element("span", { text: words }));
  }

  run(frame) {
    if (frame.close || frame.opened || this.#still.matches || document.hidden || this.#sparks >= MOST_SPARKS) return;
    const spark = element("i", { class: `spark spark-${frame.direction}` });
    this.#sparks += 1;
    this.#span.append(spark);
    const [from, to] = frame.direction === "out" ? ["0%", "100%"] : ["100%", "0%"];
    spark.animate([{ left: from }, { left: to }], { duration: RUN_MS, easing: "ease-in-out" }).onfinish = () => {
      spark.remove();
      this.#sparks -= 1;
    };
  }
}
