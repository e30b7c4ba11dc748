// Says when the part that is asked for again and again is not answered any more, and until when it was.
(() => {
  const note = document.getElementById("co-lost");
  if (!note) return;
  let answered = new Date();
  const lost = () => {
    note.querySelector("span").textContent = answered.toLocaleTimeString();
    note.hidden = false;
  };
  document.addEventListener("htmx:sendError", lost);
  document.addEventListener("htmx:timeout", lost);
  document.addEventListener("htmx:responseError", lost);
  document.addEventListener("htmx:afterSwap", () => {
    answered = new Date();
    note.hidden = true;
  });
})();
