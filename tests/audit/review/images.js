await wait(200);
const image = document.querySelector(".media.image img");
press("a");
choose("f-search", "row 35");
await wait(200);
return [
  image.naturalWidth, text("#counts"), document.body.classList.contains("as-grid"),
  text(".media.image"),
];
