await wait(200);
const image = document.querySelector(".media.image img");
press("a");
choose("f-search", "row 35");
await wait(200);
const found = [
  image.naturalWidth, text("#counts"), document.body.classList.contains("as-grid"),
  text(".media.image"),
];
press("w"); // or the browser asks before it leaves the page
return found;
