// Keys, the choice of another label, sentences about progress, and what the browser keeps.
"use strict";

const MAX_KEYS = 10; // classes that get a button and a number key, 1 to 9 and 0
const KEYS = {
  a: "accept", Enter: "accept", k: "keep", d: "drop", s: "skip", u: "undo", l: "pick",
  n: "next", j: "next", ArrowRight: "next", p: "previous", ArrowLeft: "previous", Home: "first", End: "last",
  "/": "search", f: "filter", g: "grid", r: "unclear", w: "save", "?": "help",
};
const LIST_KEYS = { ArrowDown: "next", ArrowUp: "previous" };
const byId = (id) => document.getElementById(id);

// Decisions in the browser. A browser that keeps nothing for files is no error.
class Kept {
  constructor(key) {
    this.key = key;
    this.works = true;
  }

  read() {
    try {
      const found = Object.entries(JSON.parse(localStorage.getItem(this.key)) ?? {});
      return Object.fromEntries(found.filter(([, kept]) => DECISIONS.includes(kept?.decision)));
    } catch {
      this.works = false;
      return {};
    }
  }

  write(decisions) {
    try {
      localStorage.setItem(this.key, JSON.stringify(decisions));
    } catch {
      this.works = false;
    }
  }
}

// Buttons for a few classes; a list for many; a field for numbers.
function otherLabels(review, suspect, newLabel, act) {
  const { data } = review;
  if (data.task === "classification" && data.n_classes <= 2) return [];
  if (data.task === "classification" && data.n_classes <= MAX_KEYS) {
    return data.labels.slice(0, data.n_classes).map((label, i) => {
      const button = el("button", { type: "button", "aria-pressed": String(label === newLabel) },
        labelText(review, i), " ", el("kbd", {}, String((i + 1) % 10)));
      button.addEventListener("click", () => act(`label:${i}`));
      return button;
    });
  }
  const field = data.task === "regression" ? numberField(newLabel) : labelSelect(review, suspect, newLabel);
  const button = el("button", { type: "button" }, "Set ", el("kbd", {}, "Enter"));
  button.addEventListener("click", () => act("other"));
  return [field, button];
}

function numberField(newLabel) {
  // Text, because the table may write numbers with a comma or a unit.
  return el("input", { id: "other", type: "text", inputmode: "decimal", "aria-label": "another value", value: newLabel ?? "" });
}

// The most probable labels first, then all labels by name.
function labelSelect(review, suspect, newLabel) {
  const { labels, n_classes } = review.data;
  const option = (i, text) => el("option", { value: labels[i] }, text);
  const likely = suspect.likely.map(([i, p]) => option(i, `${labelText(review, i)} (${percent(p)})`));
  const named = labels.slice(0, n_classes).map((_, i) => [i, labelText(review, i)]);
  named.sort((a, b) => compare(a[1], b[1]));
  const groups = [["Most probable", likely], ["All labels", named.map(([i, text]) => option(i, text))]];
  const select = el("select", { id: "other", "aria-label": "another label" }, el("option", { value: "" }, "choose a label"),
    groups.filter(([, options]) => options.length).map(([label, options]) => el("optgroup", { label }, options)));
  select.value = newLabel ?? "";
  return select;
}

const about = (x) => (x < 0.5 ? "0" : Math.round(x).toLocaleString("en"));

function leftSentence({ listed, all, nDecided }, nRows) {
  const range = ({ expected, low, high }) => `about ${about(expected)} (${about(low)} to ${about(high)})`;
  const basis = nDecided ? `your ${nDecided} decision${nDecided === 1 ? "" : "s"} and the scores` : "the scores alone";
  return `Wrong labels left, from ${basis}: ${range(listed)} among the suspects, ${range(all)} in all ${nRows.toLocaleString("en")} rows.`;
}

function stopSentence({ mayStop, nDecided, next, nNext, nSuspects }) {
  if (!nNext) return nDecided ? "Every row of the list has a decision." : "There is nothing to review.";
  const share = `Of the next ${nNext}, about ${about(next)} ${about(next) === "1" ? "is" : "are"} wrong.`;
  if (mayStop) return `You may stop here. Of the next ${nNext}, fewer than 1 is expected to be wrong.`;
  if (!nSuspects) return `All suspects have a decision. ${share}`;
  return nDecided < MIN_DECISIONS ? `${share} After ${MIN_DECISIONS} decisions, this line says when to stop.` : `Go on. ${share}`;
}
