// The state of a review: decisions, order, filters, and the files. Nothing here touches the page.
"use strict";

const DECISIONS = ["relabel", "keep", "drop", "skip"];
const CSV_HEADER = ["row", "given_label", "decision", "new_label"];

class Review {
  // data: what payload.py built; decisions: row -> {given, decision, newLabel}, as kept earlier.
  constructor(data, decisions = {}) {
    this.data = data;
    this.decisions = { ...decisions };
    this.history = [];
    this.suspectOf = new Map(data.suspects.map((suspect) => [suspect.row, suspect]));
    this.rank = new Map(data.suspects.map((suspect, i) => [suspect.row, i]));
    this.texts = new Map(); // row -> lower-case text that a search looks through
  }

  label(i) {
    return this.data.labels[i];
  }

  state(row) {
    return this.decisions[row]?.decision ?? "open";
  }

  hasSuggestion(suspect) {
    return this.label(suspect.suggested).trim() !== this.label(suspect.given).trim();
  }

  // Decide about a row. Choosing the given label again keeps the row.
  decide(row, decision, newLabel = "") {
    const given = this.label(this.suspectOf.get(row).given);
    if (decision === "relabel" && newLabel.trim() === given.trim()) decision = "keep";
    this.history.push([row, this.decisions[row]]);
    this.decisions[row] = { given, decision, newLabel: decision === "relabel" ? newLabel : "" };
  }

  accept(row) {
    const suspect = this.suspectOf.get(row);
    this.decide(row, "relabel", this.label(suspect.suggested));
  }

  // Take back the last decision; returns its row, or null if there is none.
  undo() {
    if (!this.history.length) return null;
    const [row, earlier] = this.history.pop();
    if (earlier) this.decisions[row] = earlier;
    else delete this.decisions[row];
    return row;
  }

  // Rows to go through. filter: {kind: "" | "suspect" | "unclear", label: "" | "given:0" | "suggested:0",
  // state, search, sort}.
  rows({ kind = "", label = "", state = "", search = "", sort = "score" } = {}) {
    const [side, position] = label.split(":");
    const number = search.trim().match(/^(?:row |#)(\d+)$/i);
    const words = search.toLowerCase().split(/\s+/).filter(Boolean);
    const found = this.data.suspects.filter(
      (suspect) =>
        (!kind || suspect.unclear === (kind === "unclear")) &&
        (!label || suspect[side] === Number(position)) &&
        this.isIn(suspect.row, state) &&
        (number ? suspect.row === Number(number[1]) : words.every((word) => this.text(suspect).includes(word))),
    );
    const by = { row: (s) => s.row, given: (s) => this.label(s.given), suggested: (s) => this.label(s.suggested) }[sort];
    if (by) found.sort((a, b) => compare(by(a), by(b)) || this.rank.get(a.row) - this.rank.get(b.row));
    return found.map((suspect) => suspect.row);
  }

  isIn(row, state) {
    const own = this.state(row);
    return !state || own === state || (state === "decided" && !["open", "skip"].includes(own));
  }

  text(suspect) {
    if (!this.texts.has(suspect.row)) {
      const cells = this.data.rows[suspect.row].filter((cell) => !cell.startsWith("data:"));
      const parts = [this.label(suspect.given), this.label(suspect.suggested), ...cells];
      this.texts.set(suspect.row, parts.join("\n").toLowerCase());
    }
    return this.texts.get(suspect.row);
  }

  // The next row of `rows` after `row` without a decision, from the start again; null if all have one.
  nextOpen(rows, row) {
    const start = rows.indexOf(row) + 1;
    const rest = [...rows.slice(start), ...rows.slice(0, start)];
    return rest.find((other) => other !== row && this.state(other) === "open") ?? null;
  }

  counts() {
    const found = { open: 0, relabel: 0, keep: 0, drop: 0, skip: 0, decided: 0, suspects: 0, all: 0 };
    for (const { row, unclear } of this.data.suspects) {
      const state = this.state(row);
      found[state]++;
      if (state !== "open") found.all++;
      if (["open", "skip"].includes(state)) continue;
      found.decided++;
      if (!unclear) found.suspects++;
    }
    return found;
  }

  // Wrong labels that are left, among the suspects and in all rows, and whether to stop.
  estimate() {
    const [seen, isWrong, open, suspects] = [[], [], [], []];
    for (const { row, z, unclear } of this.data.suspects) {
      const state = this.state(row);
      if (["open", "skip"].includes(state)) {
        open.push(z);
        if (!unclear) suspects.push(z);
      } else {
        seen.push(z);
        isWrong.push(state !== "keep");
      }
    }
    const curve = fitCurve(seen, isWrong);
    const ones = open.map(() => 1);
    const rest = [[...open, ...this.data.rest.map(([z]) => z)], [...ones, ...this.data.rest.map(([, n]) => n)]];
    const next = [...open].sort((a, b) => b - a).slice(0, NEXT_ROWS);
    return {
      curve,
      nDecided: seen.length,
      listed: leftWrong(curve, suspects, suspects.map(() => 1)),
      nSuspects: suspects.length,
      all: leftWrong(curve, ...rest),
      next: leftWrong(curve, next, next.map(() => 1)).expected,
      nNext: next.length,
      mayStop: mayStop(curve, open, seen.length),
    };
  }

  // The decisions as decisions.csv, in the order of the table.
  toCsv() {
    const rows = Object.keys(this.decisions).map(Number).sort((a, b) => a - b);
    const records = rows.map((row) => {
      const { given, decision, newLabel } = this.decisions[row];
      return [row, given, decision, newLabel];
    });
    return [CSV_HEADER, ...records].map((cells) => cells.map(quoted).join(",") + "\r\n").join("");
  }

  // Add the decisions of a file; returns how many fit this table. Throws an Error if it is no such file.
  addCsv(text) {
    const [header, ...records] = parseCsv(text);
    const at = CSV_HEADER.map((name) => (header ?? []).indexOf(name));
    if (at.includes(-1)) throw new Error(`expected a file with the columns ${CSV_HEADER.join(", ")}`);
    let n = 0;
    for (const record of records) {
      const [row, given, decision, newLabel] = at.map((i) => record[i] ?? "");
      const suspect = this.suspectOf.get(Number(row));
      if (!suspect || !DECISIONS.includes(decision) || given.trim() !== this.label(suspect.given).trim()) continue;
      this.decide(suspect.row, decision, newLabel);
      n++;
    }
    return n;
  }
}

function compare(a, b) {
  return typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true });
}

function quoted(cell) {
  const text = String(cell);
  return /[",\r\n;]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

// Records of a CSV text with commas, quotes and any line ends.
function parseCsv(text) {
  const records = [];
  let [record, cell, isQuoted] = [[], "", false];
  const endCell = () => { record.push(cell); cell = ""; };
  const endRecord = () => { endCell(); if (record.length > 1 || record[0]) records.push(record); record = []; };
  text = text.replace(/^\ufeff/, "");
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (isQuoted && char === '"' && text[i + 1] === '"') { cell += char; i++; }
    else if (char === '"') isQuoted = !isQuoted;
    else if (isQuoted) cell += char;
    else if (char === ",") endCell();
    else if (char === "\n") endRecord();
    else if (char !== "\r") cell += char;
  }
  endRecord();
  return records;
}

if (typeof module !== "undefined") {
  Object.assign(globalThis, require("./estimate.js"), { NEXT_ROWS: 10 });
  module.exports = { Review, parseCsv, quoted };
}
