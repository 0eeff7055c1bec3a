const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const press = (...keys) => {
  for (const key of keys) {
    const target = document.activeElement ?? document.body;
    target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  }
};
const click = (selector) => document.querySelector(selector).click();
const choose = (id, value) => {
  byId(id).value = value;
  byId(id).dispatchEvent(new Event("input", { bubbles: true }));
};
const text = (selector) => document.querySelector(selector).textContent.trim();
const saved = async () => {
  let blob = null;
  const create = URL.createObjectURL;
  URL.createObjectURL = (given) => { blob = given; return create(given); };
  press("w");
  URL.createObjectURL = create;
  return blob === null ? null : await blob.text();
};
