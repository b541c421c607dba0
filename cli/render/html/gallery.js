"use strict";
{
  const filter = document.getElementById("filter");
  const count = document.getElementById("count");
  const items = [...document.querySelectorAll("#results li")];
  const sections = [...document.querySelectorAll("#results section")];
  const heading = (item) => item.closest("section")?.querySelector("h2").textContent ?? "";
  const words = items.map((item) => `${item.textContent} ${heading(item)}`.toLocaleLowerCase());
  const shown = () => items.filter((item) => !item.hidden);
  const focus = (item) => item && item.firstElementChild.focus();

  const apply = () => {
    const wanted = filter.value.toLocaleLowerCase().split(/\s+/);
    items.forEach((item, at) => {
      item.hidden = !wanted.every((word) => words[at].includes(word));
    });
    sections.forEach((section) => {
      section.hidden = !section.querySelector("li:not([hidden])");
    });
    count.value = filter.value.trim() ? `${shown().length} of ${items.length}` : "";
  };
  filter.addEventListener("input", apply);

  // The item above or below: the nearest one across, in the next row.
  const beside = (from, down) => {
    const here = from.getBoundingClientRect();
    const rows = shown()
      .map((item) => ({ item, box: item.getBoundingClientRect() }))
      .filter(({ box }) => (down ? box.top > here.top + 1 : box.top < here.top - 1));
    const tops = rows.map(({ box }) => box.top);
    const row = down ? Math.min(...tops) : Math.max(...tops);
    const away = ({ box }) => Math.abs(box.left - here.left);
    return rows
      .filter(({ box }) => Math.abs(box.top - row) < 2)
      .sort((one, other) => away(one) - away(other))[0]?.item;
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const typing = event.target === filter;
    const all = shown();
    const at = all.indexOf(event.target.closest("#results li"));
    let next;
    if (event.key === "Escape") {
      filter.value = "";
      apply();
      next = at < 0 ? shown()[0] : all[at];
    } else if (typing) {
      if (event.key === "ArrowDown" || event.key === "Enter") next = all[0];
      else return;
    } else if (event.key === "/") {
      event.preventDefault();
      filter.focus();
      filter.select();
      return;
    } else if (at < 0) {
      if (event.key.startsWith("Arrow")) next = all[0];
    } else {

      if (event.key === "Home") next = all[0];
      else if (event.key === "End") next = all[all.length - 1];
      else if (event.key === "ArrowRight") next = all[at + 1];
      else if (event.key === "ArrowLeft") next = all[at - 1];
      else if (event.key === "ArrowDown") next = beside(all[at], true);
      else if (event.key === "ArrowUp") next = beside(all[at], false);
    }
    if (next) {
      event.preventDefault();
      focus(next);
    }
  });
}
