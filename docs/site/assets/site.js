// What the theme leaves out for those who use no mouse. It adds its own parts late, so each change is looked at.
const complete = () => {
  // A block of code is no place to go to: the theme makes a landmark of each, for its button.
  for (const buttons of document.querySelectorAll("nav.md-code__nav:not([role])")) {
    buttons.setAttribute("role", "presentation");
  }
  // The keyboard scrolls only what it can reach.
  for (const table of document.querySelectorAll(".md-typeset__scrollwrap")) {
    if (table.scrollWidth > table.clientWidth) table.tabIndex = 0;
    else table.removeAttribute("tabindex");
  }
};
new MutationObserver(complete).observe(document.documentElement, { childList: true, subtree: true });
addEventListener("resize", complete);
