// Start the three steps, and follow the colour scheme of the page or of the system.

(() => {
  const root = document.querySelector(".explorer"), dark = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => root.classList.toggle("dark", (document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark");
  new MutationObserver(follow).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  dark.addEventListener("change", follow);
  follow();
  root.valley = new ValleyView(root.querySelector("#explorer-valley"));
  root.table = new TableView(root.querySelector("#explorer-table"));
  root.phase = new PhaseView(root.querySelector("#explorer-phase"), JSON.parse(document.querySelector("#explorer-results").textContent));
})();
