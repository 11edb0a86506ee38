// Makes a button of every head of a table whose cells have keys; a second press turns the order around.
for (const table of document.querySelectorAll(".sorted table")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = row => row.cells[column].dataset.key;
      const order = (a, b) => isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
      const known = [...body.rows].filter(row => key(row) !== undefined).sort((a, b) => order(key(a), key(b)));
      const unknown = [...body.rows].filter(row => key(row) === undefined);
      body.append(...(up ? known : known.reverse()), ...unknown);
    });
  });
}
