// The open suspect: its labels, why it is suspect, and the rows that are near it.
"use strict";

const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const SHOWN_LABEL = 200;

// Text without characters that change the order of what is read.
function shown(text, width = Infinity) {
  const whole = String(text).replace(CONTROL, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
  return whole.length > width ? `${whole.slice(0, width - 1)}…` : whole;
}

// An element with attributes and children; strings become text.
function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

const percent = (p) => (p < 0.01 ? "<1%" : p > 0.99 ? ">99%" : `${Math.round(100 * p)}%`);
const labelText = (review, i) => shown(review.label(i).trim() || "(blank)", SHOWN_LABEL);

function bar(p, kind) {
  const fill = el("span", { class: `fill ${kind}`, style: `width: ${Math.max(100 * p, 0.5)}%` });
  return el("span", { class: "meter", "aria-hidden": "true" }, fill);
}

function labelLine(review, suspect) {
  const given = el("span", { class: "label given" }, labelText(review, suspect.given));
  const parts = [el("span", { class: "soft" }, "given "), given];
  if (review.hasSuggestion(suspect)) {
    const suggested = el("span", { class: "label suggested" }, labelText(review, suspect.suggested));
    parts.push(el("span", { class: "soft" }, " → suggested "), suggested);
  }
  return el("p", { class: "labels" }, parts);
}

// Why the row is suspect: sentences, then a bar for each signal and label.
function whyPanel(review, suspect, curve) {
  const sentences = [votesSentence, distanceSentence, numbersSentence]
    .map((sentence) => sentence(review, suspect))
    .filter(Boolean)
    .map((text) => el("li", {}, text));
  const chance = 1 / (1 + Math.exp(-(curve.a + curve.b * suspect.z)));
  const place = suspect.unclear ? "unclear: the evidence does not decide" : `place ${review.rank.get(suspect.row) + 1} of ${review.data.n_suspects}`;
  const score = `Score ${suspect.score}, ${place}. `;
  sentences.push(el("li", {}, `${score}Estimated chance that the label is wrong: ${percent(chance)}.`));
  if (suspect.signals.some(({ name }) => name.startsWith("influence"))) {
    sentences.push(el("li", { class: "soft" }, "In-sample: by nets trained with this row. Out-of-sample: by nets trained "
      + "without it. Influence: whether training on the row moves the nets as the rows of its class do."));
  }
  const head = el("h3", {}, "Why it is suspect");
  return el("section", { class: "why" }, head, signalTable(review, suspect), el("ul", {}, sentences));
}

function signalTable(review, suspect) {
  const signals = review.data.task === "regression" ? [] : suspect.signals;
  const lines = signals.map(({ name, value }) => [name, ...value, percent]);
  if (suspect.votes.length) {
    const total = suspect.votes.reduce((sum, [, n]) => sum + n, 0);
    const share = (label) => suspect.votes.reduce((sum, [i, n]) => sum + (sameLabel(review, i, label) ? n : 0), 0) / total;
    const counted = (p) => `${Math.round(p * total)} of ${total}`;
    lines.push(["nearest rows", share(suspect.given), share(suspect.suggested), counted]);
  }
  if (!lines.length) return null;
  const hasTwo = review.hasSuggestion(suspect);
  const cell = (p, kind, words) => el("td", {}, bar(p, kind), el("span", { class: "percent" }, words(p)));
  const head = el("tr", {}, el("td", {}), el("th", { scope: "col" }, `given: ${labelText(review, suspect.given)}`),
    hasTwo ? el("th", { scope: "col" }, `suggested: ${labelText(review, suspect.suggested)}`) : null);
  const body = lines.map(([name, given, suggested, words]) => el("tr", {}, el("th", { scope: "row" }, name),
    cell(given, "given", words), hasTwo ? cell(suggested, "suggested", words) : null));
  return el("table", { class: "signals" }, el("thead", {}, head), el("tbody", {}, body));
}

const sameLabel = (review, i, j) => review.label(i).trim() === review.label(j).trim();

function votesSentence(review, { votes }) {
  if (!votes.length) return "";
  const parts = votes.slice(0, 4).map(([label, n]) => `${n} ${n === 1 ? "has" : "have"} the label ${labelText(review, label)}`);
  const more = votes.length > 4 ? ", and the others have other labels" : "";
  return `Of the ${votes.reduce((sum, [, n]) => sum + n, 0)} nearest rows, ${parts.join(", ")}${more}.`;
}

function distanceSentence(review, suspect) {
  if (suspect.near.length !== 2 || !review.hasSuggestion(suspect)) return "";
  const [own, other] = suspect.near.map(([first]) => first);
  if (!own || !other) return "";
  const name = (near) => `row ${near[0]} (${labelText(review, review.data.row_labels[near[0]])}, distance ${near[1]})`;
  const word = other[1] < own[1] ? "nearer" : "farther";
  const weight = word === "nearer" ? "It is evidence against the given label." : "It is evidence for the given label.";
  return `The nearest row with the suggested label, ${name(other)}, is ${word} than the nearest with the given label, ${name(own)}. ${weight}`;
}

function numbersSentence(review, suspect) {
  if (review.data.task !== "regression") return "";
  const near = suspect.near[0].map(([row]) => labelText(review, review.data.row_labels[row]));
  const own = suspect.signals.find(({ name }) => name.startsWith("in-sample"));
  const seen = own ? ` Nets trained with it predict ${own.value[0]}.` : "";
  const unseen = `Nets trained without this row predict ${labelText(review, suspect.suggested)}.`;
  return `${unseen}${seen} The ${near.length} nearest rows have ${near.join(", ")}.`;
}

// The columns of near rows: [title, kind, [[row, distance], ...]].
function groupsOf(review, suspect) {
  if (review.data.task === "regression") return [["nearest rows", "other", suspect.near[0]]];
  const title = (i) => `nearest with ${labelText(review, i)}`;
  const groups = [[title(suspect.given), "given", suspect.near[0]]];
  if (review.hasSuggestion(suspect)) groups.push([title(suspect.suggested), "suggested", suspect.near[1]]);
  return groups.filter(([, , near]) => near.length);
}

function mediaPanel(review, suspect) {
  const { media } = review.data;
  if (!media) return null;
  const own = el("div", { class: `media ${media.kind}` }, mediaOf(review, suspect.row));
  const groups = groupsOf(review, suspect).map(([title, kind, near]) =>
    el("section", { class: `group ${kind}` }, el("h3", {}, title), el("ul", { class: media.kind }, near.map(([row, distance]) => {
      const label = media.kind === "text" && kind !== "other" ? "" : `${labelText(review, review.data.row_labels[row])}, `;
      const caption = el("small", { class: "soft" }, `row ${row}, ${label}distance ${distance}`);
      return el("li", {}, mediaOf(review, row), caption);
    }))));
  return el("section", { class: "large" }, own, el("div", { class: "groups" }, groups));
}

// The image or the text of a row.
function mediaOf(review, row) {
  const { media, rows, columns } = review.data;
  const cell = rows[row][media.column];
  if (media.kind === "text") return el("p", { class: "text" }, shown(cell) || "(blank)");
  if (!cell) return el("p", { class: "soft" }, "(no image)");
  const image = el("img", { src: cell, alt: `${columns[media.column]} of row ${row}`, loading: "lazy" });
  image.addEventListener("error", () => image.replaceWith(el("p", { class: "soft" }, `image not found: ${shown(cell, 120)}`)));
  return image;
}

// The whole row beside the rows that are near it.
function compareTable(review, suspect) {
  const { data } = review;
  const groups = groupsOf(review, suspect);
  const near = groups.flatMap(([, kind, rows]) => rows.map(([row, distance]) => ({ row, distance, kind })));
  const names = data.columns.map((name, i) => [name, i]).filter(([, i]) => i !== data.media?.column);
  if (!names.length) return null;
  const top = el("tr", {}, el("td", {}), el("th", { scope: "col", class: "own" }, `row ${suspect.row}`),
    groups.map(([title, kind, rows]) => el("th", { scope: "colgroup", colspan: rows.length, class: kind }, title)));
  const second = el("tr", { class: "second" }, el("th", { scope: "row" }, data.label),
    el("td", { class: "own" }, labelText(review, suspect.given)), near.map(({ row, kind }) =>
      el("td", { class: kind }, labelText(review, data.row_labels[row]), el("small", { class: "soft" }, ` row ${row}`))));
  const third = el("tr", { class: "second" }, el("th", { scope: "row" }, "distance"), el("td", { class: "own" }, "0"),
    near.map(({ distance, kind }) => el("td", { class: kind }, String(distance))));
  const body = names.map(([name, i]) => el("tr", {}, el("th", { scope: "row" }, shown(name)),
    el("td", { class: "own" }, shown(data.rows[suspect.row][i])),
    near.map(({ row, kind }) => el("td", { class: kind }, shown(data.rows[row][i])))));
  const table = el("table", { class: "compare" }, el("thead", {}, top), el("tbody", {}, second, third, body));
  const hidden = data.n_hidden ? el("p", { class: "soft" }, `${data.n_hidden.toLocaleString("en")} more columns are not shown.`) : null;
  const sampled = data.n_searched < data.n_rows && near.length
    ? el("p", { class: "soft" }, `Of larger sets of rows, ${data.n_searched.toLocaleString("en")} evenly spaced ones were searched.`) : null;
  const head = el("h3", {}, near.length ? "The row and the rows nearest to it" : "The row");
  return el("section", {}, head, el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": head.textContent }, table), hidden, sampled);
}
