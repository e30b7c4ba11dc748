// What every page does: the theme's switch, the menu, copying, and what htmx shall do when something goes wrong.
(() => {
  const root = document.documentElement;
  const THEMES = ["auto", "light", "dark"];

  const switcher = document.querySelector("[data-theme-switch]");
  const show = () => { switcher.querySelector("b").textContent = root.dataset.theme ?? "auto"; };
  switcher.hidden = false;
  show();
  switcher.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(root.dataset.theme ?? "auto") + 1) % THEMES.length];
    if (next === "auto") {
      delete root.dataset.theme;
      localStorage.removeItem("theme");
    } else {
      root.dataset.theme = next;
      localStorage.setItem("theme", next);
    }
    show();
    document.dispatchEvent(new Event("theme"));
  });

  const menu = document.querySelector("details.menu");
  document.addEventListener("click", (event) => {
    if (menu?.open && !menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && menu?.open) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });

  for (const button of document.querySelectorAll("[data-copy]")) {
    if (!navigator.clipboard) continue; // only offered over HTTPS and on the machine itself
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.querySelector(button.dataset.copy).textContent);
      button.textContent = "Copied";
    });
  }

  document.addEventListener("change", ({ target }) => {
    if (!target.matches("[data-tick-all]")) return;
    for (const box of target.closest("table").querySelectorAll("tbody [type=checkbox]")) box.checked = target.checked;
  });

  // Fields left empty stay out of the address.
  document.addEventListener("htmx:configRequest", (event) => {
    const { parameters, verb } = event.detail;
    if (verb !== "get") return;
    for (const name of Object.keys(parameters)) if (parameters[name] === "") delete parameters[name];
  });

  // Signed out meanwhile: the answer is the sign-in page, which belongs in the window, not in a part of it.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, pathInfo } = event.detail;
    if (new URL(xhr.responseURL).pathname !== new URL(pathInfo.finalRequestPath, location.href).pathname) {
      event.detail.shouldSwap = false;
      location.reload();
    }
  });

  const trouble = document.getElementById("trouble");
  const tell = (text) => { trouble.textContent = text; trouble.hidden = !text; };
  document.addEventListener("htmx:sendError", () => tell("No connection to the server. What you see is as of before."));
  document.addEventListener("htmx:responseError", () => tell("The server could not answer. What you see is as of before."));
  document.addEventListener("htmx:afterSwap", () => tell(""));
})();
