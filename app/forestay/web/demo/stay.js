// Draws the connection as a rope: taut, slack or parted, with a spark for each frame.

import { byId, element } from "./dom.js";
import { personFlag } from "./flag.js";

const RUN_MS = 520;
// Sparks in each direction. More would be a blur, and work for the browser.
const APART_MS = 60;

export class Stay {
  #span = byId("stay-span");
  #user = byId("stay-user");
  #gateway = byId("stay-gateway");
  #still = matchMedia("(prefers-reduced-motion: reduce)");
  #width = 0;
  #last = { in: 0, out: 0 };

  constructor() {
    new ResizeObserver(([{ contentRect }]) => (this.#width = contentRect.width)).observe(this.#span);
  }

  ends(user, connection) {
    this.#user.replaceChildren(...(user ? [personFlag(user), element("span", { text: user })] : []));
    const words = connection ? `gateway · ${connection.slice(0, 6)}` : "gateway";
    this.#gateway.replaceChildren(element("span", { text: words }));
  }

  run(frame) {
    const now = performance.now();
    if (frame.size === undefined || now - this.#last[frame.direction] < APART_MS) return;
    if (document.hidden || this.#still.matches) return;
    this.#last[frame.direction] = now;
    const spark = element("i", { class: `spark spark-${frame.direction}` });
    this.#span.append(spark);
    const ends = [{ transform: "none" }, { transform: `translateX(${this.#width}px)` }];
    if (frame.direction === "in") ends.reverse();
    const run = spark.animate(ends, { duration: RUN_MS, easing: "ease-in-out" });
    run.onfinish = run.oncancel = () => spark.remove();
  }
}
