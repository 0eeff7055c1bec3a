// The tabs of the report. Without JavaScript, all panels are shown one below the other.
"use strict";

function showPanel(id) {
  for (const tab of document.querySelectorAll("[role='tab']")) {
    const isShown = tab.getAttribute("aria-controls") === id;
    tab.setAttribute("aria-selected", String(isShown));
    tab.tabIndex = isShown ? 0 : -1;
    byId(tab.getAttribute("aria-controls")).hidden = !isShown;
  }
}

function startTabs() {
  const tabs = [...document.querySelectorAll("[role='tab']")];
  tabs.forEach((tab, i) => {
    tab.addEventListener("click", () => showPanel(tab.getAttribute("aria-controls")));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.stopPropagation(); // the review uses these keys as well
      const next = tabs.at((i + step) % tabs.length);
      next.click();
      next.focus();
    });
  });
  byId("tabs").hidden = false;
  const asked = location.hash.replace("#tab=", ""); // not "#overview", to which browsers scroll
  showPanel(tabs.some((tab) => tab.getAttribute("aria-controls") === asked) ? asked : "review");
}
