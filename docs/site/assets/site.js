// The theme makes a landmark of each block of code, for its button. A page has many, and none of them is a place to go to.
new MutationObserver(() => {
  for (const buttons of document.querySelectorAll("nav.md-code__nav:not([role])")) {
    buttons.setAttribute("role", "presentation")
  }
}).observe(document.documentElement, { childList: true, subtree: true })
