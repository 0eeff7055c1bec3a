// The list of suspects. It grows as it is scrolled, so that thousands of suspects open quickly.
"use strict";

const CHUNK = 200;
const WORDS = { open: "open", relabel: "relabeled", keep: "kept", drop: "dropped", skip: "skipped" };

class Queue {
  // list: an ordered list; open: called with the row that is clicked.
  constructor(list, review, open) {
    Object.assign(this, { list, review, rows: [], nListed: 0 });
    list.addEventListener("scroll", () => this.extend());
    list.addEventListener("click", (event) => {
      const button = event.target.closest("[data-row]");
      if (button) open(Number(button.dataset.row));
    });
  }

  show(rows) {
    this.rows = rows;
    this.nListed = 0;
    this.list.replaceChildren();
    this.add();
    this.extend();
  }

  extend() {
    const { list } = this;
    while (this.nListed < this.rows.length && list.clientHeight && list.scrollTop + list.clientHeight > list.scrollHeight - 400) this.add();
  }

  add() {
    const chunk = this.rows.slice(this.nListed, this.nListed + CHUNK);
    this.list.append(...chunk.map((row) => el("li", {}, this.item(row))));
    this.nListed += chunk.length;
  }

  item(row) {
    const { review } = this;
    const suspect = review.suspectOf.get(row);
    const suggested = review.hasSuggestion(suspect) ? el("span", { class: "suggested" }, ` → ${labelText(review, suspect.suggested)}`) : null;
    const labels = el("span", { class: "pair" }, labelText(review, suspect.given), suggested);
    const media = review.data.media?.kind === "image" ? el("span", { class: "thumb" }, mediaOf(review, row)) : null;
    const place = el("small", {}, suspect.unclear ? `unclear, row ${row}` : `row ${row}`);
    const button = el("button", { type: "button", "data-row": row, tabindex: "-1" }, media, labels, place,
      this.snippet(row), el("span", { class: "state" }));
    this.dress(button, row);
    return button;
  }

  // The beginning of a long text, by which a person finds the row again.
  snippet(row) {
    const { media, rows } = this.review.data;
    return media?.kind === "text" ? el("span", { class: "snippet" }, shown(rows[row][media.column].trim(), 120)) : null;
  }

  dress(button, row) {
    const state = this.review.state(row);
    const newLabel = this.review.decisions[row]?.newLabel?.trim();
    button.dataset.state = state;
    button.querySelector(".state").textContent = state === "open" ? "" : newLabel ? `now ${shown(newLabel, 60)}` : WORDS[state];
  }

  buttonOf(row) {
    return this.list.querySelector(`[data-row="${row}"]`);
  }

  mark(row) {
    const button = this.buttonOf(row);
    if (button) this.dress(button, row);
  }

  // Only the current suspect is reached by the tab key.
  setCurrent(row, isScrolled) {
    const { list } = this;
    list.querySelector("[aria-current]")?.removeAttribute("aria-current");
    list.querySelector("[tabindex='0']")?.setAttribute("tabindex", "-1");
    const place = this.rows.indexOf(row);
    while (place >= this.nListed) this.add();
    const button = place < 0 ? list.querySelector("button") : this.buttonOf(row);
    button?.setAttribute("tabindex", "0");
    if (place < 0) return;
    button.setAttribute("aria-current", "true");
    if (list.contains(document.activeElement)) button.focus({ preventScroll: true });
    if (isScrolled) this.scrollTo(button);
  }

  // Scroll the list, and nothing around it, until the button is visible.
  scrollTo(button) {
    const [inner, outer] = [button.getBoundingClientRect(), this.list.getBoundingClientRect()];
    if (inner.top < outer.top) this.list.scrollTop -= outer.top - inner.top + 40;
    else if (inner.bottom > outer.bottom) this.list.scrollTop += inner.bottom - outer.bottom + 40;
  }
}
