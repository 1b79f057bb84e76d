// Before the first paint, so that nobody sees the other theme flash: what was chosen here, else what the system says.
document.documentElement.dataset.theme =
  localStorage.getItem("aether.theme") ?? (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark");
