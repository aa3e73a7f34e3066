// A table that is shown again and again: rows keep their elements, so that the focus and the selection stay.

import { element } from "./dom.js";

/**
 * `columns`: `{ title, cell(row), kind }`. A cell is a text, an element, or null. `kind` is a class, such as "number".
 * `key(row)` tells rows apart. `label` is what a screen reader calls the table; `empty` stands there without rows.
 */
export class Table {
  #columns;
  #key;
  #rows = new Map();
  #body = element("tbody", { role: "rowgroup" });
  #empty;
  #table;

  constructor(label, columns, key, empty) {
    this.#columns = columns;
    this.#key = key;
    this.#empty = element("p", { class: "nothing", text: empty });
    // A phone shows rows as cards, and a browser takes the meaning of a table away with its layout: hence the roles.
    const titles = columns.map(({ title, kind }) =>
      element("th", { role: "columnheader", scope: "col", class: kind, text: title }),
    );
    const head = element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...titles));
    this.#table = element("table", { role: "table", "aria-label": label }, head, this.#body);
    this.element = element("div", { class: "table" }, this.#table, this.#empty);
    this.show([]);
  }

  show(rows) {
    const before = this.#rows;
    this.#rows = new Map();
    for (const row of rows) {
      const key = this.#key(row);
      this.#rows.set(key, this.#shown(before.get(key), row));
    }
    for (const [key, { line }] of before) if (!this.#rows.has(key)) line.remove();
    let index = 0;
    for (const { line } of this.#rows.values()) {
      const there = this.#body.children[index] ?? null;
      if (there !== line) this.#body.insertBefore(line, there);
      index += 1;
    }
    this.#table.hidden = rows.length === 0;
    this.#empty.hidden = rows.length > 0;
  }

  #shown(known, row) {
    const { line, cells } = known ?? this.#line();
    this.#columns.forEach((column, index) => fill(cells[index], column.cell(row)));
    return { line, cells };
  }

  #line() {
    const cells = this.#columns.map(({ title, kind }) =>
      element("td", { role: "cell", class: kind, "data-title": title }),
    );
    return { line: element("tr", { role: "row" }, ...cells), cells };
  }
}

/** Puts `content` into `cell` where it differs from what is there. */
function fill(cell, content) {
  if (content === null || content === undefined || typeof content !== "object") {
    const text = content === null || content === undefined ? "" : String(content);
    if (cell.childElementCount > 0 || cell.textContent !== text) cell.textContent = text;
  } else if (cell.firstElementChild === null || !cell.firstElementChild.isEqualNode(content)) {
    cell.replaceChildren(content);
  }
}
