const rows = [...document.querySelectorAll("#list tbody tr")];
const buttons = [...document.querySelectorAll(".filters button")];
const search = document.getElementById("search"), shown = document.getElementById("shown");
const filterList = () => {
  const state = buttons.find((button) => button.getAttribute("aria-pressed") === "true").dataset.state;
  const words = search.value.trim().toLowerCase();
  let count = 0;
  for (const row of rows) {
    const fits = (!state || row.dataset.state === state) && (!words || row.textContent.toLowerCase().includes(words));
    row.hidden = !fits;
    count += fits;
  }
  shown.textContent = count === rows.length ? "" : `${count} of ${rows.length} shown`;
};
for (const button of buttons)
  button.addEventListener("click", () => {
    for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
    filterList();
  });
search.addEventListener("input", filterList);
