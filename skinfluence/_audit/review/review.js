// The review page: keys, buttons, the list of suspects, and what the browser keeps.
"use strict";

class Page {
  constructor(data) {
    this.data = data;
    this.storage = new Kept(`skinfluence-review-${data.key}`);
    this.review = new Review(data, this.storage.read());
    this.queue = new Queue(byId("list"), this.review, (row) => this.open(row, true));
    this.row = null;
    this.rows = [];
    this.isSaved = true;
    this.fillFilters();
    byId("filters").open = innerWidth > 900 && innerHeight > 800;
    this.connect();
    this.refilter();
    this.open(this.rows.find((row) => this.review.state(row) === "open") ?? this.rows[0] ?? null);
    this.progress();
  }

  get filter() {
    return { kind: byId("f-kind").value, label: byId("f-label").value, state: byId("f-state").value, sort: byId("f-sort").value, search: byId("f-search").value };
  }

  fillFilters() {
    const nUnclear = this.data.suspects.filter(({ unclear }) => unclear).length;
    const nSuspects = this.data.suspects.length - nUnclear;
    const kinds = [["suspect", `suspects (${nSuspects})`], ["unclear", `unclear (${nUnclear})`], ["", "both"]];
    byId("f-kind").append(...kinds.map(([value, text]) => el("option", { value }, text)));
    byId("f-kind").parentElement.hidden = !nUnclear;
    for (const [side, title] of [["given", "Given label"], ["suggested", "Suggested label"]]) {
      const counts = new Map();
      for (const suspect of this.data.suspects) counts.set(suspect[side], (counts.get(suspect[side]) ?? 0) + 1);
      if (this.data.task === "regression" && counts.size > 50) continue;
      const sorted = [...counts].sort((a, b) => b[1] - a[1]);
      const options = sorted.map(([i, n]) => el("option", { value: `${side}:${i}` }, `${title}: ${labelText(this.review, i)} (${n})`));
      byId("f-label").append(el("optgroup", { label: title }, options));
    }
    byId("grid").hidden = this.data.media?.kind !== "image";
    if (!byId("grid").hidden) this.setGrid(true);
  }

  connect() {
    for (const id of ["f-kind", "f-label", "f-state", "f-sort", "f-search"]) byId(id).addEventListener("input", () => this.refilter(true));
    for (const button of document.querySelectorAll("[data-do]")) button.addEventListener("click", () => this.act(button.dataset.do));
    byId("load").addEventListener("change", (event) => this.load(event.target));
    document.addEventListener("keydown", (event) => this.key(event));
    window.addEventListener("storage", (event) => {
      if (event.key === this.storage.key) this.follow(); // the same report in another tab
    });
    window.addEventListener("beforeunload", (event) => {
      if (!this.isSaved && !this.storage.works) event.preventDefault();
    });
  }

  follow() {
    this.review.decisions = this.storage.read();
    this.refilter();
    this.open(this.row);
    this.progress();
  }

  key(event) {
    const { target, key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || byId("review").hidden) return;
    if (byId("help").open) {
      if (key === "?") this.act("help");
      return; // the dialog itself is closed by Escape
    }
    if (target.matches("input, select, textarea")) return this.keyInField(event);
    if (key === "Enter" && target.matches("button, a, summary")) return;
    const isInList = byId("list").contains(target);
    const action = KEYS[key] ?? (isInList ? LIST_KEYS[key] : null) ?? (/^[0-9]$/.test(key) ? `label:${(Number(key) + 9) % 10}` : null);
    if (!action) return;
    event.preventDefault();
    this.act(action);
  }

  keyInField(event) {
    if (event.key === "Escape") event.target.blur();
    else if (event.key === "Enter" && event.target.id === "other") this.act("other");
    else return;
    event.preventDefault();
  }

  act(action) {
    const [name, argument] = action.split(":");
    const step = { next: 1, previous: -1 }[name];
    if (step) this.move(step);
    else if (name === "first" || name === "last") this.open(this.rows.at(name === "first" ? 0 : -1) ?? null, true);
    else if (name === "undo") this.undo();
    else if (name === "help") byId("help").open ? byId("help").close() : byId("help").showModal();
    else if (name === "save") this.save();
    else if (name === "copy") this.copy();
    else if (name === "search" || name === "filter") this.showFilters(name === "search" ? "f-search" : "f-label");
    else if (name === "pick") byId("other")?.focus();
    else if (name === "grid") this.setGrid(!document.body.classList.contains("as-grid"));
    else if (name === "clear") this.clearFilters();
    else if (name === "unclear") this.showUnclear();
    else if (this.row !== null) this.decide(name, argument);
  }

  decide(name, argument) {
    const { review, row } = this;
    const suspect = review.suspectOf.get(row);
    if (name === "accept") {
      if (!review.hasSuggestion(suspect)) return this.say("The suggested label is the given label: keep the row or pick another label.");
      review.accept(row);
    } else if (name === "label") {
      if (this.data.task === "regression" || this.data.n_classes > MAX_KEYS || argument >= this.data.n_classes) return;
      review.decide(row, "relabel", review.label(Number(argument)));
    } else if (name === "other") {
      const text = byId("other").value;
      if (!text.trim()) return;
      review.decide(row, "relabel", text);
    } else review.decide(row, name);
    this.changed(row);
  }

  undo() {
    const row = this.review.undo();
    if (row === null) return this.say("There is nothing to undo.");
    this.store();
    this.refilter();
    this.open(row, true);
    this.progress();
    this.say(`Row ${row}: decision taken back.`);
  }

  // Keep the new decision, and open the next suspect without one.
  changed(row) {
    this.store();
    const next = this.review.nextOpen(this.rows, row);
    const isFiltered = byId("f-state").value !== "";
    if (isFiltered) this.refilter();
    else this.queue.mark(row);
    this.progress();
    const { decision, newLabel } = this.review.decisions[row];
    const done = `Row ${row} ${WORDS[decision]}${newLabel ? ` as ${shown(newLabel.trim(), 60)}` : ""}.`;
    this.say(next === null ? `${done} All suspects of this list have a decision.` : `${done} Next: row ${next}.`);
    this.open(next ?? row, true);
  }

  store() {
    this.isSaved = false;
    this.storage.write(this.review.decisions);
  }

  move(step) {
    const place = this.rows.indexOf(this.row) + step;
    if (place >= 0 && place < this.rows.length) this.open(this.rows[place], true);
    else this.say(step > 0 ? "This is the last suspect of the list." : "This is the first suspect of the list.");
  }

  say(text) {
    byId("said").textContent = text;
  }

  refilter(isAsked = false) {
    this.rows = this.review.rows(this.filter);
    byId("n-listed").textContent = `${this.rows.length.toLocaleString("en")} of ${this.data.suspects.length.toLocaleString("en")} rows`;
    this.queue.show(this.rows);
    if (isAsked && !this.rows.includes(this.row)) this.open(this.rows[0] ?? null);
    else this.queue.setCurrent(this.row, false);
  }

  clearFilters() {
    for (const id of ["f-kind", "f-label", "f-state", "f-search"]) byId(id).value = "";
    this.refilter(true);
  }

  showFilters(id) {
    byId("filters").open = true;
    byId(id).focus();
  }

  showUnclear() {
    if (byId("f-kind").parentElement.hidden) return this.say("There are no unclear rows.");
    this.clearFilters();
    byId("f-kind").value = "unclear";
    byId("f-sort").value = "score";
    this.refilter(true);
    this.open(this.review.nextOpen(this.rows, null) ?? this.row, true);
  }

  setGrid(isGrid) {
    document.body.classList.toggle("as-grid", isGrid);
    byId("grid").setAttribute("aria-pressed", String(isGrid));
  }

  open(row, isScrolled = false) {
    this.row = row;
    this.queue.setCurrent(row, isScrolled);
    const card = byId("card");
    if (row === null) {
      const reset = el("button", { type: "button" }, "Show all rows of the list");
      reset.addEventListener("click", () => this.act("clear"));
      const isFiltered = byId("f-label").value || byId("f-state").value || byId("f-search").value;
      const none = isFiltered ? "No row fits the filter." : "There are no suspects.";
      card.replaceChildren(el("p", {}, none), this.data.suspects.length ? reset : "");
    } else {
      const suspect = this.review.suspectOf.get(row);
      const curve = this.review.estimate().curve;
      card.replaceChildren(...[labelLine(this.review, suspect), mediaPanel(this.review, suspect),
        whyPanel(this.review, suspect, curve), compareTable(this.review, suspect)].filter(Boolean));
    }
    this.actions();
    const article = byId("card").parentElement;
    const { top } = article.getBoundingClientRect();
    if (isScrolled && (top < 0 || top > 0.3 * innerHeight)) article.scrollIntoView();
  }

  actions() {
    const { review, row } = this;
    for (const part of [byId("actions"), byId("where").parentElement]) part.hidden = row === null;
    if (row === null) return;
    const suspect = review.suspectOf.get(row);
    const { decision, newLabel } = review.decisions[row] ?? {};
    const place = this.rows.indexOf(row) + 1;
    byId("where").textContent = place ? `${place} of ${this.rows.length}` : "not in the list";
    byId("row-name").textContent = `Row ${row}`;
    byId("state").textContent = decision ? `${WORDS[decision]}${newLabel ? ` as ${shown(newLabel.trim(), 60)}` : ""}` : "no decision yet";
    byId("state").dataset.state = decision ?? "open";
    byId("accept").disabled = !review.hasSuggestion(suspect);
    const pressed = { accept: decision === "relabel" && newLabel === review.label(suspect.suggested), keep: decision === "keep", drop: decision === "drop", skip: decision === "skip" };
    for (const [id, isPressed] of Object.entries(pressed)) byId(id).setAttribute("aria-pressed", String(isPressed));
    byId("accept-label").textContent = review.hasSuggestion(suspect) ? labelText(review, suspect.suggested) : "suggestion";
    byId("keep-label").textContent = labelText(review, suspect.given);
    const others = otherLabels(review, suspect, decision === "relabel" ? newLabel : null, (action) => this.act(action));
    byId("others").replaceChildren(...others);
    byId("others").parentElement.hidden = !others.length;
  }

  progress() {
    const counts = this.review.counts();
    const n = this.data.suspects.filter(({ unclear }) => !unclear).length;
    byId("bar").setAttribute("max", String(n || 1));
    byId("bar").setAttribute("value", String(counts.suspects));
    const more = counts.decided - counts.suspects;
    const parts = ["relabel", "keep", "drop", "skip"].filter((key) => counts[key]).map((key) => `${counts[key]} ${WORDS[key]}`);
    byId("counts").textContent = `${counts.suspects} of ${n.toLocaleString("en")} suspects decided`
      + (more ? `, and ${more} unclear rows` : "") + (parts.length ? `: ${parts.join(", ")}` : "");
    const estimate = this.review.estimate();
    byId("left").textContent = leftSentence(estimate, this.data.n_rows);
    byId("hint").textContent = stopSentence(estimate);
    byId("hint").dataset.stop = String(estimate.mayStop && estimate.nDecided > 0);
    byId("brief").textContent = `${counts.suspects} of ${n.toLocaleString("en")} suspects decided. ${stopSentence(estimate)}`;
    byId("unclear").hidden = estimate.mayStop || estimate.nSuspects > 0 || estimate.nNext === 0;
    const nAll = Object.keys(this.review.decisions).length;
    byId("save").disabled = !nAll;
    const elsewhere = nAll - counts.all;
    byId("elsewhere").textContent = elsewhere ? `${elsewhere} decisions about rows that are not in this report are kept and saved too.` : "";
  }

  save() {
    if (!Object.keys(this.review.decisions).length) return this.say("There is no decision to save yet.");
    const blob = new Blob([this.review.toCsv()], { type: "text/csv" });
    const link = el("a", { href: URL.createObjectURL(blob), download: "decisions.csv" });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    this.isSaved = true;
    byId("apply").open = true;
    byId("apply").scrollIntoView({ block: "nearest" });
    this.say('decisions.csv was saved to your downloads. Now run the command under "Apply the decisions to the file".');
  }

  async load(input) {
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    try {
      const records = this.review.addCsv(await file.text());
      this.store();
      this.refilter();
      this.open(this.row);
      this.progress();
      this.say(`${records} decisions were loaded from ${file.name}.`);
    } catch (error) {
      this.say(`${file.name} was not loaded: ${error.message}.`);
    }
  }

  async copy() {
    try {
      await navigator.clipboard.writeText(byId("command").textContent);
      this.say("The command was copied.");
    } catch {
      getSelection().selectAllChildren(byId("command"));
      this.say("The command is selected; copy it.");
    }
  }
}

startTabs(); // first: the list of suspects can be measured only if it is visible
const page = new Page(JSON.parse(byId("review-data").textContent));
